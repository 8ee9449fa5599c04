//! What the configuration file declares, laid down in the store (G3): upserts by name; what left the file is switched off.

use super::rules::{LOOPS, PREDECESSOR_TAGS, TRUST, VERDICTS};
use super::settings::Kind;
use super::{Error, PasswordChange, Stamp, Store, Tx};
use crate::config::{AccountSpec, Declared, Surroundings, TypeSpec};
use crate::seal::SealingKey;
use crate::ticket::AccountId;
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
            let Some(row) = rows.iter().find(|r| r.spec.name == spec.name) else {
                let id = self.insert_oauth_provider(spec, secret.as_ref(), stamp).await?;
                self.adopt((Kind::Provider, id.0), &spec.name, "added", changes).await?;
                continue;
            };
            let is_same = self.is_password(row.secret, secret.as_ref(), stamp.key).await?;
            if row.is_provisioned && row.is_active && row.spec == *spec && is_same {
                continue;
            }
            self.write_oauth_provider(row, spec, (secret.as_ref(), stamp)).await?;
            self.adopt((Kind::Provider, row.id.0), &spec.name, "changed", changes).await?;
        }
        let names: Vec<&str> = declared.providers.iter().map(|(spec, _)| spec.name.as_str()).collect();
        self.switch_off(Kind::Provider, &names, changes).await.map(drop)
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
            let Some(row) = rows.iter().find(|r| r.spec.name == spec.name) else {
                let id = self.insert_relay(spec, &change, stamp).await?;
                self.adopt((Kind::Relay, id.0), &spec.name, "added", changes).await?;
                continue;
            };
            let is_same = self.is_password(row.password, password.as_ref(), stamp.key).await?;
            if row.is_provisioned && row.spec == *spec && is_same {
                continue;
            }
            let change = if is_same { PasswordChange::Keep } else { change };
            self.write_relay(row, spec, (&change, stamp)).await?;
            self.adopt((Kind::Relay, row.id.0), &spec.name, "changed", changes).await?;
        }
        let names: Vec<&str> = declared.relays.iter().map(|(spec, _)| spec.name.as_str()).collect();
        let gone = self.switch_off(Kind::Relay, &names, changes).await?;
        self.hand_over_mail(&gone).await
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
            let Some(row) = rows.iter().find(|m| m.spec.name == spec.name) else {
                let id = self.insert_mailbox(spec, &change, stamp).await?;
                self.adopt((Kind::Mailbox, id.0), &spec.name, "added", changes).await?;
                continue;
            };
            let is_same = self.is_password(row.password, password.as_ref(), stamp.key).await?;
            if row.is_provisioned && row.spec == *spec && is_same {
                continue;
            }
            let change = if is_same { PasswordChange::Keep } else { change };
            self.write_mailbox(row, spec, (&change, stamp)).await?;
            self.adopt((Kind::Mailbox, row.id.0), &spec.name, "changed", changes).await?;
        }
        let names: Vec<&str> = declared.mailboxes.iter().map(|(spec, _)| spec.name.as_str()).collect();
        self.switch_off(Kind::Mailbox, &names, changes).await.map(drop)
    }

    async fn provision_types(
        &mut self,
        declared: &Declared,
        stamp: &Stamp<'_>,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let rows = self.types().await?;
        for spec in &declared.types {
            let (id, what) = match rows.iter().find(|t| t.spec.name == spec.name) {
                None => (self.insert_type(spec, stamp).await?, "added"),
                Some(row) if row.is_provisioned && row.spec == *spec => continue,
                Some(row) => {
                    self.write_type(row.id, spec).await?;
                    (row.id, "changed")
                }
            };
            self.adopt((Kind::Type, id.0), &spec.name, what, changes).await?;
        }
        let names: Vec<&str> = declared.types.iter().map(|spec| spec.name.as_str()).collect();
        self.switch_off(Kind::Type, &names, changes).await.map(drop)
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
            self.adopt((Kind::Account, id.0), &spec.login, "laid down", changes).await?;
            changed.push((id, spec));
        }
        let logins: Vec<&str> = declared.accounts.iter().map(|spec| spec.login.as_str()).collect();
        for id in self.switch_off(Kind::Account, &logins, changes).await? {
            // An address may go on to another account.
            self.forget_addresses(AccountId(id)).await?;
        }
        for (id, spec) in changed {
            self.write_addresses(id, spec).await?;
        }
        Ok(())
    }

    /// A row is the configuration file's from now on.
    async fn adopt(
        &mut self,
        (kind, id): (Kind, i64),
        name: &str,
        what: &str,
        changes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let sql = format!("UPDATE {} SET provisioned = 1 WHERE id = $1", kind.table());
        self.execute(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await?;
        changes.push(format!("{} {name:?} {what}", kind.word()));
        Ok(())
    }

    /// Switches off what has left the configuration file; gives the ids.
    async fn switch_off(
        &mut self,
        kind: Kind,
        declared: &[&str],
        changes: &mut Vec<String>,
    ) -> Result<Vec<i64>, Error> {
        let mut switched_off = vec![];
        for (id, name) in self.provisioned(kind).await? {
            if !declared.contains(&name.as_str()) {
                self.release(kind, id).await?;
                changes.push(format!("{} {name:?} switched off: it left the configuration", kind.word()));
                switched_off.push(id);
            }
        }
        Ok(switched_off)
    }
}

/// What of the configuration stands in the table of settings, as it is written there.
fn declared_settings(declared: &Declared) -> Result<[(&'static str, String); 5], Error> {
    let Surroundings { verdicts, trust, predecessor_tags, first_ticket_number, loops } =
        &declared.surroundings;
    Ok([
        (VERDICTS, serde_json::to_string(verdicts)?),
        (TRUST, serde_json::to_string(trust)?),
        (PREDECESSOR_TAGS, serde_json::to_string(predecessor_tags)?),
        (LOOPS, serde_json::to_string(loops)?),
        ("first_ticket_number", first_ticket_number.to_string()),
    ])
}
