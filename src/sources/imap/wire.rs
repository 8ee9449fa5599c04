//! The one place that talks through async-imap: a command out, its answers in, its tagged end checked.
//!
//! async-imap 0.12 takes a refused or broken command for an empty success, writes a command in four packets and logs
//! passwords, so only its reader is used here. imap-proto panics on some texts; a panic ends the session, not the task.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use async_imap::Client;
use async_imap::imap_proto::rfc4315::UidSetMember;
use async_imap::imap_proto::{Capability, MailboxDatum, Outcome, Response, ResponseCode, Status};
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::bounds::Bounded;
use super::command::Command;
use super::words::{clean, lost};
use crate::failure::{Failure, Kind, Step as Refused};
use crate::net::{Deadlines, Patient, Stream};

type Connection = Client<Bounded<Patient<Stream>>>;

/// What a caller does with each untagged answer; the bytes are the answer's own, for what the parser leaves open.
pub(super) type Each<'a> = dyn FnMut(&Response<'_>, &[u8]) -> Result<(), Failure> + Send + 'a;

pub(super) struct Wire {
    connection: Connection,
    deadlines: Deadlines,
    last_tag: u32,
    /// A command is under way, or its end was never seen.
    is_out_of_step: bool,
    pub(super) capabilities: Capabilities,
    pub(super) opened: OpenFolder,
    /// What must not show in words: password or token as it is written on this wire.
    pub(super) secrets: Vec<String>,
    /// The way of the login, `LOGIN` or a SASL mechanism.
    pub(super) signed_in_by: &'static str,
    /// Of a session that a token opened: when it is better left for another.
    pub(super) leave_at: Option<Instant>,
}

/// Upper case, `AUTH=PLAIN` among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Capabilities(pub(super) BTreeSet<String>);

impl Capabilities {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    fn note(&mut self, stated: &[Capability<'_>]) {
        self.0 = stated
            .iter()
            .map(|capability| match capability {
                Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
                Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_ascii_uppercase()),
                Capability::Atom(name) => name.to_ascii_uppercase(),
            })
            .collect();
    }
}

/// What the server has told of the open folder by the way, in answer to whatever command (RFC 3501 §5.2).
#[derive(Debug, Default)]
pub(super) struct OpenFolder {
    exists: u32,
    recent: u32,
    /// A message has come since the folder was opened.
    pub(super) has_news: bool,
}

impl OpenFolder {
    fn note(&mut self, response: &Response<'_>) {
        match response {
            Response::MailboxData(MailboxDatum::Exists(n)) => {
                self.has_news |= *n > self.exists;
                self.exists = *n;
            }
            Response::MailboxData(MailboxDatum::Recent(n)) => {
                self.has_news |= *n > self.recent;
                self.recent = *n;
            }
            Response::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            _ => {}
        }
    }
}

/// What ended a wait in IDLE; the session takes commands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The folder has news.
    News,
    /// Long enough: the server would take us for gone.
    Renew,
    /// The caller wants no more.
    Asked,
}

/// The tagged end of a command.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) is_ok: bool,
    /// RFC 3501 §7.1: a missing folder may be created and the command tried again.
    pub(super) wants_create: bool,
    /// RFC 3501 §7.1 READ-ONLY: the folder is open, and nothing in it may be changed.
    pub(super) is_read_only: bool,
    /// RFC 4315 §3: UIDVALIDITY and UID of a message that was appended.
    pub(super) appended: Option<(u32, u32)>,
    /// What stood behind the last `+`.
    pub(super) challenge: String,
    /// `NO [LIMIT] too many`.
    pub(super) words: String,
}

impl Reply {
    pub(super) fn or_failure(self, command: &str) -> Result<(), Failure> {
        if self.is_ok {
            return Ok(());
        }
        let failure = Failure::temporary(format!("the server refused {command}: {}", self.words));
        Err(failure.said(step_of(command), &self.words))
    }
}

fn step_of(command: &str) -> Refused {
    match command {
        "LOGIN" | "AUTHENTICATE PLAIN" => Refused::Login,
        "SELECT" | "EXAMINE" => Refused::Folder,
        "UID FETCH" => Refused::Read,
        "UID STORE" | "UID EXPUNGE" | "UID COPY" | "UID MOVE" => Refused::Remove,
        "CREATE" => Refused::Create,
        _ => Refused::Other,
    }
}

/// The first line of a server, RFC 3501 §7.1.
pub(super) enum Greeting {
    Ready(String),
    /// PREAUTH: the session is authenticated by other means.
    KnowsUs(String),
    Bye(String),
    NotImap,
}

enum Step {
    Untagged,
    /// With what stands behind the `+`.
    Continue(String),
    Done(Reply),
    /// The end of another command, or a BYE.
    Lost(Failure),
}

impl Wire {
    pub(super) fn new(stream: Stream, deadlines: Deadlines) -> Wire {
        let connection = Client::new(Bounded::new(Patient::new(stream, deadlines.silence)));
        Wire {
            connection,
            deadlines,
            last_tag: 0,
            is_out_of_step: false,
            capabilities: Capabilities::default(),
            opened: OpenFolder::default(),
            secrets: Vec::new(),
            signed_in_by: "",
            leave_at: None,
        }
    }

    /// The bare connection, to wrap in TLS. What was read ahead is dropped: it came before the TLS and is not to be trusted.
    pub(super) fn into_stream(self) -> Stream {
        self.connection.into_inner().into_inner().into_inner()
    }

    /// Reads the server's first line.
    pub(super) async fn greeting(&mut self) -> Result<Greeting, Failure> {
        let (capabilities, secrets) = (&mut self.capabilities, &self.secrets);
        read(&mut self.connection, secrets, |response, _| match response {
            Response::Data { status: Status::Ok, outcome } => {
                note_code(capabilities, outcome);
                Greeting::Ready(text(outcome, secrets))
            }
            Response::Data { status: Status::PreAuth, outcome } => Greeting::KnowsUs(text(outcome, secrets)),
            Response::Data { status: Status::Bye, outcome } => Greeting::Bye(text(outcome, secrets)),
            _ => Greeting::NotImap,
        })
        .await
    }

    /// Every command so far has had its end.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_out_of_step
    }

    /// Runs a command to its tagged end; a refusal is a failure.
    pub(super) async fn run(&mut self, command: Command, each: &mut Each<'_>) -> Result<(), Failure> {
        let name = command.name;
        self.ask(command, each).await?.or_failure(name)
    }

    /// Runs a command whose answers do not matter, only its end.
    pub(super) async fn tell(&mut self, command: Command) -> Result<(), Failure> {
        self.run(command, &mut |_, _| Ok(())).await
    }

    /// Runs a command to its tagged end, whatever that says.
    pub(super) async fn ask(&mut self, command: Command, each: &mut Each<'_>) -> Result<Reply, Failure> {
        self.begin()?;
        let name = command.name;
        let reply = match timeout(self.deadlines.command, self.converse(command, each)).await {
            Ok(done) => done.map_err(|failure| failure.of(name))?,
            Err(_) => {
                let limit = self.deadlines.command.as_secs();
                let words = format!("{name}: not finished within {limit} s");
                return Err(Failure::temporary(words).kind(Kind::Silent));
            }
        };
        self.is_out_of_step = false;
        Ok(reply)
    }

    /// RFC 2177: waits under IDLE until the folder has news, `renew` has passed, or `asked` comes, and ends it with DONE.
    pub(super) async fn idle<F: Future<Output = ()> + Send>(
        &mut self,
        renew: Duration,
        asked: Pin<&mut F>,
    ) -> Result<Woken, Failure> {
        self.begin()?;
        let idled = self.idle_within(renew, asked).await.map_err(|failure| failure.of("IDLE"));
        self.is_out_of_step = idled.is_err();
        idled
    }

    async fn idle_within<F: Future<Output = ()> + Send>(
        &mut self,
        renew: Duration,
        mut asked: Pin<&mut F>,
    ) -> Result<Woken, Failure> {
        let tag = self.next_tag();
        self.send(Some(format!("{tag} IDLE\r\n").into_bytes())).await?;
        let limit = self.deadlines.silence;
        let begun = async {
            loop {
                match self.idle_step(&tag).await? {
                    Step::Untagged => {}
                    Step::Continue(_) => return Ok(()),
                    Step::Done(reply) => return Err(refused_to_idle(reply)),
                    Step::Lost(failure) => return Err(failure),
                }
            }
        };
        in_time(limit, begun).await?;
        // Silence is what IDLE is for.
        self.patience(renew.saturating_mul(2));
        let mut end = Box::pin(tokio::time::sleep(renew));
        let woken = loop {
            if self.opened.has_news {
                break Woken::News;
            }
            let step = tokio::select! {
                step = self.idle_step(&tag) => step?,
                () = &mut end => break Woken::Renew,
                () = &mut asked => break Woken::Asked,
            };
            match step {
                Step::Untagged | Step::Continue(_) => {}
                Step::Done(reply) => return Err(refused_to_idle(reply)),
                Step::Lost(failure) => return Err(failure),
            }
        };
        self.patience(limit);
        self.send(Some(b"DONE\r\n".to_vec())).await?;
        let ended = async {
            loop {
                match self.idle_step(&tag).await? {
                    Step::Untagged | Step::Continue(_) => {}
                    Step::Done(reply) => return reply.or_failure("DONE"),
                    Step::Lost(failure) => return Err(failure),
                }
            }
        };
        in_time(limit, ended).await?;
        Ok(woken)
    }

    async fn idle_step(&mut self, tag: &str) -> Result<Step, Failure> {
        self.step(tag, "IDLE", &mut |_, _| Ok(())).await
    }

    fn patience(&mut self, silence: Duration) {
        self.connection.get_mut().inner_mut().set_silence(silence);
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if self.is_out_of_step {
            return Err(Failure::temporary("the IMAP session is out of step: an earlier command had no end"));
        }
        self.is_out_of_step = true;
        Ok(())
    }

    fn next_tag(&mut self) -> String {
        self.last_tag += 1;
        format!("m{}", self.last_tag)
    }

    async fn converse(&mut self, command: Command, each: &mut Each<'_>) -> Result<Reply, Failure> {
        let name = command.name;
        let tag = self.next_tag();
        let mut lines = command.into_lines(&tag);
        self.send(lines.next()).await?;
        let mut challenge = String::new();
        loop {
            match self.step(&tag, name, each).await? {
                Step::Untagged => {}
                Step::Continue(said) => {
                    challenge = said;
                    self.send(lines.next()).await?;
                }
                Step::Done(reply) => return Ok(Reply { challenge, ..reply }),
                Step::Lost(failure) => return Err(failure),
            }
        }
    }

    /// Reads one answer while the command `name` is under way as `tag`. It may be dropped while it waits.
    async fn step(&mut self, tag: &str, name: &str, each: &mut Each<'_>) -> Result<Step, Failure> {
        let (capabilities, opened, secrets) = (&mut self.capabilities, &mut self.opened, &self.secrets);
        read(&mut self.connection, secrets, |response, raw| {
            opened.note(response);
            match response {
                Response::Done { tag: of, status, outcome } if of.0 == tag => {
                    note_code(capabilities, outcome);
                    Ok(Step::Done(reply(status, outcome, secrets)))
                }
                Response::Done { .. } => {
                    let failure = Failure::temporary("the server answered another command");
                    Ok(Step::Lost(failure.kind(Kind::Garbage)))
                }
                Response::Data { status: Status::Bye, outcome } if name != "LOGOUT" => {
                    let said = text(outcome, secrets);
                    let failure = Failure::temporary(format!("the server ended the session: {said}"));
                    Ok(Step::Lost(failure.said(Refused::Bye, &said)))
                }
                Response::Continue(outcome) => {
                    Ok(Step::Continue(outcome.information.as_deref().unwrap_or_default().to_owned()))
                }
                Response::Capabilities(stated) => {
                    capabilities.note(stated);
                    Ok(Step::Untagged)
                }
                other => each(other, raw).map(|()| Step::Untagged),
            }
        })
        .await?
    }

    async fn send(&mut self, line: Option<Vec<u8>>) -> Result<(), Failure> {
        let line = line.ok_or_else(|| {
            Failure::temporary("the server asks for more than the command has").kind(Kind::Garbage)
        })?;
        let stream = self.connection.get_mut();
        let sent = async {
            stream.write_all(&line).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| lost(error, &self.secrets))
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || Failure::temporary(format!("no answer within {} s", limit.as_secs_f32()));
    timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

/// Some servers offer IDLE and refuse it, or end it by themselves.
fn refused_to_idle(reply: Reply) -> Failure {
    Failure::temporary(format!("the server does not let us wait: {}", reply.words))
}

/// Reads one answer and looks at it.
async fn read<T>(
    connection: &mut Connection,
    secrets: &[String],
    see: impl FnOnce(&Response<'_>, &[u8]) -> T,
) -> Result<T, Failure> {
    match AssertUnwindSafe(connection.read_response()).catch_unwind().await {
        Ok(Ok(Some(answer))) => Ok(see(answer.parsed(), answer.borrow_owner())),
        Ok(Ok(None)) => Err(Failure::temporary("the server closed the connection").kind(Kind::Cut)),
        Ok(Err(error)) => Err(lost(error, secrets)),
        Err(_) => {
            let words = "the server's answer cannot be read: the IMAP parser gave up on it";
            Err(Failure::temporary(words).kind(Kind::Garbage))
        }
    }
}

fn note_code(capabilities: &mut Capabilities, outcome: &Outcome<'_>) {
    if let Some(ResponseCode::Capabilities(stated)) = &outcome.code {
        capabilities.note(stated);
    }
}

fn reply(status: &Status, outcome: &Outcome<'_>, secrets: &[String]) -> Reply {
    let name = match status {
        Status::Ok => "OK",
        Status::No => "NO",
        Status::Bad => "BAD",
        Status::PreAuth => "PREAUTH",
        Status::Bye => "BYE",
    };
    let wants_create = matches!(outcome.code, Some(ResponseCode::TryCreate));
    let appended = match &outcome.code {
        Some(ResponseCode::AppendUid(validity, uids)) => match uids.as_slice() {
            [UidSetMember::Uid(uid)] => Some((*validity, *uid)),
            _ => None,
        },
        _ => None,
    };
    let words = format!("{name} {}", text(outcome, secrets));
    let is_read_only = matches!(outcome.code, Some(ResponseCode::ReadOnly));
    let challenge = String::new();
    Reply { is_ok: *status == Status::Ok, wants_create, is_read_only, appended, challenge, words }
}

fn text(outcome: &Outcome<'_>, secrets: &[String]) -> String {
    clean(outcome.information.as_deref().unwrap_or_default(), secrets)
}
