//! What a handler works with: the desk, opened, and who asks.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::output::CliError;
use crate::backup::Source;
use crate::clock::Clock;
use crate::config::{Config, KeySource};
use crate::control::{Progress, Step};
use crate::daemon::Works;
use crate::seal::{SealingKey, random};
use crate::store::{Cause, Error, Stamp, Store};

/// A desk that is open, and one command's circumstances. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    pub clock: Clock,
    pub key: SealingKey,
    pub config: Arc<Config>,
    pub works: Works,
    /// `uid:1000`.
    pub actor: String,
    /// What stood on standard input, or in the file that an argument named.
    pub stdin: Vec<u8>,
    /// Where relative paths of the arguments start: the asker's folder, not the daemon's.
    pub cwd: PathBuf,
    pub wants_json: bool,
    /// Where progress is told and bytes are handed out; none: nowhere.
    pub steps: Option<mpsc::Sender<Step>>,
    /// The daemon works on it, not the process that was typed to.
    pub is_daemon: bool,
}

/// What a command needs of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It must be this program's; a new desk is set up.
    Ready,
    /// It is brought up to this program's.
    Migrate,
    /// It must be this program's, and nothing is written, not even what the configuration declares.
    Untouched,
}

impl Context {
    /// Opens the store that the configuration names, with its key, and lays down what the configuration declares.
    pub async fn open(config: Arc<Config>, schema: Schema) -> Result<Context, CliError> {
        let declared = config.declared()?;
        let store = connect(&config).await?;
        let is_new = schema != Schema::Untouched && store.schema().await?.found == 0;
        if schema == Schema::Migrate || is_new {
            store.migrate().await?;
        }
        store.require_ready().await?;
        let key = sealing_key(&config.keys, &store).await?;
        let clock = Clock::system();
        let stamp = Stamp { key: &key, now: clock.now(), random: random::<32> };
        if schema != Schema::Untouched {
            let changes = store.provision(&declared, &stamp).await;
            for change in changes.map_err(|e| provision_words(e, &config))? {
                tracing::info!("config.provisioned {change}");
            }
        }
        let works = Works::open(store.clone(), key.clone(), &config.run, clock.clone()).await?;
        let works = works.with_scanner(config.virus_scanner.clone()).with_verifier(&config)?;
        Ok(Context {
            works,
            store,
            clock,
            key,
            config,
            actor: "system".into(),
            stdin: vec![],
            cwd: PathBuf::from("."),
            wants_json: false,
            steps: None,
            is_daemon: false,
        })
    }

    pub fn stamp(&self) -> Stamp<'_> {
        Stamp { key: &self.key, now: self.clock.now(), random: random::<32> }
    }

    /// The desk as a backup is taken of it.
    pub fn source(&self) -> Source {
        Source { store: self.store.clone(), key: self.key.clone(), clock: self.clock.clone() }
    }

    /// The cause of what a command changes on tickets.
    pub fn cause(&self, operation: impl Into<String>) -> Cause {
        Cause { actor: self.actor.clone(), origin: "command", operation: operation.into() }
    }

    /// Hands a piece of raw output to whoever asked; waits while that one is slow.
    pub async fn hand_out(&self, piece: Vec<u8>) -> Result<(), CliError> {
        let Some(steps) = &self.steps else { return Ok(()) };
        let sent = steps.send(Step::Raw(piece)).await;
        sent.map_err(|_| CliError::unavailable("nobody is there any more to take the bytes"))
    }

    /// Tells how far the command has come, to whoever watches. A watcher that lags or has gone misses steps.
    pub fn tell(&self, done: u64, total: u64, words: impl Into<String>) {
        if let Some(steps) = &self.steps {
            drop(steps.try_send(Step::Progress(Progress { done, total, words: words.into() })));
        }
    }
}

pub(super) async fn connect(config: &Config) -> Result<Store, CliError> {
    let url = config.store_url()?;
    Store::connect(&url).await.map_err(|error| match error {
        // Its words name the place, and never the password.
        unreachable @ Error::Unreachable(_) => CliError::unavailable(unreachable.to_string()),
        other => other.into(),
    })
}

/// A conflict between the file and what commands have made is told with the file's name.
pub(super) fn provision_words(error: Error, config: &Config) -> CliError {
    match error {
        Error::Refused(words) | Error::Taken(words) => CliError::config(format!(
            "{}: what it declares cannot be laid down: {words}",
            config.path.display()
        )),
        other => other.into(),
    }
}

async fn sealing_key(source: &KeySource, store: &Store) -> Result<SealingKey, CliError> {
    let path = match source {
        KeySource::Text(text) => {
            return SealingKey::from_text(text.expose())
                .map_err(|e| CliError::config(format!("the variable MAILDESK_KEY: {e}")));
        }
        KeySource::Given(path) => return read_key(path),
        KeySource::Made(path) if path.exists() => {
            return super::key::after_a_cut(path, read_key(path)?, store).await;
        }
        KeySource::Made(path) => path,
    };
    // A fresh key would open nothing of a desk that has secrets.
    if store.read().await?.has_secrets().await? {
        let words =
            "is missing, and the secrets of this desk are sealed under it: put it back from your copy";
        return Err(CliError::config(format!("the sealing key {} {words}", path.display())));
    }
    let key = SealingKey::new(random());
    match write_new(path, &key) {
        Ok(()) => {}
        // Another program that starts at this moment was first.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return read_key(path),
        Err(e) => {
            let words = format!("the sealing key {} cannot be made: {e}", path.display());
            return Err(CliError::config(words));
        }
    }
    eprintln!(
        "maildesk: made a new sealing key in {}: keep a copy of it apart from the store",
        path.display()
    );
    Ok(key)
}

pub(super) fn read_key(path: &Path) -> Result<SealingKey, CliError> {
    let named = |words: String| CliError::config(format!("the sealing key {words}"));
    let text = crate::config::read_secret(path).map_err(named)?;
    SealingKey::from_text(text.expose()).map_err(|e| named(format!("{}: {e}", path.display())))
}

/// A new key in a file that only its owner reads.
pub(super) fn make_key(path: &Path) -> Result<SealingKey, CliError> {
    let key = SealingKey::new(random());
    write_key(path, &key)?;
    Ok(key)
}

/// Into a new file that only its owner reads, and that outlives the power.
pub(super) fn write_key(path: &Path, key: &SealingKey) -> Result<(), CliError> {
    write_new(path, key)
        .map_err(|e| CliError::config(format!("the sealing key {} cannot be made: {e}", path.display())))
}

/// Whole or not at all: under a name of its own first, so that nobody reads half a key.
fn write_new(path: &Path, key: &SealingKey) -> std::io::Result<()> {
    let half = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
    let written = writeln!(file, "{}", key.to_text().expose())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&half, path));
    std::fs::remove_file(&half)?;
    written?;
    sync_folder(path)
}

/// A name that was made or changed is durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
