//! A look at one server or folder: for `doctor`, `mailbox test` and whoever wants to know before mail depends on it.

pub mod pop3;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::Context;
use crate::config::{Auth, Handled, Protocol, RelayKind, Tls};
use crate::failure::{Failure, Kind};
use crate::net::Deadlines;
use crate::oauth::Owner;
use crate::oauth::scope::{self, Door};
use crate::outbound::{self, RelaySettings, Session};
use crate::sources::ServerSettings;
use crate::sources::imap::{self, Report};
use crate::store::{MailboxRow, RelayRow};

/// How long a server may take for all of its part.
const DEADLINE: Duration = Duration::from_secs(45);
/// Shorter than for mail: somebody waits at a terminal.
pub const STEP: Duration = Duration::from_secs(15);
const SHORT: Deadlines = Deadlines { dial: STEP, handshake: STEP, silence: STEP, ..Deadlines::USUAL };

const CHECK_SETTINGS: &str = "check host, port, tls, username and password of the mailbox";

/// One line of what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub level: Level,
    /// `store`, `mailbox support`, `relay out`.
    pub about: String,
    pub words: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// What was found about one thing.
pub struct Checkup {
    about: String,
    pub findings: Vec<Finding>,
}

impl Checkup {
    pub fn of(about: impl Into<String>) -> Checkup {
        Checkup { about: about.into(), findings: vec![] }
    }

    pub fn ok(&mut self, words: impl Into<String>) {
        self.add(Level::Ok, words.into(), "");
    }

    pub fn warn(&mut self, words: impl Into<String>, advice: &str) {
        self.add(Level::Warn, words.into(), advice);
    }

    pub fn fail(&mut self, words: impl Into<String>, advice: &str) {
        self.add(Level::Fail, words.into(), advice);
    }

    fn add(&mut self, level: Level, words: String, advice: &str) {
        self.findings.push(Finding { level, about: self.about.clone(), words, advice: advice.to_owned() });
    }
}

/// Ends what takes too long, with words.
pub async fn in_time<T>(
    what: impl Future<Output = Result<T, Failure>>,
    deadline: Duration,
) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, what).await {
        Ok(done) => done,
        Err(_) => Err(Failure::temporary(format!("no end within {} seconds", deadline.as_secs()))),
    }
}

/// Logs in and looks, changes nothing.
pub async fn examine(row: &MailboxRow, context: &Context) -> Result<Report, Failure> {
    let settings = context.works.server_settings(row).await?;
    in_time(imap::examine(ServerSettings { deadlines: SHORT, ..settings }), DEADLINE).await
}

pub async fn mailbox(row: &MailboxRow, context: &Context) -> Checkup {
    let mut it = Checkup::of(format!("mailbox {}", row.spec.name));
    match row.spec.protocol {
        Protocol::Imap => match examine(row, context).await {
            Ok(report) => {
                imap(&mut it, row, &report);
                rights(&mut it, row, context).await;
            }
            Err(e) => it.fail(e.to_string(), advice(&e)),
        },
        Protocol::Pop3 => {
            match pop3::examine(row, context).await {
                Ok(report) => pop3::look(&mut it, row, &report),
                Err(e) => it.fail(e.to_string(), advice(&e)),
            }
            pop3::provider(&mut it, &row.spec);
        }
        Protocol::Maildir => maildir(&mut it, row).await,
        Protocol::Pipe => it.ok("an MTA brings its mail by `maildesk deliver`"),
    }
    let door = if row.spec.protocol == Protocol::Pop3 { Door::Pop3 } else { Door::Imap };
    grant(&mut it, (row.spec.auth, row.id.into(), door), context).await;
    if row.is_held {
        let words = "it is held: most of its mail was suddenly unknown";
        it.warn(words, "look at the mailbox, then `maildesk mailbox resume`");
    }
    it
}

fn signed_in(row: &MailboxRow, by: &str, greeting: &str) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    format!("signed in as {}{by}; the server says: {greeting}", row.spec.username)
}

/// What somebody can do about it; what is about a token, only its kind says.
fn advice(failure: &Failure) -> &'static str {
    match failure.kind {
        Kind::Token | Kind::TokenScope | Kind::MailboxClosed | Kind::ProtocolOff | Kind::Grant => {
            failure.kind.advice()
        }
        _ => CHECK_SETTINGS,
    }
}

/// Whether the grant was given for what it is used for. That there is none, the login says.
pub async fn grant(it: &mut Checkup, (auth, owner, door): (Auth, Owner, Door), context: &Context) {
    if auth != Auth::Oauth2 {
        return;
    }
    let found = async { context.store.read().await?.grant_of(owner.kind.as_str(), owner.id).await };
    let lacks = match found.await {
        Ok(grant) => grant.and_then(|grant| scope::missing(&grant.scopes, door)),
        Err(e) => return it.warn(format!("its grant is not known: {e}"), "run doctor again"),
    };
    if let Some(lacks) = lacks {
        it.fail(
            format!("its grant was given without the scope {lacks}"),
            "allow it in the application's registration, then sign in again with `maildesk oauth login`",
        );
    }
}

fn imap(it: &mut Checkup, row: &MailboxRow, report: &Report) {
    it.ok(signed_in(row, report.signed_in_by, &report.greeting));
    for folder in &report.folders {
        match folder.messages {
            Some(messages) => it.ok(format!("folder {}: {messages} messages wait", folder.name)),
            None => it.fail(
                format!("folder {}: {}", folder.name, folder.words),
                "name a folder that is there, in `folders` of the mailbox",
            ),
        }
    }
    if !report.has_uidplus && row.spec.handled != Handled::Seen {
        it.warn(
            "the server has no UIDPLUS: handled mail is only flagged \\Deleted, single messages cannot be removed",
            "empty the folder with another client now and then, or set `handled` to seen",
        );
    }
    if !report.has_move && row.spec.handled == Handled::Move {
        it.warn("the server has no MOVE: handled mail is copied and then deleted", "");
    }
    clear_text(it, row.spec.tls, &row.spec.host);
}

/// What the server lets us do there, and how much room it has.
async fn rights(it: &mut Checkup, row: &MailboxRow, context: &Context) {
    let settings = match context.works.server_settings(row).await {
        Ok(settings) => settings,
        Err(e) => return it.fail(e.to_string(), "set a password with `maildesk mailbox edit`"),
    };
    let wants_delete = row.spec.handled != Handled::Seen;
    let target = (row.spec.handled == Handled::Move).then_some(row.spec.move_to.as_str());
    let found = match in_time(imap::rights(settings, wants_delete, target), DEADLINE).await {
        Ok(found) => found,
        Err(e) => return it.warn(format!("its rights are not known: {e}"), "run doctor again"),
    };
    for (folder, words) in &found.refused {
        let advice =
            "handled mail could not be taken away: give the account the right, or set `handled` to seen";
        it.fail(format!("folder {folder}: {words}"), advice);
    }
    match (&found.no_target, target) {
        (Some(words), Some(target)) => it.warn(
            format!("folder {target}, to which handled mail is moved: {words}"),
            "maildesk makes it with the first message, if the server lets it",
        ),
        (None, Some(target)) => it.ok(format!("folder {target} is there for handled mail")),
        (_, None) => {}
    }
    for (name, used, limit) in
        found.quotas.iter().filter(|(_, used, limit)| used.saturating_mul(10) >= limit * 9)
    {
        it.warn(
            format!("its quota is nearly used up: {name} {used} of {limit}"),
            "a full mailbox refuses new mail",
        );
    }
}

fn clear_text(it: &mut Checkup, tls: Tls, host: &str) {
    if tls == Tls::Plain && !matches!(host, "localhost" | "127.0.0.1" | "::1") {
        it.warn("password and mail cross the network in the clear", "set tls to `tls` or `starttls`");
    }
}

/// The messages that wait in a Maildir: what lies in `new` and `cur`.
pub async fn maildir_messages(root: &Path) -> Result<u64, Failure> {
    let root = root.to_owned();
    let count = move || {
        let mut messages = 0;
        for name in ["new", "cur"] {
            let folder = root.join(name);
            let failed = |e| Failure::permanent(format!("{} cannot be read", folder.display())).because(e);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let is_hidden = entry.map_err(failed)?.file_name().as_encoded_bytes().starts_with(b".");
                messages += u64::from(!is_hidden);
            }
        }
        Ok(messages)
    };
    on_disk(count).await
}

async fn maildir(it: &mut Checkup, row: &MailboxRow) {
    let root = Path::new(&row.spec.host);
    match maildir_messages(root).await {
        Ok(messages) => it.ok(format!("{}: {messages} messages", root.display())),
        Err(e) => return it.fail(e.to_string(), "it must be a Maildir: a folder with new, cur and tmp"),
    }
    for name in ["new", "cur"] {
        if let Err(e) = writable(&root.join(name)).await {
            it.fail(e.to_string(), "handled mail could not be taken away: give maildesk the right to write");
        }
    }
}

/// Whether a file can be made in a folder: one is, and taken away.
pub async fn writable(folder: &Path) -> Result<(), Failure> {
    let folder = folder.to_owned();
    on_disk(move || write_in(&folder)).await
}

async fn writable_or_made(folder: &Path) -> Result<(), Failure> {
    let folder = folder.to_owned();
    let make = move || {
        std::fs::create_dir_all(&folder)
            .map_err(|e| Failure::permanent(format!("{} cannot be made", folder.display())).because(e))?;
        write_in(&folder)
    };
    on_disk(make).await
}

/// Away from the async threads: a disk on the network may never answer.
async fn on_disk<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let step = tokio::task::spawn_blocking(step);
    let ended = async { step.await.map_err(|e| Failure::temporary("the look broke off").because(e))? };
    in_time(ended, DEADLINE).await
}

fn write_in(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(format!(".maildesk-doctor-{}", std::process::id()));
    let failed = |e| Failure::permanent(format!("{} cannot be written to", folder.display())).because(e);
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    let written = file.write_all(b"doctor").map_err(failed);
    std::fs::remove_file(&path).map_err(failed)?;
    written
}

/// `settings`: with its password unsealed; none where the relay is off.
/// `sample`: return path and recipient of a mail as it would go through.
pub async fn relay(
    row: &RelayRow,
    settings: Option<&RelaySettings>,
    sample: Option<(String, String)>,
) -> Checkup {
    let mut it = Checkup::of(format!("relay {}", row.spec.name));
    let Some(settings) = settings else {
        it.warn("it is switched off", "");
        return it;
    };
    match settings.kind {
        RelayKind::Folder => match writable_or_made(Path::new(&settings.host)).await {
            Ok(()) => it.ok(format!("mail is written into {}", settings.host)),
            Err(e) => it.fail(e.to_string(), "give maildesk the right to write there"),
        },
        RelayKind::Smtp => smtp(&mut it, settings, sample).await,
    }
    if row.is_paused {
        it.warn("it is paused: its mail waits", "`maildesk queue resume` lets it go");
    }
    it
}

async fn smtp(it: &mut Checkup, settings: &RelaySettings, sample: Option<(String, String)>) {
    let patience = outbound::Deadlines {
        connect: STEP,
        command: STEP,
        envelope: STEP,
        ..outbound::Deadlines::default()
    };
    match in_time(Session::open(settings, patience), DEADLINE).await {
        Ok(mut session) => {
            let login = match &settings.login {
                None => "it asks for no login".to_owned(),
                Some(login) => format!("signed in as {} by {}", login.user(), session.signed_in_by),
            };
            it.ok(format!("{}:{} answers, {}; {login}", settings.host, settings.port, settings.tls));
            if let Some((from, to)) = sample {
                match in_time(session.would_take(&from, &to), DEADLINE).await {
                    Ok(words) => it.ok(format!("it would take a mail from {from} to {to}: {words}")),
                    Err(e) => it.fail(
                        format!("it would not take a mail from {from} to {to}: {e}"),
                        "let the account send with that return path (or set `verp` to false), and to anybody",
                    ),
                }
            }
            // The answer to a goodbye tells nothing that matters here.
            drop(tokio::time::timeout(STEP, session.quit()).await);
        }
        Err(e) => it.fail(e.to_string(), "check host, port, tls, username and password of the relay"),
    }
    clear_text(it, settings.tls, &settings.host);
}
