//! One round over one mailbox: by its protocol, on a task of its own, and how it went written down.

use tokio::task::JoinSet;

use super::tokens;
use super::works::{Works, broken_off};
use crate::alert;
use crate::config::{Auth, Mode, Protocol, Tls};
use crate::failure::{Failure, Kind};
use crate::intake::{Fates, RoundReport};
use crate::net::Login;
use crate::sources::imap::{self, FolderReport, ImapSource};
use crate::sources::maildir::MaildirSource;
use crate::sources::pop3::Pop3Source;
use crate::sources::{self, ServerSettings};
use crate::store::{MailboxRow, Restored};

impl Works {
    /// One round over one mailbox in a session of its own.
    pub async fn poll(&self, mailbox: &MailboxRow) -> Result<RoundReport, Failure> {
        self.visit(mailbox, None, false).await.map(|(report, _)| report)
    }

    /// One round over one mailbox, on a task of its own: a panic in a parser of the wire ends the round, nothing else.
    /// How it went is written on the mailbox, and an alert is raised or cleared. Too little disk is no fault of its.
    /// `session`: of an earlier round, still open. `keeps`: the session is handed back where the server offers IDLE.
    pub(super) async fn visit(
        &self,
        mailbox: &MailboxRow,
        session: Option<ImapSource>,
        keeps: bool,
    ) -> Result<(RoundReport, Option<ImapSource>), Failure> {
        self.require_live().await?;
        self.intake.space.require()?;
        let turn = self.turn(mailbox);
        let _turn = turn.lock().await;
        let (ours, mut row) = (self.on_mailbox(mailbox).await?, mailbox.clone());
        if self.is_shadow() {
            row.spec.mode = Mode::Shadow;
        }
        let works = ours.clone();
        let mut task = JoinSet::new();
        let begun = tokio::time::Instant::now();
        task.spawn(async move { works.round(&row, session, keeps).await });
        let ended = match task.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(e)) => Err(broken_off("the round", e)),
            None => Err(Failure::temporary("the round never began")),
        };
        self.metrics.round(begun.elapsed(), ended.is_ok());
        let ended = ended.map_err(|f| f.of(format!("mailbox {:?}", mailbox.spec.name)));
        ours.record(mailbox, ended.as_ref().map(|(report, _)| report)).await?;
        ended
    }

    async fn round(
        &self,
        mailbox: &MailboxRow,
        session: Option<ImapSource>,
        keeps: bool,
    ) -> Result<(RoundReport, Option<ImapSource>), Failure> {
        self.reread(mailbox).await?;
        let report = match mailbox.spec.protocol {
            Protocol::Imap => return self.imap_round(mailbox, session, keeps).await,
            Protocol::Maildir => self.intake.round(mailbox, MaildirSource::new(&mailbox.spec.host)).await,
            Protocol::Pop3 => self.pop3_round(mailbox).await,
            Protocol::Pipe => self.intake.round_of_pipe(mailbox).await,
        };
        report.map(|report| (report, None))
    }

    async fn imap_round(
        &self,
        mailbox: &MailboxRow,
        session: Option<ImapSource>,
        keeps: bool,
    ) -> Result<(RoundReport, Option<ImapSource>), Failure> {
        if let Some(mut session) = session {
            match self.intake.open_round(mailbox, &mut session).await {
                Ok(report) => return Ok((report, Some(session))),
                // Sessions grow old; whether the mailbox fails, a new one says.
                Err(e) => tracing::debug!(mailbox.name = mailbox.spec.name, "intake.session_ended {e}"),
            }
        }
        let mut source = ImapSource::connect(self.server_settings(mailbox).await?).await?;
        if !keeps || !source.offers_idle() {
            return Ok((self.intake.round(mailbox, source).await?, None));
        }
        let report = self.intake.open_round(mailbox, &mut source).await?;
        Ok((report, Some(source)))
    }

    /// Session after session, until all is taken in: each is short, for it deletes only at its end.
    async fn pop3_round(&self, mailbox: &MailboxRow) -> Result<RoundReport, Failure> {
        let mut report = RoundReport { is_cut: true, ..RoundReport::default() };
        while report.is_cut {
            let source = Pop3Source::connect(self.server_settings(mailbox).await?).await?;
            report.add(self.intake.round(mailbox, source.under(self.store.clone())).await?);
        }
        Ok(report)
    }

    /// After a restore: what was handled since the backup lies where it was moved to, and is read again once.
    async fn reread(&self, mailbox: &MailboxRow) -> Result<(), Failure> {
        let restored = self.store.read().await?.restored().await?;
        let is_due = |r: &Restored| r.rereads.contains(&mailbox.id) && !self.is_shadow();
        let Some(restored) = restored.filter(is_due) else { return Ok(()) };
        let (folder, since) = (&mailbox.spec.move_to, restored.since());
        let fates = match mailbox.spec.protocol {
            Protocol::Imap => {
                let settings =
                    ServerSettings { folders: vec![folder.clone()], ..self.server_settings(mailbox).await? };
                let looked = imap::examine(settings.clone()).await?;
                match looked.folders.first().filter(|f| is_absent(f)) {
                    // Nothing was ever moved there.
                    Some(absent) => {
                        tracing::warn!("intake.nothing_to_read_again {}", absent.words);
                        Fates::default()
                    }
                    None => self.intake.reread(mailbox, ImapSource::connect(settings).await?, since).await?,
                }
            }
            Protocol::Maildir => {
                let source = MaildirSource::beside(&mailbox.spec.host, folder);
                self.intake.reread(mailbox, source, since).await?
            }
            _ => Fates::default(),
        };
        tracing::info!(mailbox.name = mailbox.spec.name, "intake.read_again messages={}", fates.total());
        let mut tx = self.store.write().await?;
        tx.reread_done(mailbox.id).await?;
        Ok(tx.commit().await?)
    }

    /// How the server of a mailbox is reached, with its password or token.
    pub async fn server_settings(&self, mailbox: &MailboxRow) -> Result<ServerSettings, Failure> {
        let spec = &mailbox.spec;
        Ok(ServerSettings {
            host: spec.host.clone(),
            port: spec.port,
            tls: protection(spec.tls),
            login: self.login_of(mailbox).await?,
            folders: spec.folders.clone(),
            extra_roots: self.extra_roots.clone(),
            spool_dir: self.intake.settings.spool.clone(),
            deadlines: self.deadlines,
        })
    }

    async fn login_of(&self, mailbox: &MailboxRow) -> Result<Login, Failure> {
        let user = mailbox.spec.username.clone();
        if mailbox.spec.auth == Auth::Oauth2 {
            return Ok(tokens::login(&self.grants, &self.clock, mailbox.id.into(), &user));
        }
        let Some(id) = mailbox.password else {
            let words = "it has no password: `password_file` in the configuration gives it one, or `maildesk mailbox edit` if it \
                         is not declared there";
            return Err(Failure::permanent(words).kind(Kind::Settings));
        };
        let password = self.store.read().await?.open_secret(id, &self.key).await?;
        Ok(Login::Password { user, password })
    }

    pub(super) async fn record(
        &self,
        mailbox: &MailboxRow,
        ended: Result<&RoundReport, &Failure>,
    ) -> Result<(), Failure> {
        let failure = ended.err();
        // The store's trouble is not the mailbox's, and cannot be written either.
        if failure.is_some_and(|f| f.kind.is_store_away()) {
            return Ok(());
        }
        let now = self.clock.now();
        let mut tx = self.store.write().await?;
        let words = failure.map(|f| (f.kind, f.to_string()));
        let failed = words.as_ref().map(|(kind, words)| (*kind, words.as_str()));
        let (failures, since) = tx.record_round(mailbox.id, failed, now).await?;
        let name = format!("mailbox:{}:failing", mailbox.id);
        match failure {
            None => self.desk.alerts.keep_in(&mut tx, &name, None).await?,
            // The grant has an alert of its own, with what to do.
            Some(failure) if failure.kind == Kind::Grant => {}
            // What may pass is not told the first time; what stands is kept up to date.
            Some(failure)
                if failure.kind.is_told_after(failures) || tx.open_alert(&name).await?.is_some() =>
            {
                let alarm = alert::alarm(failure, since.unwrap_or(now));
                self.desk.alerts.keep_in(&mut tx, &name, Some(&alarm)).await?;
            }
            Some(_) => {}
        }
        if ended.is_ok_and(|report| report.fetched > 0) {
            tx.note_mail(mailbox.id, now).await?;
            self.desk.alerts.keep_in(&mut tx, &format!("mailbox:{}:silent", mailbox.id), None).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn protection(tls: Tls) -> sources::Tls {
    match tls {
        Tls::Tls => sources::Tls::Tls,
        Tls::Starttls => sources::Tls::StartTls,
        Tls::Plain => sources::Tls::Plain,
    }
}

/// The server knows no such folder, rather than having a bad day (RFC 5530).
fn is_absent(folder: &FolderReport) -> bool {
    const PASSING: &[&str] = &["[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[CONTACTADMIN]"];
    folder.messages.is_none() && !PASSING.iter().any(|code| folder.words.contains(code))
}
