//! The rules that decisions are made by, and the desk's own keys: loaded once a batch.

use super::reader::Reader;
use super::secret::Stamp;
use super::{Error, Tx};
use crate::mail::{Address, MailKeys};
use crate::seal::{SealingKey, Secret, from_hex, to_hex};
use crate::ticket::{AccountId, MailboxId, RelayId};
use crate::triage::{MailboxRule, RelayRule, Rules, TypeRule};

const MAC_KEY: &str = "mac_key";
const HASH_KEY: &str = "hash_key";
pub(super) const VERDICTS: &str = "verdicts";
pub(super) const TRUST: &str = "trust";
pub(super) const PREDECESSOR_TAGS: &str = "predecessor_tags";
pub(super) const LOOPS: &str = "loops";
const DESK_MARK: &str = "desk_mark";

impl Tx {
    /// Types, mailboxes, accounts and blocks as they stand now.
    pub async fn load_rules(&mut self) -> Result<Rules, Error> {
        let relays = self.relay_rules().await?;
        let types = self.type_rules(&relays).await?;
        let bounce = Rules::bounce_address(&types);
        Ok(Rules {
            types,
            mailboxes: self.mailbox_rules().await?,
            relays,
            accounts: self.account_rules().await?,
            blocked: self.blocked_patterns().await?,
            bounce_local: bounce.as_ref().map_or(String::new(), |a| a.local().to_owned()),
            bounce_domain: bounce.as_ref().map_or(String::new(), |a| a.domain().to_owned()),
            desk: self.setting(DESK_MARK).await?.unwrap_or_default(),
            verdicts: self.json_setting(VERDICTS).await?,
            trust: self.json_setting(TRUST).await?,
            predecessor_tags: self.json_setting(PREDECESSOR_TAGS).await?,
            loops: self.json_setting(LOOPS).await?,
        })
    }

    async fn json_setting<T: serde::de::DeserializeOwned + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, Error> {
        Ok(self.setting(name).await?.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    }

    /// Of active types; one without a relay sends through the first.
    async fn type_rules(&mut self, relays: &[RelayRule]) -> Result<Vec<TypeRule>, Error> {
        let first = relays.first().map(|relay| relay.id);
        let types = self.types().await?.into_iter().filter(|row| row.spec.is_active);
        Ok(types.map(|row| row.spec.rule(row.id, row.mailbox, row.relay.or(first))).collect())
    }

    async fn mailbox_rules(&mut self) -> Result<Vec<MailboxRule>, Error> {
        let rows = self.rows(sqlx::query("SELECT id, name, username FROM mailbox ORDER BY id")).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(MailboxRule { id: MailboxId(row.int()?), name: row.text()?, username: row.text()? })
            })
            .collect()
    }

    async fn relay_rules(&mut self) -> Result<Vec<RelayRule>, Error> {
        let rows =
            self.rows(sqlx::query("SELECT id, sender, verp FROM relay WHERE active = 1 ORDER BY id")).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(RelayRule { id: RelayId(row.int()?), sender: row.word()?, verp: row.flag()? })
            })
            .collect()
    }

    async fn account_rules(&mut self) -> Result<Vec<(Address, AccountId)>, Error> {
        let query = sqlx::query(
            "SELECT d.address, d.account_id FROM account_address d JOIN account a ON a.id = d.account_id \
             WHERE a.active = 1 AND a.role <> 'read_only' ORDER BY d.account_id, d.position",
        );
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok((row.word::<Address>()?, AccountId(row.int()?)))
            })
            .collect()
    }

    async fn blocked_patterns(&mut self) -> Result<Vec<String>, Error> {
        let query = sqlx::query("SELECT pattern FROM block_list WHERE verdict = 'block'");
        let rows = self.rows(query).await?;
        let mut patterns: Vec<String> =
            rows.iter().map(|row| Reader::new(row).text()).collect::<Result<_, _>>()?;
        // The first that names a sender stands in the trace: the order is ours, not that of a locale.
        patterns.sort();
        Ok(patterns)
    }

    /// The desk's keys for Message-IDs, return paths and hashes that outlive erasure.
    pub async fn mail_keys(&mut self, key: &SealingKey) -> Result<MailKeys, Error> {
        let mut macs = vec![];
        for (id, secret) in self.secrets_for(MAC_KEY, key).await? {
            macs.push((id, key_bytes(&secret)?));
        }
        let hash = self.secrets_for(HASH_KEY, key).await?;
        let (_, hash) = hash.first().ok_or_else(|| Error::Missing("hash key of the desk".to_owned()))?;
        Ok(MailKeys::new(macs, key_bytes(hash)?))
    }

    /// A new key for Message-IDs and return paths; the old ones go on knowing theirs. Gives its id.
    pub async fn add_mail_key(&mut self, stamp: &Stamp<'_>) -> Result<i64, Error> {
        self.lock_settings().await?;
        let query =
            sqlx::query("SELECT coalesce(max(key_id), 0) FROM secret WHERE purpose = $1").bind(MAC_KEY);
        let id = Reader::new(&self.row(query).await?).int()? + 1;
        let fresh = Secret::new(to_hex(&(stamp.random)()));
        self.create_secret(MAC_KEY, &fresh, id, stamp).await?;
        Ok(id)
    }

    pub async fn has_keys(&mut self) -> Result<bool, Error> {
        let query = sqlx::query(
            "SELECT (SELECT count(*) FROM secret WHERE purpose = 'hash_key') \
             + (SELECT count(*) FROM setting WHERE name = 'desk_mark')",
        );
        Ok(Reader::new(&self.row(query).await?).int()? == 2)
    }

    /// Makes what a new desk needs once: a MAC key, the hash key, and its mark in `X-Maildesk-Loop`.
    pub async fn ensure_keys(&mut self, stamp: &Stamp<'_>) -> Result<(), Error> {
        self.lock_settings().await?;
        for (purpose, key_id) in [(MAC_KEY, 1), (HASH_KEY, 0)] {
            let query = sqlx::query("SELECT count(*) FROM secret WHERE purpose = $1").bind(purpose);
            if Reader::new(&self.row(query).await?).int()? == 0 {
                let fresh = Secret::new(to_hex(&(stamp.random)()));
                self.create_secret(purpose, &fresh, key_id, stamp).await?;
            }
        }
        if self.setting(DESK_MARK).await?.is_none() {
            self.set_setting(DESK_MARK, &to_hex(&(stamp.random)()[..8])).await?;
        }
        Ok(())
    }
}

fn key_bytes(secret: &Secret) -> Result<[u8; 32], Error> {
    let bytes = from_hex(secret.expose()).unwrap_or_default();
    bytes.try_into().map_err(|_| Error::Corrupt("a key of the desk is not 32 bytes long".to_owned()))
}
