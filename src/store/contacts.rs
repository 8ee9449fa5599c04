//! Contacts as people look at them and correct them.

use std::collections::HashMap;

use serde::Serialize;

use super::reader::Reader;
use super::tx::placeholders;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::mail::Address;
use crate::ticket::ContactId;

#[derive(Clone, Debug, Serialize)]
pub struct ContactRow {
    pub id: ContactId,
    pub name: String,
    /// customer, lead, student, tutor, admin.
    pub role: String,
    pub addresses: Vec<ContactAddress>,
    pub tickets: i64,
    pub version: i64,
    pub created: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ContactAddress {
    pub address: String,
    /// When a hard bounce marked it.
    pub bounced: Option<String>,
    pub bounce_status: String,
}

/// What to change of a contact; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct ContactEdit {
    pub name: Option<String>,
    pub role: Option<String>,
    pub add: Vec<Address>,
    pub remove: Vec<Address>,
}

/// Ids in one IN list.
const IDS_A_QUERY: usize = 500;

impl Tx {
    /// The newest `limit` contacts whose name or address holds the words, oldest first.
    pub async fn contacts(&mut self, words: &str, limit: i64) -> Result<Vec<ContactRow>, Error> {
        let query = sqlx::query(
            "SELECT c.id, c.name, c.role, (SELECT count(*) FROM ticket t WHERE t.contact_id = c.id), c.version, \
             c.created_us FROM contact c WHERE $1 = '' OR c.folded LIKE $2 ESCAPE '!' \
             OR EXISTS (SELECT 1 FROM contact_address d WHERE d.contact_id = c.id AND d.address LIKE $2 ESCAPE '!') \
             ORDER BY c.id DESC LIMIT $3",
        );
        let rows = self.rows(query.bind(words).bind(like(words)).bind(limit)).await?;
        let mut contacts: Vec<ContactRow> = rows.iter().rev().map(read).collect::<Result<_, _>>()?;
        for some in contacts.chunks_mut(IDS_A_QUERY) {
            self.add_addresses(some).await?;
        }
        Ok(contacts)
    }

    pub async fn contact(&mut self, id: ContactId) -> Result<ContactRow, Error> {
        let query = sqlx::query(
            "SELECT c.id, c.name, c.role, (SELECT count(*) FROM ticket t WHERE t.contact_id = c.id), c.version, \
             c.created_us FROM contact c WHERE c.id = $1",
        );
        let row = self.maybe_row(query.bind(id.0)).await?;
        let mut contact = [read(&row.ok_or_else(|| Error::Missing(format!("contact #{id}")))?)?];
        self.add_addresses(&mut contact).await?;
        let [contact] = contact;
        Ok(contact)
    }

    /// The contact that a person names by id or by one of its addresses.
    pub async fn find_contact(&mut self, named: &str) -> Result<ContactRow, Error> {
        if let Ok(id) = named.parse() {
            return self.contact(id).await;
        }
        let query = sqlx::query("SELECT contact_id FROM contact_address WHERE address = $1");
        let row = self.maybe_row(query.bind(named.to_lowercase())).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("contact {named:?}")))?;
        self.contact(ContactId(Reader::new(&row).int()?)).await
    }

    /// Under the desk lock: an address that is added is known to decisions from this number on.
    pub async fn edit_contact(
        &mut self,
        id: ContactId,
        version: i64,
        edit: &ContactEdit,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE contact SET name = coalesce($1, name), folded = coalesce($2, folded), role = coalesce($3, role), \
             version = version + 1 WHERE id = $4 AND version = $5",
        );
        let folded = edit.name.as_ref().map(|name| name.to_lowercase());
        let query = query.bind(edit.name.clone()).bind(folded).bind(edit.role.clone());
        let query = query.bind(id.0).bind(version);
        if self.execute(query).await? == 0 {
            self.contact(id).await?;
            return Err(Error::Stale(format!("contact #{id}")));
        }
        for address in &edit.remove {
            self.remove_contact_address(id, address).await?;
        }
        for address in &edit.add {
            self.give_contact_address(id, address).await?;
        }
        Ok(())
    }

    async fn remove_contact_address(&mut self, id: ContactId, address: &Address) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM contact_address WHERE address = $1 AND contact_id = $2");
        match self.execute(query.bind(address.as_str()).bind(id.0)).await? {
            0 => Err(Error::Missing(format!("address {address} of contact #{id}"))),
            _ => Ok(()),
        }
    }

    async fn give_contact_address(&mut self, id: ContactId, address: &Address) -> Result<(), Error> {
        let query = sqlx::query("SELECT contact_id FROM contact_address WHERE address = $1");
        if let Some(row) = self.maybe_row(query.bind(address.as_str())).await? {
            let owner = ContactId(Reader::new(&row).int()?);
            return Err(Error::Taken(format!("{address} belongs to contact #{owner}; it")));
        }
        let number = self.draw(Counter::Event).await?;
        let query =
            sqlx::query("INSERT INTO contact_address (address, contact_id, number) VALUES ($1, $2, $3)");
        self.execute(query.bind(address.as_str()).bind(id.0).bind(number)).await.map(drop)
    }

    async fn add_addresses(&mut self, contacts: &mut [ContactRow]) -> Result<(), Error> {
        let sql = format!(
            "SELECT contact_id, address, bounced_us, bounce_status FROM contact_address WHERE contact_id IN ({}) \
             ORDER BY number, address",
            placeholders(1, contacts.len())
        );
        let query =
            contacts.iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |query, c| query.bind(c.id.0));
        let mut addresses: HashMap<ContactId, Vec<ContactAddress>> = HashMap::new();
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            addresses.entry(ContactId(row.int()?)).or_default().push(ContactAddress {
                address: row.text()?,
                bounced: row.maybe_time()?.map(Micros::rfc3339),
                bounce_status: row.text()?,
            });
        }
        for contact in contacts {
            contact.addresses = addresses.remove(&contact.id).unwrap_or_default();
        }
        Ok(())
    }
}

fn read(row: &sqlx::any::AnyRow) -> Result<ContactRow, Error> {
    let mut row = Reader::new(row);
    Ok(ContactRow {
        id: ContactId(row.int()?),
        name: row.text()?,
        role: row.text()?,
        addresses: vec![],
        tickets: row.int()?,
        version: row.int()?,
        created: row.time()?.rfc3339(),
    })
}

/// A pattern for LIKE that holds the words as they stand.
fn like(words: &str) -> String {
    let words = words.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{words}%")
}
