//! A command and its end: every answer is waited for within a deadline, and a line has a bound.
//!
//! After a failure in the midst of an answer the session is out of step, and takes no more commands.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::wire::{Capabilities, Status, Unstuff, status};
use crate::failure::Failure;
use crate::net::{Deadlines, Patient, Stream};
use crate::sources::words::{clean, lost};

/// RFC 2449 §4 allows 512 octets to an answer's line; servers write more.
const LINE_LIMIT: usize = 8 << 10;
const BUFFER: usize = 64 << 10;

/// What a caller does with each piece of a multi-line answer, or with each of its lines.
pub(super) type Each<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + Send + 'a;

/// A command with its name for words: its line may hold a password.
pub(super) struct Command {
    name: &'static str,
    line: String,
    /// What the server gets when it asks for more.
    then: Vec<String>,
}

impl Command {
    pub(super) fn new(name: &'static str) -> Command {
        Command { name, line: name.to_owned(), then: vec![] }
    }

    pub(super) fn word(mut self, word: impl std::fmt::Display) -> Command {
        self.line.push_str(&format!(" {word}"));
        self
    }

    pub(super) fn then_line(mut self, line: &str) -> Command {
        self.then.push(line.to_owned());
        self
    }
}

#[cfg(test)]
impl Command {
    pub(super) fn lines(self) -> Vec<String> {
        [self.line].into_iter().chain(self.then).collect()
    }
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) is_ok: bool,
    /// Without the `+OK` or `-ERR`.
    pub(super) words: String,
    /// What stood behind the last `+` alone.
    pub(super) challenge: String,
}

impl Reply {
    pub(super) fn or_failure(self, name: &str) -> Result<String, Failure> {
        if self.is_ok {
            return Ok(self.words);
        }
        Err(Failure::temporary(format!("the server refused {name}: -ERR {}", self.words)))
    }
}

pub(super) struct Session {
    stream: BufReader<Patient<Stream>>,
    deadlines: Deadlines,
    /// Commands that were sent and not answered.
    due: usize,
    /// An answer was begun to be read and its end never seen.
    is_cut: bool,
    /// None: the server knows no CAPA.
    pub(super) capabilities: Option<Capabilities>,
    /// What must not show in words: password or token as it is written on this wire.
    pub(super) secrets: Vec<String>,
    /// The way of the login, `USER` or a SASL mechanism.
    pub(super) signed_in_by: &'static str,
}

impl Session {
    pub(super) fn new(stream: Stream, deadlines: Deadlines) -> Session {
        let stream = BufReader::with_capacity(BUFFER, Patient::new(stream, deadlines.silence));
        Session {
            stream,
            deadlines,
            due: 0,
            is_cut: false,
            capabilities: None,
            secrets: vec![],
            signed_in_by: "",
        }
    }

    /// The bare connection, to wrap in TLS. What came ahead of the handshake anyone may have said.
    pub(super) fn into_stream(self) -> Result<Stream, Failure> {
        match self.stream.buffer() {
            [] => Ok(self.stream.into_inner().into_inner()),
            _ => Err(Failure::temporary(
                "the server said more between STLS and the handshake: it is not to be trusted",
            )),
        }
    }

    /// Reads the server's first line; nothing where it is not one of POP3.
    pub(super) async fn greeting(&mut self) -> Result<Result<Reply, String>, Failure> {
        let limit = self.deadlines.command;
        let line = timeout(limit, self.line()).await.map_err(|_| {
            Failure::temporary(format!(
                "the server's first line is not finished within {} s",
                limit.as_secs()
            ))
        })??;
        Ok(match status(&line) {
            Some(Status::Ok(words)) => Ok(self.reply(true, &words)),
            Some(Status::Refused(words)) => Ok(self.reply(false, &words)),
            _ => Err(clean(&String::from_utf8_lossy(&line), &self.secrets).chars().take(60).collect()),
        })
    }

    /// Whether commands may be sent ahead of their answers, RFC 2449 §6.6.
    pub(super) fn has_pipelining(&self) -> bool {
        self.capabilities.as_ref().is_some_and(|c| c.has("PIPELINING"))
    }

    /// Runs a command that is answered by a line; a refusal is a failure.
    pub(super) async fn tell(&mut self, command: Command) -> Result<String, Failure> {
        let name = command.name;
        self.ask(command).await?.or_failure(name)
    }

    /// The same, whatever the line says.
    pub(super) async fn ask(&mut self, command: Command) -> Result<Reply, Failure> {
        let name = command.name;
        self.send(std::slice::from_ref(&command)).await?;
        self.answer(name, command.then, None).await
    }

    /// Runs a command that is answered by a line and, unless that refuses, by more lines.
    pub(super) async fn ask_lines(
        &mut self,
        command: Command,
        each: &mut Each<'_>,
    ) -> Result<Reply, Failure> {
        let mut line = vec![];
        let mut split = |piece: &[u8]| {
            for part in piece.split_inclusive(|b| *b == b'\n') {
                line.extend_from_slice(part);
                if line.len() > LINE_LIMIT {
                    return Err(long_line());
                }
                if line.ends_with(b"\n") {
                    each(line.trim_ascii_end())?;
                    line.clear();
                }
            }
            Ok(())
        };
        self.ask_pieces(command, &mut split).await
    }

    /// The same, in pieces as they come.
    pub(super) async fn ask_pieces(
        &mut self,
        command: Command,
        each: &mut Each<'_>,
    ) -> Result<Reply, Failure> {
        self.send(std::slice::from_ref(&command)).await?;
        self.answer(command.name, vec![], Some(each)).await
    }

    /// Every command so far has had its end.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_cut && self.due == 0
    }

    /// Sends commands ahead of their answers; `answer_of` reads those, one by one and in order.
    pub(super) async fn send(&mut self, commands: &[Command]) -> Result<(), Failure> {
        if self.is_cut || (self.due > 0 && !self.has_pipelining()) {
            return Err(Failure::temporary("the POP3 session is out of step: an earlier command had no end"));
        }
        let lines: String = commands.iter().map(|command| format!("{}\r\n", command.line)).collect();
        self.due += commands.len();
        self.write(&lines).await
    }

    /// Reads the answer to the oldest command that is due. What is behind its first line goes to `each`, in pieces.
    pub(super) async fn answer_of(
        &mut self,
        name: &'static str,
        each: &mut Each<'_>,
    ) -> Result<Reply, Failure> {
        self.answer(name, vec![], Some(each)).await
    }

    /// The same for an answer of one line.
    pub(super) async fn line_of(&mut self, name: &'static str) -> Result<Reply, Failure> {
        self.answer(name, vec![], None).await
    }

    async fn answer(
        &mut self,
        name: &'static str,
        then: Vec<String>,
        each: Option<&mut Each<'_>>,
    ) -> Result<Reply, Failure> {
        self.is_cut = true;
        let limit = self.deadlines.command;
        let reply = match timeout(limit, self.converse(then, each)).await {
            Ok(done) => done.map_err(|failure| failure.of(name))?,
            Err(_) => {
                return Err(Failure::temporary(format!("{name}: not finished within {} s", limit.as_secs())));
            }
        };
        self.is_cut = false;
        self.due = self.due.saturating_sub(1);
        Ok(reply)
    }

    async fn converse(&mut self, then: Vec<String>, each: Option<&mut Each<'_>>) -> Result<Reply, Failure> {
        let (mut then, mut challenge) = (then.into_iter(), String::new());
        let words = loop {
            let line = self.line().await?;
            match status(&line) {
                Some(Status::Ok(words)) => break words,
                Some(Status::Refused(words)) => {
                    return Ok(Reply { challenge, ..self.reply(false, &words) });
                }
                Some(Status::Challenge(said)) => {
                    challenge = said;
                    let next = then.next();
                    let next =
                        next.ok_or_else(|| Failure::temporary("the server asks for more than there is"))?;
                    self.write(&format!("{next}\r\n")).await?;
                }
                None => {
                    let start: String =
                        clean(&String::from_utf8_lossy(&line), &self.secrets).chars().take(60).collect();
                    return Err(Failure::temporary(format!(
                        "the server's answer is neither +OK nor -ERR; it starts with {start:?}"
                    )));
                }
            }
        };
        if let Some(each) = each {
            self.pieces(each).await?;
        }
        Ok(self.reply(true, &words))
    }

    fn reply(&self, is_ok: bool, words: &str) -> Reply {
        Reply { is_ok, words: clean(words, &self.secrets), challenge: String::new() }
    }

    async fn pieces(&mut self, each: &mut Each<'_>) -> Result<(), Failure> {
        let mut unstuff = Unstuff::default();
        let mut piece = vec![];
        while !unstuff.is_at_end() {
            let read = self.stream.fill_buf().await.map_err(lost)?;
            if read.is_empty() {
                return Err(Failure::temporary("the server closed the connection within an answer"));
            }
            let taken = unstuff.push(read, &mut piece);
            self.stream.consume(taken);
            each(&piece)?;
            piece.clear();
        }
        Ok(())
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = vec![];
        loop {
            let read = self.stream.fill_buf().await.map_err(lost)?;
            if read.is_empty() {
                let within = if line.is_empty() { "" } else { " within an answer" };
                return Err(Failure::temporary(format!("the server closed the connection{within}")));
            }
            let end = memchr::memchr(b'\n', read);
            let taken = end.map_or(read.len(), |at| at + 1);
            line.extend_from_slice(&read[..taken]);
            self.stream.consume(taken);
            if line.len() > LINE_LIMIT {
                return Err(long_line());
            }
            if end.is_some() {
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
        }
    }

    /// Ends the connection from this side. A server that has gone away first is no failure any more.
    pub(super) async fn hang_up(&mut self) {
        drop(timeout(self.deadlines.silence, self.stream.shutdown()).await);
    }

    async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let sent = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        sent.await.map_err(lost)
    }
}

fn long_line() -> Failure {
    Failure::temporary("the server's answer has a line longer than any server needs")
}
