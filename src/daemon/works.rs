//! The rooms put together: what the daemon runs all the time, and a command does once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::Heard;

use crate::clock::Clock;
use crate::config::{Protocol, Run, Tls};
use crate::desk::Desk;
use crate::failure::Failure;
use crate::intake::deliver::{Delivered, Delivery, keep_delivered};
use crate::intake::import::{ImportReport, Imported};
use crate::intake::{Fates, Intake, RoundReport, Settings};
use crate::letters::Letters;
use crate::net::Deadlines;
use crate::outbound::{Outbound, RelayBook, RelaySettings, Relays, Report};
use crate::seal::{SealingKey, Secret};
use crate::sources::Password;
use crate::sources::imap::{self, ImapSettings, ImapSource};
use crate::sources::maildir::MaildirSource;
use crate::store::{MailboxRow, Space, Store, free_bytes};
use crate::ticket::MailboxId;

/// A desk at work. Cheap to clone.
#[derive(Clone)]
pub struct Works {
    pub store: Store,
    pub key: Arc<SealingKey>,
    pub clock: Clock,
    pub desk: Desk,
    pub intake: Intake,
    /// Told when mail was queued.
    pub wake: Arc<Notify>,
    /// Told when an MTA has brought mail.
    pub(super) delivered: watch::Sender<()>,
    pub(super) heard: Heard,
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
        let settings =
            Settings { batch_bytes: run.batch_bytes, tries: i64::from(run.tries), spool: run.spool.clone() };
        let space = Space::of(&store, &run.spool, run.min_free_bytes, free_bytes());
        let intake = Intake { desk: desk.clone(), clock: clock.clone(), settings, space };
        Ok(Works {
            store,
            key: Arc::new(key),
            clock,
            desk,
            intake,
            wake: Arc::new(Notify::new()),
            delivered: watch::Sender::default(),
            heard: Heard::default(),
            rounds: Arc::default(),
        })
    }

    /// The mailboxes that are read: active, not held, and some active type answers to them. Bounces come first (A6).
    pub async fn mailboxes_to_read(&self) -> Result<Vec<MailboxRow>, Failure> {
        let mut tx = self.store.read().await?;
        let rules = tx.load_rules().await?;
        let mut mailboxes = tx.mailboxes().await?;
        mailboxes.retain(|m| {
            m.spec.is_active && !m.is_held && rules.types.iter().any(|t| t.mailbox == Some(m.id))
        });
        let is_bounce = |m: &MailboxRow| {
            rules.types.iter().any(|t| t.mailbox == Some(m.id) && t.flow == crate::triage::Flow::Bounce)
        };
        mailboxes.sort_by_key(|m| !is_bounce(m));
        Ok(mailboxes)
    }

    /// One round over one mailbox, on a task of its own: a panic in a parser of the wire ends the round, nothing else.
    /// How it went is written on the mailbox, and an alert is raised or cleared. Too little disk is no fault of its.
    pub async fn poll(&self, mailbox: &MailboxRow) -> Result<RoundReport, Failure> {
        self.intake.space.require()?;
        let turn = self.turn(mailbox);
        let _turn = turn.lock().await;
        let (works, row) = (self.clone(), mailbox.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { works.round(&row).await });
        let ended = match task.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(e)) => Err(Failure::temporary("the round broke off").because(e)),
            None => Err(Failure::temporary("the round never began")),
        };
        let ended = ended.map_err(|f| f.of(format!("mailbox {:?}", mailbox.spec.name)));
        self.record(mailbox, ended.as_ref().err()).await?;
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
        let report = self.intake.import(mailbox, messages, is_silent).await?;
        self.wake.notify_one();
        Ok(report)
    }

    /// Keeps what an MTA has brought; it is decided at once afterwards. A failure is shown and told as that of a round.
    pub async fn keep_delivered(
        &self,
        mailbox: &MailboxRow,
        delivery: Delivery,
    ) -> Result<Delivered, Failure> {
        let kept = keep_delivered(&self.store, mailbox, delivery, self.clock.now()).await;
        match &kept {
            Ok(_) => self.delivered.send_modify(|()| ()),
            Err(failure) => {
                let failure = Failure::temporary(failure.to_string());
                let failure = failure.of(format!("mailbox {:?}", mailbox.spec.name));
                tracing::warn!(mailbox.name = mailbox.spec.name, "intake.delivery_failed {failure}");
                if let Err(e) = self.record(mailbox, Some(&failure)).await {
                    tracing::warn!("daemon.alert_failed {e}");
                }
            }
        }
        kept
    }

    fn turn(&self, mailbox: &MailboxRow) -> Arc<tokio::sync::Mutex<()>> {
        self.rounds.lock().expect("nobody panics while holding it").entry(mailbox.id).or_default().clone()
    }

    async fn round(&self, mailbox: &MailboxRow) -> Result<RoundReport, Failure> {
        match mailbox.spec.protocol {
            Protocol::Imap => {
                let source = ImapSource::connect(self.imap_settings(mailbox).await?).await?;
                self.intake.round(mailbox, source).await
            }
            Protocol::Maildir => self.intake.round(mailbox, MaildirSource::new(&mailbox.spec.host)).await,
            Protocol::Pipe => self.intake.round_of_pipe(mailbox).await,
            later => Err(Failure::permanent(format!("protocol {later} comes in a later version"))),
        }
    }

    pub async fn imap_settings(&self, mailbox: &MailboxRow) -> Result<ImapSettings, Failure> {
        let password = match mailbox.password {
            Some(id) => self.store.read().await?.open_secret(id, &self.key).await?,
            None => {
                return Err(Failure::permanent("it has no password: set one with `maildesk mailbox edit`"));
            }
        };
        let spec = &mailbox.spec;
        Ok(ImapSettings {
            host: spec.host.clone(),
            port: spec.port,
            tls: match spec.tls {
                Tls::Tls => imap::Tls::Tls,
                Tls::Starttls => imap::Tls::StartTls,
                Tls::Plain => imap::Tls::Plain,
            },
            username: spec.username.clone(),
            password: Password::new(password.expose()),
            folders: spec.folders.clone(),
            extra_roots: None,
            spool_dir: self.intake.settings.spool.clone(),
            deadlines: Deadlines::USUAL,
        })
    }

    /// What was kept and not decided, before anything else. After an unclean stop one by one (M10).
    pub async fn decide_pending(&self) -> Result<Fates, Failure> {
        self.intake.decide_pending(None, true).await
    }

    /// The sender of this desk's mail. Relays are read anew for each visit: they are edited while we run.
    pub fn outbound(&self) -> Outbound {
        let works = self.clone();
        let relays: Relays = Arc::new(move || {
            let works = works.clone();
            Box::pin(async move { works.relay_book().await })
        });
        Outbound::new(self.store.clone(), self.clock.clone(), "desk", relays)
    }

    async fn relay_book(&self) -> Result<RelayBook, Failure> {
        let mut tx = self.store.read().await?;
        let mut book = RelayBook::new();
        for row in tx.relays().await?.into_iter().filter(|r| r.spec.is_active) {
            let password = match row.password {
                Some(id) => match tx.open_secret(id, &self.key).await {
                    Ok(password) => password,
                    Err(e) if e.is_temporary() => return Err(e.into()),
                    // Left out of the book, it fails alone; the others send.
                    Err(e) => {
                        tracing::error!(relay.name = row.spec.name, "outbound.password_sealed_shut {e}");
                        continue;
                    }
                },
                None => Secret::new(""),
            };
            let settings = RelaySettings {
                id: row.id,
                name: row.spec.name,
                kind: row.spec.kind,
                host: row.spec.host,
                port: row.spec.port,
                tls: row.spec.tls,
                username: row.spec.username,
                password,
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
        for (relay, words) in &report.failing {
            let words = format!(
                "mail waits: {words}. It is tried again by itself; `maildesk queue list` shows what waits, and \
                 `maildesk doctor` tries the relay"
            );
            self.desk.alerts.state(&format!("relay:{relay}:failing"), Some(&words)).await?;
        }
        Ok(())
    }

    async fn record(&self, mailbox: &MailboxRow, failure: Option<&Failure>) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut tx = self.store.write().await?;
        let words = failure.map(Failure::to_string);
        tx.record_round(mailbox.id, words.as_deref(), now).await?;
        let alert = words
            .map(|w| format!("{w}. It is tried again by itself; `maildesk mailbox list` shows since when"));
        self.desk
            .alerts
            .state_in(&mut tx, &format!("mailbox:{}:failing", mailbox.id), alert.as_deref())
            .await?;
        Ok(tx.commit().await?)
    }
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
