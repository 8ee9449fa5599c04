//! The one place that talks through async-imap: a command out, its answers in, its tagged end checked.
//!
//! async-imap 0.12 takes a refused or broken command for an empty success, writes a command in four packets and logs
//! passwords, so only its reader is used here. imap-proto panics on some texts; a panic ends the session, not the task.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use async_imap::Client;
use async_imap::imap_proto::rfc4315::UidSetMember;
use async_imap::imap_proto::{Capability, Outcome, Response, ResponseCode, Status};
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::bounds::Bounded;
use super::command::Command;
use super::words::{clean, lost};
use crate::failure::Failure;
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
    /// What must not show in words: the password as it is written on this wire.
    pub(super) secrets: Vec<String>,
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

/// The tagged end of a command.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) is_ok: bool,
    /// RFC 3501 §7.1: a missing folder may be created and the command tried again.
    pub(super) wants_create: bool,
    /// RFC 4315 §3: UIDVALIDITY and UID of a message that was appended.
    pub(super) appended: Option<(u32, u32)>,
    /// `NO [LIMIT] too many`.
    pub(super) words: String,
}

impl Reply {
    pub(super) fn or_failure(self, command: &str) -> Result<(), Failure> {
        if self.is_ok {
            return Ok(());
        }
        Err(Failure::temporary(format!("the server refused {command}: {}", self.words)))
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
    Continue,
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
            secrets: Vec::new(),
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
        if self.is_out_of_step {
            return Err(Failure::temporary("the IMAP session is out of step: an earlier command had no end"));
        }
        self.is_out_of_step = true;
        let name = command.name;
        let reply = match timeout(self.deadlines.command, self.converse(command, each)).await {
            Ok(done) => done.map_err(|failure| failure.of(name))?,
            Err(_) => {
                let limit = self.deadlines.command.as_secs();
                return Err(Failure::temporary(format!("{name}: not finished within {limit} s")));
            }
        };
        self.is_out_of_step = false;
        Ok(reply)
    }

    async fn converse(&mut self, command: Command, each: &mut Each<'_>) -> Result<Reply, Failure> {
        let is_logout = command.name == "LOGOUT";
        self.last_tag += 1;
        let tag = format!("m{}", self.last_tag);
        let mut lines = command.into_lines(&tag);
        self.send(lines.next()).await?;
        loop {
            let (capabilities, secrets) = (&mut self.capabilities, &self.secrets);
            let step = read(&mut self.connection, secrets, |response, raw| match response {
                Response::Done { tag: of, status, outcome } if of.0 == tag => {
                    note_code(capabilities, outcome);
                    Ok(Step::Done(reply(status, outcome, secrets)))
                }
                Response::Done { .. } => {
                    Ok(Step::Lost(Failure::temporary("the server answered another command")))
                }
                Response::Data { status: Status::Bye, outcome } if !is_logout => {
                    let words = format!("the server ended the session: {}", text(outcome, secrets));
                    Ok(Step::Lost(Failure::temporary(words)))
                }
                Response::Continue(_) => Ok(Step::Continue),
                Response::Capabilities(stated) => {
                    capabilities.note(stated);
                    Ok(Step::Untagged)
                }
                other => each(other, raw).map(|()| Step::Untagged),
            });
            match step.await?? {
                Step::Untagged => {}
                Step::Continue => self.send(lines.next()).await?,
                Step::Done(reply) => return Ok(reply),
                Step::Lost(failure) => return Err(failure),
            }
        }
    }

    async fn send(&mut self, line: Option<Vec<u8>>) -> Result<(), Failure> {
        let line = line.ok_or_else(|| Failure::temporary("the server asks for more than the command has"))?;
        let stream = self.connection.get_mut();
        let sent = async {
            stream.write_all(&line).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| lost(error, &self.secrets))
    }
}

/// Reads one answer and looks at it.
async fn read<T>(
    connection: &mut Connection,
    secrets: &[String],
    see: impl FnOnce(&Response<'_>, &[u8]) -> T,
) -> Result<T, Failure> {
    match AssertUnwindSafe(connection.read_response()).catch_unwind().await {
        Ok(Ok(Some(answer))) => Ok(see(answer.parsed(), answer.borrow_owner())),
        Ok(Ok(None)) => Err(Failure::temporary("the server closed the connection")),
        Ok(Err(error)) => Err(lost(error, secrets)),
        Err(_) => {
            Err(Failure::temporary("the server's answer cannot be read: the IMAP parser gave up on it"))
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
    Reply { is_ok: *status == Status::Ok, wants_create, appended, words }
}

fn text(outcome: &Outcome<'_>, secrets: &[String]) -> String {
    clean(outcome.information.as_deref().unwrap_or_default(), secrets)
}
