//! The rooms put together: what the daemon runs all the time, and a command does once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Heard;
use super::store_watch::StoreWatch;
use super::supervise::{Care, Tasks};
use super::tokens;
use crate::alert::{self, Alarm, silence};
use crate::clock::{Clock, Micros, Pulse};
use crate::config::{Auth, Mode, Protocol, Run, Tls, VirusScanner};
use crate::desk::Desk;
use crate::failure::{Failure, Kind};
use crate::intake::deliver::{Delivered, Delivery, keep_delivered};
use crate::intake::import::{ImportReport, Imported};
use crate::intake::{Fates, Intake, RoundReport, SCANNER_ALERT, Scanning, Settings, Shares};
use crate::lease::{Lease, Leases};
use crate::letters::{Letter, Letters};
use crate::net::{Deadlines, Http, Login};
use crate::oauth::Grants;
use crate::outbound::{Outbound, RelayBook, RelayFailure, RelaySettings, Relays, Report};
use crate::scanner::Scanner;
use crate::seal::SealingKey;
use crate::sources;
use crate::sources::imap::{self, FolderReport, ImapSettings, ImapSource};
use crate::sources::maildir::MaildirSource;
use crate::sources::pop3::{Pop3Settings, Pop3Source};
use crate::store::arrival::Of;
use crate::store::listing::ALL;
use crate::store::{MailboxRow, Quiet, Restored, Space, Store, free_bytes};
use crate::telemetry::Metrics;
use crate::ticket::{ArrivalId, MailboxId};

/// No shorter silence of a mailbox is told, so none is looked at.
const LEAST_SILENCE_US: i64 = 24 * 3600 * Micros::SECOND;
/// How long a mailbox that nobody has is waited for.
const FREE_FOR: std::time::Duration = std::time::Duration::from_secs(10);
/// How long an import waits for a batch of another one, and how often it looks.
const IMPORT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const IMPORT_LOOK: std::time::Duration = std::time::Duration::from_millis(50);
/// So many messages of the past say how often mail comes.
const TIMES_OF_MAIL: i64 = 3000;

/// A desk at work. Cheap to clone.
#[derive(Clone)]
pub struct Works {
    pub store: Store,
    pub key: Arc<SealingKey>,
    pub clock: Clock,
    pub desk: Desk,
    pub intake: Intake,
    /// What mailboxes and relays sign in with at identity providers.
    pub grants: Grants,
    /// How long the servers of the mailboxes may take.
    pub deadlines: Deadlines,
    /// A PEM file of CAs that are trusted beside the system's, by every mailbox.
    pub extra_roots: Option<PathBuf>,
    /// Told when mail was queued.
    pub wake: Arc<Notify>,
    pub metrics: Metrics,
    /// Told when an MTA has brought mail.
    pub(super) delivered: watch::Sender<()>,
    /// The long-lived tasks of this process, and how they fare.
    pub tasks: Tasks,
    /// Whether the store is there.
    pub store_watch: StoreWatch,
    pub(super) heard: Heard,
    /// What of the common work is this process's.
    pub leases: Leases,
    /// One round at a time over a mailbox, whoever asks for it.
    rounds: Arc<std::sync::Mutex<HashMap<MailboxId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Works {
    /// Opens a desk whose store is migrated and provisioned.
    pub async fn open(store: Store, key: SealingKey, run: &Run, clock: Clock) -> Result<Works, Failure> {
        let keys = store.read().await?.mail_keys(&key).await?;
        std::fs::create_dir_all(&run.spool).map_err(|e| {
            Failure::permanent(format!("cannot make the spool folder {}", run.spool.display())).because(e)
        })?;
        let letters = Letters::new(overrides(run)?.into_iter());
        let desk = Desk::new(store.clone(), clock.clone(), keys, letters);
        let settings = Settings {
            batch_bytes: run.batch_bytes,
            is_shadow: false,
            tries: i64::from(run.tries),
            spool: run.spool.clone(),
        };
        let metrics = Metrics::default();
        let space = Space::of(&store, &run.spool, run.min_free_bytes, free_bytes());
        let shares = Shares::new(settings.batch_bytes);
        let intake = Intake {
            desk: desk.clone(),
            clock: clock.clone(),
            settings,
            scanning: None,
            metrics: metrics.clone(),
            space,
            shares,
            pulse: Pulse::default(),
            leaving: CancellationToken::new(),
        };
        let grants = Grants::new(store.clone(), key.clone(), clock.clone(), Http::default());
        let tasks = Tasks::new(desk.alerts.clone(), Care::USUAL);
        let leases = Leases::new(&store, run.lease);
        Ok(Works {
            store,
            key: Arc::new(key),
            clock,
            desk,
            intake,
            grants,
            deadlines: Deadlines::USUAL,
            extra_roots: None,
            wake: Arc::new(Notify::new()),
            metrics,
            delivered: watch::Sender::default(),
            tasks,
            store_watch: StoreWatch::default(),
            heard: Heard::default(),
            leases,
            rounds: Arc::default(),
        })
    }

    /// The same, with a virus scanner that is asked about each message.
    pub fn with_scanner(mut self, scanner: Option<VirusScanner>) -> Works {
        self.intake.scanning = scanner.map(|settings| Scanning::new(Scanner { settings }));
        self
    }

    /// The same, as if every mailbox was in shadow mode. What an MTA brings would have no source to stay at: it is refused.
    pub fn in_shadow(mut self) -> Works {
        self.intake.settings.is_shadow = true;
        self
    }

    pub fn is_shadow(&self) -> bool {
        self.intake.settings.is_shadow
    }

    /// The same, with rounds that show signs of life there.
    pub fn with_pulse(&self, pulse: Pulse) -> Works {
        let mut works = self.clone();
        works.intake.pulse = pulse;
        works
    }

    /// The same for work under a lease: once that is over, nothing is written any more.
    pub fn under(&self, lease: &Lease) -> Works {
        let store = self.store.under(lease.fence.clone());
        let desk = self.desk.on(&store);
        let intake = Intake { desk: desk.clone(), ..self.intake.clone() };
        Works { store, desk, intake, ..self.clone() }
    }

    /// For work on one mailbox: under its lease, where processes have leases. It fails where the mailbox is another's.
    pub(super) async fn on_mailbox(&self, mailbox: &MailboxRow) -> Result<Works, Failure> {
        if !self.leases.has_joined() {
            return Ok(self.clone());
        }
        let name = lease_of(mailbox.id);
        let begun = tokio::time::Instant::now();
        let words = loop {
            if let Some(lease) = self.leases.held(&name) {
                return Ok(self.under(&lease));
            }
            let (sight, us) = (self.leases.sight().await?, self.leases.owner());
            let is_another = sight.leases.iter().any(|lease| lease.name == name && lease.owner != us);
            if let Some(holder) = sight.holder(&name).filter(|_| is_another) {
                break format!("{holder}, reads it: ask there");
            }
            // A daemon that has just started is about to take it.
            if begun.elapsed() > FREE_FOR {
                break "no daemon has it at this moment: try again in a minute".to_owned();
            }
            tokio::time::sleep(IMPORT_LOOK).await;
        };
        Err(Failure::temporary(words).kind(Kind::Other).of(format!("mailbox {:?}", mailbox.spec.name)))
    }

    /// For a process that works once: takes those of these mailboxes that no daemon has.
    pub async fn take_free(&self, mailboxes: &[MailboxRow]) -> Result<(), Failure> {
        let names: Vec<String> = mailboxes.iter().map(|mailbox| lease_of(mailbox.id)).collect();
        Ok(self.leases.take(&names, names.len()).await.map(drop)?)
    }

    /// For work that one daemon does for all, again and again: it keeps it once it has it. `None`: another one has it.
    pub(super) async fn in_turn(&self, name: &str) -> Result<Option<Works>, Failure> {
        if !self.leases.has_joined() {
            return Ok(Some(self.clone()));
        }
        let lease = match self.leases.held(name) {
            Some(lease) => Some(lease),
            None => self.leases.take_one(name).await?,
        };
        Ok(lease.map(|lease| self.under(&lease)))
    }

    /// The mailboxes that are read: none while the desk is held, else those active, not held, and some active type answers
    /// to them. Bounces come first (A6).
    pub async fn mailboxes_to_read(&self) -> Result<Vec<MailboxRow>, Failure> {
        Ok(self.to_read().await?.into_iter().map(|(mailbox, _)| mailbox).collect())
    }

    /// The same; of each, whether it takes in bounces.
    pub(super) async fn to_read(&self) -> Result<Vec<(MailboxRow, bool)>, Failure> {
        let mut tx = self.store.read().await?;
        if tx.is_desk_held().await? {
            return Ok(vec![]);
        }
        let rules = tx.load_rules().await?;
        let mut mailboxes = tx.mailboxes().await?;
        mailboxes.retain(|m| {
            let is_readable = !self.is_shadow() || m.spec.protocol != Protocol::Pipe;
            is_readable
                && m.spec.is_active
                && !m.is_held
                && rules.types.iter().any(|t| t.mailbox == Some(m.id))
        });
        let is_bounce = |m: &MailboxRow| {
            rules.types.iter().any(|t| t.mailbox == Some(m.id) && t.flow == crate::triage::Flow::Bounce)
        };
        let mut mailboxes: Vec<(MailboxRow, bool)> =
            mailboxes.into_iter().map(|m| (is_bounce(&m), m)).map(|(is_bounce, m)| (m, is_bounce)).collect();
        mailboxes.sort_by_key(|(_, is_bounce)| !is_bounce);
        Ok(mailboxes)
    }

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

    /// Takes in one batch of old mail, between the rounds over its mailbox: two imports of one file double nothing.
    pub async fn import(
        &self,
        mailbox: &MailboxRow,
        messages: Vec<Imported>,
        is_silent: bool,
    ) -> Result<ImportReport, Failure> {
        let turn = self.turn(mailbox);
        let _turn = turn.lock().await;
        let (works, lease) = self.importing(mailbox).await?;
        let report = works.intake.import(mailbox, messages, is_silent).await;
        if let Some(lease) = lease {
            self.leases.give_back(&lease).await?;
        }
        self.wake.notify_one();
        report
    }

    /// Another daemon may be importing into the same mailbox: it is waited for.
    async fn importing(&self, mailbox: &MailboxRow) -> Result<(Works, Option<Lease>), Failure> {
        if !self.leases.has_joined() {
            return Ok((self.clone(), None));
        }
        let name = format!("import:{}", mailbox.id);
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(lease) = self.leases.take_one(&name).await? {
                return Ok((self.under(&lease), Some(lease)));
            }
            if begun.elapsed() > IMPORT_PATIENCE {
                let words = "another import into this mailbox goes on: try again when it is done";
                return Err(Failure::temporary(words).of(format!("mailbox {:?}", mailbox.spec.name)));
            }
            tokio::time::sleep(IMPORT_LOOK).await;
        }
    }

    /// Keeps what an MTA has brought; it is decided at once afterwards. A failure is shown and told as that of a round.
    pub async fn keep_delivered(
        &self,
        mailbox: &MailboxRow,
        delivery: Delivery,
    ) -> Result<Delivered, Failure> {
        if self.is_shadow() {
            let words = "the daemon runs with --shadow, and what an MTA brings has no source to stay at; it is taken in when \
                         the daemon runs without";
            return Err(Failure::temporary(words).of(format!("mailbox {:?}", mailbox.spec.name)));
        }
        let kept = keep_delivered(&self.store, mailbox, delivery, self.clock.now()).await;
        match &kept {
            Ok(_) => self.delivered.send_modify(|()| ()),
            Err(failure) => {
                let failure = Failure::temporary(failure.to_string()).kind(failure.kind);
                let failure = failure.of(format!("mailbox {:?}", mailbox.spec.name));
                tracing::warn!(mailbox.name = mailbox.spec.name, "intake.delivery_failed {failure}");
                if let Err(e) = self.record(mailbox, Err(&failure)).await {
                    tracing::warn!("daemon.alert_failed {e}");
                }
            }
        }
        kept
    }

    /// Takes nothing of it, and changes nothing in it: the mailbox's own server, for folders of old mail.
    pub async fn old_folders(&self, mailbox: &MailboxRow, folders: &[String]) -> Result<ImapSource, Failure> {
        if mailbox.spec.protocol != Protocol::Imap {
            let words = "has no folders on a server: name files, an mbox or a Maildir instead of --folder";
            return Err(Failure::permanent(format!("mailbox {:?} {words}", mailbox.spec.name)));
        }
        let settings = self.imap_settings(mailbox).await?;
        ImapSource::connect(ImapSettings { folders: folders.to_vec(), ..settings }).await
    }

    pub(super) fn turn(&self, mailbox: &MailboxRow) -> Arc<tokio::sync::Mutex<()>> {
        self.rounds.lock().expect("nobody panics while holding it").entry(mailbox.id).or_default().clone()
    }

    /// A desk that was restored does nothing before somebody lets it.
    async fn require_live(&self) -> Result<(), Failure> {
        let held = self.store.read().await?.held().await?;
        held.map_or(Ok(()), |words| Err(Failure::temporary(words)))
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
        let mut source = ImapSource::connect(self.imap_settings(mailbox).await?).await?;
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
            let source = Pop3Source::connect(self.pop3_settings(mailbox).await?).await?;
            report.add(self.intake.round(mailbox, source).await?);
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
                    ImapSettings { folders: vec![folder.clone()], ..self.imap_settings(mailbox).await? };
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

    pub async fn imap_settings(&self, mailbox: &MailboxRow) -> Result<ImapSettings, Failure> {
        let spec = &mailbox.spec;
        Ok(ImapSettings {
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

    pub async fn pop3_settings(&self, mailbox: &MailboxRow) -> Result<Pop3Settings, Failure> {
        let spec = &mailbox.spec;
        Ok(Pop3Settings {
            host: spec.host.clone(),
            port: spec.port,
            tls: protection(spec.tls),
            login: self.login_of(mailbox).await?,
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
            let words = "it has no password: set one with `maildesk mailbox edit`";
            return Err(Failure::permanent(words).kind(Kind::Settings));
        };
        let password = self.store.read().await?.open_secret(id, &self.key).await?;
        Ok(Login::Password { user, password })
    }

    /// What was kept and not decided and is nobody else's, before anything else. After an unclean stop one by one (M10).
    pub async fn decide_pending(&self) -> Result<Fates, Failure> {
        match self.store.read().await?.is_desk_held().await? {
            true => Ok(Fates::default()),
            false => self.intake.decide_pending(Of::Nobodys, true).await,
        }
    }

    /// The same for a mailbox whose last daemon did not give it back.
    pub(super) async fn decide_left_over(&self, mailbox: &MailboxRow) -> Result<Fates, Failure> {
        self.on_mailbox(mailbox).await?.intake.decide_pending(Of::Mailbox(mailbox.id), true).await
    }

    /// What waits for the virus scanner, when it is time to ask that again: between the rounds, which may be hours apart.
    pub async fn decide_unscanned(&self) -> Result<(), Failure> {
        let is_wanted = self.intake.scanning.as_ref().is_some_and(Scanning::is_wanted);
        let mut tx = self.store.read().await?;
        if !is_wanted || tx.is_desk_held().await? || self.intake.space.shortage().is_some() {
            return Ok(());
        }
        let mailboxes = tx.mailboxes().await?;
        drop(tx);
        for mailbox in mailboxes {
            let turn = self.turn(&mailbox);
            let _turn = turn.lock().await;
            // What another daemon has is its own care.
            let Ok(ours) = self.on_mailbox(&mailbox).await else { continue };
            if ours.intake.decide_pending(Of::Mailbox(mailbox.id), false).await?.total() > 0 {
                self.wake.notify_one();
            }
        }
        Ok(())
    }

    /// The sender of this desk's mail. Relays are read anew for each visit: they are edited while we run.
    pub fn outbound(&self) -> Outbound {
        let works = self.clone();
        let relays: Relays = Arc::new(move || {
            let works = works.clone();
            Box::pin(async move { works.relay_book().await })
        });
        let outbound = Outbound::new(self.store.clone(), self.clock.clone(), self.leases.clone(), relays);
        Outbound { metrics: self.metrics.clone(), ..outbound }
    }

    async fn relay_book(&self) -> Result<RelayBook, Failure> {
        let mut tx = self.store.read().await?;
        let mut book = RelayBook::new();
        for row in tx.relays().await?.into_iter().filter(|r| r.spec.is_active) {
            let user = row.spec.username.clone();
            let login = match row.password {
                _ if user.is_empty() => None,
                // Asked for when it is needed: a grant that fails holds up no other relay.
                _ if row.spec.auth == Auth::Oauth2 => {
                    Some(tokens::login(&self.grants, &self.clock, row.id.into(), &user))
                }
                Some(id) => match tx.open_secret(id, &self.key).await {
                    Ok(password) => Some(Login::Password { user, password }),
                    Err(e) if e.is_temporary() => return Err(e.into()),
                    // Left out of the book, it fails alone; the others send.
                    Err(e) => {
                        tracing::error!(relay = row.spec.name, "outbound.password_sealed_shut {e}");
                        continue;
                    }
                },
                None => Some(Login::password(user, "")),
            };
            let settings = RelaySettings {
                id: row.id,
                name: row.spec.name,
                kind: row.spec.kind,
                host: row.spec.host,
                port: row.spec.port,
                tls: row.spec.tls,
                login,
                ca_file: None,
            };
            book.insert(row.id, settings);
        }
        Ok(book)
    }

    /// Raises an alert for each relay that fails, clears it for each that works.
    pub async fn state_relays(&self, report: &Report) -> Result<(), Failure> {
        for relay in &report.working {
            self.desk.alerts.state(&format!("relay:{relay}:failing"), None).await?;
        }
        for RelayFailure { relay, kind, words } in report.failing.iter().filter(|f| f.kind != Kind::Grant) {
            let alarm = Alarm {
                kind: Some(*kind),
                words: format!("mail waits: {words}"),
                advice: format!(
                    "{} It is tried again by itself; `maildesk queue list` shows what waits, and `maildesk doctor` \
                     tries the relay.",
                    kind.advice()
                ),
            };
            self.desk.alerts.keep(&format!("relay:{relay}:failing"), Some(&alarm)).await?;
        }
        Ok(())
    }

    /// Raises an alert for each mailbox that is silent for much longer than is usual for it (L8). The next message clears
    /// it.
    pub async fn state_silence(&self) -> Result<(), Failure> {
        let quiet = self.store.read().await?.quiet_mailboxes(LEAST_SILENCE_US).await?;
        for Quiet { id, name, last_mail, last_ok } in quiet {
            let times = self.store.read().await?.times_of_mail(id, TIMES_OF_MAIL).await?;
            let Some(limit) = silence::longest_usual(&times) else { continue };
            if last_mail.plus(limit) >= last_ok {
                continue;
            }
            let alarm = Alarm {
                kind: None,
                words: format!(
                    "mailbox {name:?}: it is read without trouble, but no mail has come since {}; after its last \
                     messages up to {} h are usual for it",
                    last_mail.rfc3339(),
                    limit.as_secs() / 3600
                ),
                advice: "Send a message there and see whether it arrives. If not, look at what lies before the mailbox: \
                         address, forwarding, MX records, spam filters."
                    .into(),
            };
            self.desk.alerts.keep(&format!("mailbox:{id}:silent"), Some(&alarm)).await?;
        }
        Ok(())
    }

    /// Alerts about mailboxes that are not read any more are over: nobody will find out otherwise.
    pub async fn clear_left_over(&self) -> Result<(), Failure> {
        let standing = self.store.read().await?.list_alerts(false, ALL).await?;
        let mut names: Vec<String> = standing.into_iter().map(|alert| alert.name).collect();
        names.retain(|name| name.starts_with("mailbox:"));
        if names.is_empty() {
            return Ok(());
        }
        for mailbox in self.mailboxes_to_read().await? {
            names.retain(|name| !name.starts_with(&format!("mailbox:{}:", mailbox.id)));
        }
        for name in names {
            self.desk.alerts.keep(&name, None).await?;
        }
        Ok(())
    }

    /// Alerts about templates are over once these work: they are read at the start, and may have been mended since.
    pub async fn clear_mended_templates(&self) -> Result<(), Failure> {
        let mut tx = self.store.read().await?;
        let mut standing: Vec<String> =
            tx.list_alerts(false, ALL).await?.into_iter().map(|a| a.name).collect();
        standing.retain(|name| name.starts_with("template:"));
        if standing.is_empty() {
            return Ok(());
        }
        let rules = tx.load_rules().await?;
        drop(tx);
        let languages = || rules.types.iter().map(|of| of.language.as_str()).chain(["en"]);
        for letter in Letter::samples() {
            let name = format!("template:{}", letter.name());
            let works = || languages().all(|tag| self.desk.letters.render(&letter, tag).1.is_none());
            if standing.contains(&name) && works() {
                self.desk.alerts.keep(&name, None).await?;
            }
        }
        Ok(())
    }

    /// Alerts of the virus scanner are over where there is none any more, or what waited for it was decided without it.
    pub async fn clear_unscanned(&self) -> Result<(), Failure> {
        if self.intake.scanning.is_none() {
            self.desk.alerts.keep(SCANNER_ALERT, None).await?;
        }
        let mut tx = self.store.read().await?;
        let standing = tx.list_alerts(false, ALL).await?;
        let of = |name: &str| name.strip_prefix("unscanned:")?.parse().ok().map(ArrivalId);
        let ids: Vec<ArrivalId> = standing.iter().filter_map(|alert| of(&alert.name)).collect();
        let waiting = tx.still_kept(&ids).await?;
        drop(tx);
        for id in ids.iter().filter(|id| !waiting.contains(id)) {
            self.desk.alerts.keep(&format!("unscanned:{id}"), None).await?;
        }
        Ok(())
    }

    async fn record(
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

/// The name of a mailbox's lease.
pub(super) fn lease_of(mailbox: MailboxId) -> String {
    format!("mailbox:{mailbox}")
}

fn protection(tls: Tls) -> sources::Tls {
    match tls {
        Tls::Tls => sources::Tls::Tls,
        Tls::Starttls => sources::Tls::StartTls,
        Tls::Plain => sources::Tls::Plain,
    }
}

/// A task that panicked, or was ended.
pub(super) fn broken_off(what: &str, error: tokio::task::JoinError) -> Failure {
    let words = match error.try_into_panic() {
        Ok(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("{what} broke off: {}", said.unwrap_or("without words"))
        }
        Err(_) => format!("{what} was ended"),
    };
    Failure::temporary(words).kind(Kind::BrokeOff)
}

/// The server knows no such folder, rather than having a bad day (RFC 5530).
fn is_absent(folder: &FolderReport) -> bool {
    const PASSING: &[&str] = &["[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[CONTACTADMIN]"];
    folder.messages.is_none() && !PASSING.iter().any(|code| folder.words.contains(code))
}

/// The operator's own templates: every file below the folder, by its path in it.
fn overrides(run: &Run) -> Result<Vec<(String, String)>, Failure> {
    let Some(root) = &run.templates else { return Ok(vec![]) };
    let mut found = vec![];
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let unread =
            |e| Failure::permanent(format!("cannot read the templates in {}", folder.display())).because(e);
        for entry in std::fs::read_dir(&folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "j2") {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).map_err(unread)?));
            }
        }
    }
    Ok(found)
}
