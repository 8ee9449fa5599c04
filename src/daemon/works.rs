//! The rooms put together: what the daemon runs all the time, and a command does once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Heard;
use super::store_watch::StoreWatch;
use super::supervise::{Care, Tasks};
use super::tokens;
use crate::clock::{Clock, Pulse};
use crate::config::{Auth, Config, Protocol, Run, Surroundings, VirusScanner};
use crate::desk::Desk;
use crate::failure::{Failure, Kind};
use crate::intake::deliver::{Delivered, Delivery, keep_delivered};
use crate::intake::import::{ImportReport, Imported};
use crate::intake::{Fates, Intake, Scanning, Settings, Shares, Spared, Verifying};
use crate::lease::{Lease, Leases};
use crate::letters::Letters;
use crate::net::{Deadlines, Http, Login};
use crate::oauth::Grants;
use crate::outbound::{Outbound, RelayBook, RelaySettings, Relays};
use crate::scanner::Scanner;
use crate::seal::SealingKey;
use crate::sources::ServerSettings;
use crate::sources::imap::ImapSource;
use crate::store::arrival::Of;
use crate::store::{MailboxRow, Space, Store, free_bytes};
use crate::telemetry::Metrics;
use crate::ticket::MailboxId;
use crate::verifier::Verifier;

/// How long a mailbox that nobody has is waited for.
const FREE_FOR: std::time::Duration = std::time::Duration::from_secs(10);
/// How long an import waits for a batch of another one, and how often it looks.
const IMPORT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const IMPORT_LOOK: std::time::Duration = std::time::Duration::from_millis(50);
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
            verifying: None,
            metrics: metrics.clone(),
            space,
            shares,
            pulse: Pulse::default(),
            spared: Spared::default(),
            leaving: CancellationToken::new(),
        };
        let http = Http { clock: clock.clone(), ..Http::default() };
        let grants = Grants::new(store.clone(), key.clone(), clock.clone(), http);
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

    /// The same, with DNS that is asked about each sender, if the configuration says so.
    pub fn with_verifier(mut self, config: &Config) -> Result<Works, Failure> {
        let Surroundings { trust, verdicts, .. } = &config.surroundings;
        if trust.verifies {
            let verifier = Verifier::new(&config.dns)?;
            self.intake.verifying =
                Some(Verifying { verifier, rule: trust.clone(), relays: verdicts.clone() });
        }
        Ok(self)
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
        let settings = self.server_settings(mailbox).await?;
        ImapSource::connect(ServerSettings { folders: folders.to_vec(), ..settings }).await
    }

    pub(super) fn turn(&self, mailbox: &MailboxRow) -> Arc<tokio::sync::Mutex<()>> {
        self.rounds.lock().expect("nobody panics while holding it").entry(mailbox.id).or_default().clone()
    }

    /// A desk that was restored does nothing before somebody lets it.
    pub(super) async fn require_live(&self) -> Result<(), Failure> {
        let held = self.store.read().await?.held().await?;
        held.map_or(Ok(()), |words| Err(Failure::temporary(words)))
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
}

/// The name of a mailbox's lease.
pub(super) fn lease_of(mailbox: MailboxId) -> String {
    format!("mailbox:{mailbox}")
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
