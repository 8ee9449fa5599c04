//! What the configuration file declares, laid down in the store (G3): upserts by name; what left the file is switched off.

use super::rules::{PREDECESSOR_TAGS, VERDICTS};
use super::settings::Kind;
use super::{Error, PasswordChange, Stamp, Store, Tx};
use crate::config::{AccountSpec, Declared, Surroundings, TypeSpec};
use crate::seal::SealingKey;
use crate::triage::Rules;

impl Store {
    /// Makes the keys of a new desk, and lays down what is declared. Where all stands so already, nothing is written.
    /// Gives what was changed, a line each, for the log.
    pub async fn provision(&self, declared: &Declared, stamp: &Stamp<'_>) -> Result<Vec<String>, Error> {
        let mut look = self.read().await?;
        if look.has_keys().await? && look.is_as_declared(declared, stamp.key).await? {
            // A wrong key is told at the start, not at the first mail.
            look.mail_keys(stamp.key).await?;
            return Ok(vec![]);
        }
        drop(look);
        let mut tx = self.write().await?;
        tx.ensure_keys(stamp).await?;
        tx.mail_keys(stamp.key).await?;
        let changes = tx.provision(declared, stamp).await?;
        tx.commit().await?;
        Ok(changes)
    }

    /// The rules as they would be if this were declared. Nothing stays written: what is laid down to find out is taken back.
    pub async fn rules_if_declared(&self, declared: &Declared, stamp: &Stamp<'_>) -> Result<Rules, Error> {
        let mut look = self.read().await?;
        if look.is_as_declared(declared, stamp.key).await? {
            return look.load_rules().await;
        }
        drop(look);
        let mut tx = self.write().await?;
        tx.provision(declared, stamp).await?;
        tx.load_rules().await
    }
}

impl Tx {
    /// Whether provisioning would change nothing.
    pub async fn is_as_declared(&mut self, declared: &Declared, key: &SealingKey) -> Result<bool, Error> {
        for (name, value) in declared_settings(declared)? {
            if self.setting(name).await?.as_ref() != Some(&value) {
                return Ok(false);
            }
        }
        let providers = self.oauth_providers().await?;
        for (spec, secret) in &declared.providers {
            let found = providers.iter().find(|p| p.is_provisioned && p.is_active && p.spec == *spec);
            let Some(row) = found else { return Ok(false) };
            if !self.is_password(row.secret, secret.as_ref(), key).await? {
                return Ok(false);
            }
        }
        let relays = self.relays().await?;
        for (spec, password) in &declared.relays {
            let Some(row) = relays.iter().find(|r| r.is_provisioned && r.spec == *spec) else {
                return Ok(false);
            };
            if !self.is_password(row.password, password.as_ref(), key).await? {
                return Ok(false);
            }
        }
        let mailboxes = self.mailboxes().await?;
        for (spec, password) in &declared.mailboxes {
            let found = mailboxes.iter().find(|m| m.is_provisioned && m.spec == *spec);
            let Some(row) = found else { return Ok(false) };
            if !self.is_password(row.password, password.as_ref(), key).await? {
                return Ok(false);
            }
        }
        let types = self.types().await?;
        let accounts = self.accounts().await?;
        let has_type = |spec: &TypeSpec| types.iter().any(|t| t.is_provisioned && t.spec == *spec);
        let has_account = |spec: &AccountSpec| accounts.iter().any(|a| a.is_provisioned && a.spec == *spec);
        let count = [
            (providers.iter().filter(|p| p.is_provisioned).count(), declared.providers.len()),
            (relays.iter().filter(|r| r.is_provisioned).count(), declared.relays.len()),
            (mailboxes.iter().filter(|m| m.is_provisioned).count(), declared.mailboxes.len()),
            (types.iter().filter(|t| t.is_provisioned).count(), declared.types.len()),
            (accounts.iter().filter(|a| a.is_provisioned).count(), declared.accounts.len()),
        ];
        Ok(declared.types.iter().all(has_type)
            && declared.accounts.iter().all(has_account)
            && count.iter().all(|(found, wanted)| found == wanted))
    }

    /// Lays down what is declared; gives what was changed.
    pub async fn provision(&mut self, declared: &Declared, stamp: &Stamp<'_>) -> Result<Vec<String>, Error> {
        self.lock_settings().await?;
        let mut changes = vec![];
        self.provision_surroundings(declared, &mut changes).await?;
        self.provision_oauth_providers(declared, stamp, &mut changes).await?;
        self.provision_relays(declared, stamp, &mut changes).await?;
        self.provision_mailboxes(declared, stamp, &mut changes).await?;
        self.provision_types(declared, stamp, &mut changes).await?;
        self.provision_accounts(declared, stamp, &mut changes).await?;
        self.require_no_conflict().await?;
        Ok(changes)
    }

    async fn provision_surroundings(
        &mut self,
        declared: &Declared,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        for (name, value) in declared_settings(declared)? {
            let old = self.setting(name).await?;
            if old.as_ref() != Some(&value) {
                self.set_setting(name, &value).await?;
                // A new desk has them all, and most say nothing.
                changes.extend(old.map(|_| format!("setting {name} changed")));
            }
        }
        let first = declared.surroundings.first_ticket_number;
        if self.raise_ticket_counter(first).await? {
            changes.push(format!("the next ticket is #{first}"));
        }
        Ok(())
    }

    /// Whether the next ticket's number had to be raised to be no less than this.
    pub async fn raise_ticket_counter(&mut self, first: u64) -> Result<bool, Error> {
        let query = sqlx::query("UPDATE counter SET value = $1 WHERE name = 'ticket' AND value < $1");
        Ok(self.execute(query.bind(first.saturating_sub(1) as i64)).await? > 0)
    }

    async fn provision_oauth_providers(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.oauth_providers().await?;
        for (spec, secret) in &declared.providers {
            match rows.iter().find(|r| r.spec.name == spec.name) {
                None => {
                    let id = self.insert_oauth_provider(spec, secret.as_ref(), stamp).await?;
                    self.mark_provisioned(Kind::Provider, id.0).await?;
                    changes.push(format!("oauth_provider {:?} added", spec.name));
                }
                Some(row) => {
                    let is_same = self.is_password(row.secret, secret.as_ref(), stamp.key).await?;
                    if row.is_provisioned && row.is_active && row.spec == *spec && is_same {
                        continue;
                    }
                    self.write_oauth_provider(row, spec, (secret.as_ref(), stamp)).await?;
                    self.mark_provisioned(Kind::Provider, row.id.0).await?;
                    changes.push(format!("oauth_provider {:?} changed", spec.name));
                }
            }
        }
        for row in rows.iter().filter(|r| r.is_provisioned) {
            if !declared.providers.iter().any(|(spec, _)| spec.name == row.spec.name) {
                self.release(Kind::Provider, row.id.0).await?;
                changes.push(format!(
                    "oauth_provider {:?} switched off: it left the configuration",
                    row.spec.name
                ));
            }
        }
        Ok(())
    }

    async fn provision_relays(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.relays().await?;
        for (spec, password) in &declared.relays {
            let change = PasswordChange::from(password.clone());
            match rows.iter().find(|r| r.spec.name == spec.name) {
                None => {
                    let id = self.insert_relay(spec, &change, stamp).await?;
                    self.mark_provisioned(Kind::Relay, id.0).await?;
                    changes.push(format!("relay {:?} added", spec.name));
                }
                Some(row) => {
                    let is_same = self.is_password(row.password, password.as_ref(), stamp.key).await?;
                    if row.is_provisioned && row.spec == *spec && is_same {
                        continue;
                    }
                    let change = if is_same { PasswordChange::Keep } else { change };
                    self.write_relay(row, spec, (&change, stamp)).await?;
                    self.mark_provisioned(Kind::Relay, row.id.0).await?;
                    changes.push(format!("relay {:?} changed", spec.name));
                }
            }
        }
        for row in rows.iter().filter(|r| r.is_provisioned) {
            if !declared.relays.iter().any(|(spec, _)| spec.name == row.spec.name) {
                self.release(Kind::Relay, row.id.0).await?;
                changes.push(format!("relay {:?} switched off: it left the configuration", row.spec.name));
            }
        }
        Ok(())
    }

    async fn provision_mailboxes(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.mailboxes().await?;
        for (spec, password) in &declared.mailboxes {
            let change = PasswordChange::from(password.clone());
            match rows.iter().find(|m| m.spec.name == spec.name) {
                None => {
                    let id = self.insert_mailbox(spec, &change, stamp).await?;
                    self.mark_provisioned(Kind::Mailbox, id.0).await?;
                    changes.push(format!("mailbox {:?} added", spec.name));
                }
                Some(row) => {
                    let is_same = self.is_password(row.password, password.as_ref(), stamp.key).await?;
                    if row.is_provisioned && row.spec == *spec && is_same {
                        continue;
                    }
                    let change = if is_same { PasswordChange::Keep } else { change };
                    self.write_mailbox(row, spec, (&change, stamp)).await?;
                    self.mark_provisioned(Kind::Mailbox, row.id.0).await?;
                    changes.push(format!("mailbox {:?} changed", spec.name));
                }
            }
        }
        for row in rows.iter().filter(|m| m.is_provisioned) {
            if !declared.mailboxes.iter().any(|(spec, _)| spec.name == row.spec.name) {
                self.release(Kind::Mailbox, row.id.0).await?;
                changes.push(format!("mailbox {:?} switched off: it left the configuration", row.spec.name));
            }
        }
        Ok(())
    }

    async fn provision_types(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.types().await?;
        for spec in &declared.types {
            match rows.iter().find(|t| t.spec.name == spec.name) {
                None => {
                    let id = self.insert_type(spec, stamp).await?;
                    self.mark_provisioned(Kind::Type, id.0).await?;
                    changes.push(format!("type {:?} added", spec.name));
                }
                Some(row) if row.is_provisioned && row.spec == *spec => {}
                Some(row) => {
                    self.write_type(row.id, spec).await?;
                    self.mark_provisioned(Kind::Type, row.id.0).await?;
                    changes.push(format!("type {:?} changed", spec.name));
                }
            }
        }
        for row in rows.iter().filter(|t| t.is_provisioned) {
            if !declared.types.iter().any(|spec| spec.name == row.spec.name) {
                self.release(Kind::Type, row.id.0).await?;
                changes.push(format!("type {:?} switched off: it left the configuration", row.spec.name));
            }
        }
        Ok(())
    }

    async fn provision_accounts(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.accounts().await?;
        let mut changed = vec![];
        for spec in &declared.accounts {
            let id = match rows.iter().find(|a| a.spec.login == spec.login) {
                None => self.insert_account(spec, stamp).await?,
                Some(row) if row.is_provisioned && row.spec == *spec => continue,
                Some(row) => {
                    self.write_account(row.id, spec).await?;
                    self.forget_addresses(row.id).await?;
                    row.id
                }
            };
            self.mark_provisioned(Kind::Account, id.0).await?;
            changes.push(format!("account {:?} laid down", spec.login));
            changed.push((id, spec));
        }
        for row in rows.iter().filter(|a| a.is_provisioned) {
            if !declared.accounts.iter().any(|spec| spec.login == row.spec.login) {
                self.release(Kind::Account, row.id.0).await?;
                // An address may go on to another account.
                self.forget_addresses(row.id).await?;
                changes.push(format!("account {:?} switched off: it left the configuration", row.spec.login));
            }
        }
        for (id, spec) in changed {
            self.write_addresses(id, spec).await?;
        }
        Ok(())
    }

    /// Marks a row as one of the configuration file.
    async fn mark_provisioned(&mut self, kind: Kind, id: i64) -> Result<(), Error> {
        let sql = format!("UPDATE {} SET provisioned = 1 WHERE id = $1", kind.table());
        self.execute(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await.map(drop)
    }
}

/// What of the configuration stands in the table of settings, as it is written there.
fn declared_settings(declared: &Declared) -> Result<[(&'static str, String); 3], Error> {
    let Surroundings { verdicts, predecessor_tags, first_ticket_number } = &declared.surroundings;
    Ok([
        (VERDICTS, serde_json::to_string(verdicts)?),
        (PREDECESSOR_TAGS, serde_json::to_string(predecessor_tags)?),
        ("first_ticket_number", first_ticket_number.to_string()),
    ])
}
