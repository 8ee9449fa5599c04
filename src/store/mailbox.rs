//! Mailboxes: what they are to be, and how they fare.

use super::reader::{Reader, stored};
use super::secret::{PasswordChange, Stamp};
use super::settings::Kind;
use super::tx::without_nul;
use super::{Counter, Error, Tx, Unknown};
use crate::clock::Micros;
use crate::config::MailboxSpec;
use crate::failure::Kind as Failing;
use crate::ticket::{MailboxId, SecretId};

#[derive(Clone, Debug)]
pub struct MailboxRow {
    pub id: MailboxId,
    pub spec: MailboxSpec,
    pub password: Option<SecretId>,
    /// Rises when host or username is edited: what lies there is another account then.
    pub epoch: i64,
    /// Waits for `mailbox resume`.
    pub is_held: bool,
    pub is_provisioned: bool,
    pub version: i64,
    pub created: Micros,
    pub last_round: Option<Micros>,
    pub last_ok: Option<Micros>,
    pub failing_since: Option<Micros>,
    pub failures: i64,
    pub last_error: String,
    /// The word of the last failure's kind; empty where the last round went well.
    pub failure_kind: String,
    pub shown: i64,
}

/// A mailbox without mail.
#[derive(Clone, Debug)]
pub struct Quiet {
    pub id: MailboxId,
    pub name: String,
    pub last_mail: Micros,
    pub last_ok: Micros,
}

const SELECT: &str = "SELECT id, name, protocol, host, port, tls, auth, username, folders, handled, move_to, \
    size_limit_bytes, interval_s, schedule, timezone, idle, start, mode, active, password_id, epoch, held, provisioned, \
    version, created_us, \
    last_round_us, last_ok_us, failing_since_us, failures, last_error, failure_kind, shown FROM mailbox";

fn read(row: &sqlx::any::AnyRow) -> Result<MailboxRow, Error> {
    let mut row = Reader::new(row);
    Ok(MailboxRow {
        id: MailboxId(row.int()?),
        spec: MailboxSpec {
            name: row.text()?,
            protocol: row.word()?,
            host: row.text()?,
            port: row.whole()?,
            tls: row.word()?,
            auth: row.word()?,
            username: row.text()?,
            folders: row.json()?,
            handled: row.word()?,
            move_to: row.text()?,
            size_limit_bytes: row.whole()?,
            interval_s: row.whole()?,
            schedule: row.text()?,
            timezone: row.text()?,
            idle: row.flag()?,
            start: row.word()?,
            mode: row.word()?,
            is_active: row.flag()?,
        },
        password: row.maybe_int()?.map(SecretId),
        epoch: row.int()?,
        is_held: row.flag()?,
        is_provisioned: row.flag()?,
        version: row.int()?,
        created: row.time()?,
        last_round: row.maybe_time()?,
        last_ok: row.maybe_time()?,
        failing_since: row.maybe_time()?,
        failures: row.int()?,
        last_error: row.text()?,
        failure_kind: row.text()?,
        shown: row.int()?,
    })
}

impl Tx {
    pub async fn mailboxes(&mut self) -> Result<Vec<MailboxRow>, Error> {
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id")))).await?;
        rows.iter().map(read).collect()
    }

    pub async fn mailbox(&mut self, id: MailboxId) -> Result<MailboxRow, Error> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1"))).bind(id.0);
        let row = self.maybe_row(query).await?.ok_or_else(|| Error::Missing(format!("mailbox #{id}")))?;
        read(&row)
    }

    /// By name, `7` or `#7`.
    pub async fn find_mailbox(&mut self, named: &str) -> Result<MailboxRow, Error> {
        let id = self.find_setting(Kind::Mailbox, named).await?;
        self.mailbox(MailboxId(id)).await
    }

    pub async fn create_mailbox(
        &mut self,
        spec: &MailboxSpec,
        password: &PasswordChange,
        stamp: &Stamp<'_>,
    ) -> Result<MailboxId, Error> {
        self.lock_settings().await?;
        let id = self.insert_mailbox(spec, password, stamp).await?;
        self.require_no_conflict().await?;
        Ok(id)
    }

    /// Edits what the editor saw as `version`.
    pub async fn update_mailbox(
        &mut self,
        id: MailboxId,
        version: i64,
        spec: &MailboxSpec,
        (password, stamp): (&PasswordChange, &Stamp<'_>),
    ) -> Result<(), Error> {
        self.begin_edit(Kind::Mailbox, id.0, version).await?;
        let row = self.mailbox(id).await?;
        self.write_mailbox(&row, spec, (password, stamp)).await?;
        self.require_no_conflict().await
    }

    pub async fn delete_mailbox(&mut self, id: MailboxId, version: i64) -> Result<(), Error> {
        self.begin_delete(Kind::Mailbox, id.0, version).await?;
        let password = self.mailbox(id).await?.password;
        self.execute(sqlx::query("DELETE FROM folder WHERE mailbox_id = $1").bind(id.0)).await?;
        self.delete_grant_of("mailbox", id.0).await?;
        self.execute(sqlx::query("DELETE FROM mailbox WHERE id = $1").bind(id.0)).await?;
        self.delete_secret(password).await
    }

    /// Lets a mailbox wait for `resume_mailbox`.
    pub async fn hold_mailbox(&mut self, id: MailboxId) -> Result<(), Error> {
        let query =
            sqlx::query("UPDATE mailbox SET held = 1, version = version + 1 WHERE id = $1 AND held = 0");
        self.execute(query.bind(id.0)).await.map(drop)
    }

    /// Lets a held mailbox go on; false if it was not held. `unknown`: what becomes of the mail that it was held for.
    pub async fn resume_mailbox(&mut self, id: MailboxId, unknown: Unknown) -> Result<bool, Error> {
        let query = sqlx::query("UPDATE folder SET unknown = $2 WHERE mailbox_id = $1 AND unknown = 'held'");
        self.execute(query.bind(id.0).bind(unknown.as_str())).await?;
        let query =
            sqlx::query("UPDATE mailbox SET held = 0, version = version + 1 WHERE id = $1 AND held = 1");
        Ok(self.execute(query.bind(id.0)).await? > 0)
    }

    /// How a round went: `None` is well, else the kind and the words of its failure. Gives the failures in a row, and since
    /// when it fails.
    pub async fn record_round(
        &mut self,
        id: MailboxId,
        failed: Option<(Failing, &str)>,
        now: Micros,
    ) -> Result<(u32, Option<Micros>), Error> {
        let query = match failed {
            None => sqlx::query(
                "UPDATE mailbox SET last_round_us = $2, last_ok_us = $2, failing_since_us = NULL, failures = 0, \
                 last_error = $3, failure_kind = $4 WHERE id = $1 RETURNING failures, failing_since_us",
            ),
            Some(_) => sqlx::query(
                "UPDATE mailbox SET last_round_us = $2, failing_since_us = coalesce(failing_since_us, $2), \
                 failures = failures + 1, last_error = $3, failure_kind = $4 WHERE id = $1 RETURNING failures, failing_since_us",
            ),
        };
        let (kind, words) = failed.map_or(("", ""), |(kind, words)| (kind.word(), words));
        let query = query.bind(id.0).bind(now.0).bind(without_nul(words)).bind(kind);
        // Deleted meanwhile: nobody asks any more.
        let Some(row) = self.maybe_row(query).await? else { return Ok((0, None)) };
        let mut row = Reader::new(&row);
        Ok((u32::try_from(row.int()?).unwrap_or(u32::MAX), row.maybe_time()?))
    }

    /// A round has brought mail.
    pub async fn note_mail(&mut self, id: MailboxId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query("UPDATE mailbox SET last_mail_us = $2 WHERE id = $1");
        self.execute(query.bind(id.0).bind(now.0)).await.map(drop)
    }

    /// Mailboxes that are read without trouble, and that have had no mail for at least so many microseconds.
    pub async fn quiet_mailboxes(&mut self, least_us: i64) -> Result<Vec<Quiet>, Error> {
        let query = sqlx::query(
            "SELECT m.id, m.name, m.last_mail_us, m.last_ok_us FROM mailbox m WHERE m.active = 1 AND m.held = 0 \
             AND m.failing_since_us IS NULL AND m.last_ok_us - m.last_mail_us > $1 AND EXISTS \
             (SELECT 1 FROM ticket_type t WHERE t.mailbox_id = m.id AND t.active = 1) ORDER BY m.id",
        );
        let rows = self.rows(query.bind(least_us)).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(Quiet {
                    id: MailboxId(row.int()?),
                    name: row.text()?,
                    last_mail: row.time()?,
                    last_ok: row.time()?,
                })
            })
            .collect()
    }

    /// When the last so many messages of a mailbox came, as far as they came by themselves.
    pub async fn times_of_mail(&mut self, id: MailboxId, limit: i64) -> Result<Vec<Micros>, Error> {
        let query = sqlx::query(
            "SELECT kept_us FROM arrival WHERE mailbox_id = $1 AND silent = 0 AND state <> 'before_start' \
             ORDER BY kept_us DESC LIMIT $2",
        );
        let rows = self.rows(query.bind(id.0).bind(limit)).await?;
        rows.iter().map(|row| Reader::new(row).time()).collect()
    }

    pub(super) async fn insert_mailbox(
        &mut self,
        spec: &MailboxSpec,
        password: &PasswordChange,
        stamp: &Stamp<'_>,
    ) -> Result<MailboxId, Error> {
        self.require_free_name(Kind::Mailbox, &spec.name, 0).await?;
        let id = self.draw(Counter::Setting).await?;
        let password = self.change_password(None, password.beside(spec.auth), stamp).await?;
        let query = sqlx::query(
            "INSERT INTO mailbox (name, protocol, host, port, tls, username, folders, handled, move_to, \
             size_limit_bytes, interval_s, schedule, timezone, idle, start, mode, active, auth, password_id, id, \
             created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
        );
        let query = bind(query, spec)?.bind(password.map(|p| p.0)).bind(id).bind(stamp.now.0);
        self.execute(query).await?;
        Ok(MailboxId(id))
    }

    pub(super) async fn write_mailbox(
        &mut self,
        row: &MailboxRow,
        spec: &MailboxSpec,
        (password, stamp): (&PasswordChange, &Stamp<'_>),
    ) -> Result<(), Error> {
        self.require_free_name(Kind::Mailbox, &spec.name, row.id.0).await?;
        let is_other = row.spec.host != spec.host || row.spec.username != spec.username;
        let kept = self.change_password(row.password, password.beside(spec.auth), stamp).await?;
        let query = sqlx::query(
            "UPDATE mailbox SET name = $1, protocol = $2, host = $3, port = $4, tls = $5, username = $6, \
             folders = $7, handled = $8, move_to = $9, size_limit_bytes = $10, interval_s = $11, \
             schedule = $12, timezone = $13, idle = $14, start = $15, mode = $16, active = $17, auth = $18, \
             password_id = $19, epoch = epoch + $20, version = version + 1 WHERE id = $21",
        );
        let query = bind(query, spec)?.bind(kept.map(|p| p.0)).bind(i64::from(is_other)).bind(row.id.0);
        self.execute(query).await?;
        if kept.is_none() {
            self.delete_secret(row.password).await?;
        }
        Ok(())
    }
}

/// $1 to $18.
fn bind<'q>(query: super::Statement<'q>, spec: &MailboxSpec) -> Result<super::Statement<'q>, Error> {
    Ok(query
        .bind(spec.name.clone())
        .bind(spec.protocol.as_str())
        .bind(spec.host.clone())
        .bind(i64::from(spec.port))
        .bind(spec.tls.as_str())
        .bind(spec.username.clone())
        .bind(serde_json::to_string(&spec.folders)?)
        .bind(spec.handled.as_str())
        .bind(spec.move_to.clone())
        .bind(stored(spec.size_limit_bytes))
        .bind(stored(spec.interval_s))
        .bind(spec.schedule.clone())
        .bind(spec.timezone.clone())
        .bind(i64::from(spec.idle))
        .bind(spec.start.as_str())
        .bind(spec.mode.as_str())
        .bind(i64::from(spec.is_active))
        .bind(spec.auth.as_str()))
}
