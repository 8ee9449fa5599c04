//! An SMTP server whose every answer can be chosen: refusals for single recipients, stalls, cut connections.
//!
//! It records each envelope and the exact bytes. Blocking threads, so that a test which itself blocks on the program,
//! or one whose tokio time is paused, cannot starve it. No TLS, no PIPELINING unless announced; no AUTH unless demanded.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;

use super::wait_until;

/// Where in the conversation an answer belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The greeting, before the client has said anything.
    Greeting,
    Ehlo,
    Mail,
    /// RCPT TO with this address.
    Rcpt(String),
    Data,
    /// After the final dot.
    Dot,
    Quit,
}

/// What the server does there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reply of one line.
    Reply(u16, String),
    /// Nothing at all, until the client goes or the server is dropped.
    Stall,
    /// Closes the connection without a word. At [`Phase::Dot`] the mail has been read whole.
    Cut,
    /// At [`Phase::Data`]: 354, and then a close once that many bytes have come.
    CutAfter(usize),
}

impl Answer {
    pub fn reply(code: u16, words: &str) -> Answer {
        Answer::Reply(code, words.to_owned())
    }
}

/// How a transaction that got as far as DATA ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The final dot came and was answered with this code.
    Answered(u16),
    /// The final dot came and the connection was cut before an answer.
    CutAfterDot,
    /// The final dot came and no answer was ever given.
    StalledAfterDot,
    /// The server cut, or the client went, before the final dot.
    WithoutDot,
}

/// One mail that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// Without angle brackets; the null sender is empty.
    pub sender: String,
    /// What follows the path in MAIL, such as `SIZE=120 BODY=8BITMIME`.
    pub mail_parameters: String,
    /// Those that got a 2xx.
    pub recipients: Vec<String>,
    pub refused: Vec<(String, u16)>,
    /// Dots unstuffed, without the final dot.
    pub bytes: Vec<u8>,
    pub end: End,
}

/// A listening scripted server.
pub struct ScriptedSmtp {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a connection is opened.
    opened: Condvar,
}

#[derive(Default)]
struct State {
    always: HashMap<Phase, Answer>,
    once: HashMap<Phase, VecDeque<Answer>>,
    extensions: Vec<String>,
    connections: usize,
    /// One line for each command seen, in order: `0 EHLO desk`.
    commands: Vec<String>,
    transactions: Vec<Transaction>,
    /// Who wants to send has to show a token that this takes.
    takes: Option<Takes>,
    /// Connections that are open now, and the most that were so at once.
    open: usize,
    most_open: usize,
    /// A mail is not answered before so many are open, or so much time has passed.
    crowd: Option<(usize, Duration)>,
    closed: bool,
}

/// User and token.
type Takes = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

impl ScriptedSmtp {
    /// Listens on a free port, and says yes to everything until told otherwise.
    pub fn start() -> ScriptedSmtp {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the scripted SMTP server");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared::default());
        shared.lock().extensions = ["8BITMIME", "ENHANCEDSTATUSCODES"].map(str::to_owned).to_vec();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                if shared.lock().closed {
                    break;
                }
                if let Ok(stream) = stream {
                    std::thread::spawn(move || Conversation::new(shared, stream).hold());
                }
            }
        });
        ScriptedSmtp { port, shared }
    }

    /// From now on this is the answer there.
    pub fn answer(&self, phase: Phase, answer: Answer) {
        self.shared.lock().always.insert(phase, answer);
    }

    /// The next time, once, this is the answer there; several of them are used up in turn, before what `answer` set.
    pub fn answer_once(&self, phase: Phase, answer: Answer) {
        self.shared.lock().once.entry(phase).or_default().push_back(answer);
    }

    /// What EHLO announces. At first 8BITMIME and ENHANCEDSTATUSCODES.
    pub fn announce(&self, extensions: &[&str]) {
        self.shared.lock().extensions = extensions.iter().map(|e| (*e).to_owned()).collect();
    }

    /// From now on nobody sends without XOAUTH2, and a user and token that are taken.
    pub fn demand_xoauth2(&self, takes: impl Fn(&str, &str) -> bool + Send + Sync + 'static) {
        let mut state = self.shared.lock();
        state.extensions.push("AUTH XOAUTH2".to_owned());
        state.takes = Some(Arc::new(takes));
    }

    /// Each mail is held until so many connections are open, but no longer than this: whoever would open them does.
    pub fn gather(&self, connections: usize, patience: Duration) {
        self.shared.lock().crowd = Some((connections, patience));
    }

    /// The most connections that were open at one moment.
    pub fn most_open(&self) -> usize {
        self.shared.lock().most_open
    }

    /// Every mail that got as far as DATA, in the order of their ends.
    pub fn transactions(&self) -> Vec<Transaction> {
        self.shared.lock().transactions.clone()
    }

    /// Those that were taken: the final dot answered with 2xx.
    pub fn accepted(&self) -> Vec<Transaction> {
        let taken = |t: &Transaction| matches!(t.end, End::Answered(200..=299));
        self.transactions().into_iter().filter(taken).collect()
    }

    /// Every command line seen, with the number of its connection in front.
    pub fn commands(&self) -> Vec<String> {
        self.shared.lock().commands.clone()
    }

    /// Waits until that many transactions have ended, however they did.
    #[track_caller]
    pub fn wait_for(&self, transactions: usize) -> Vec<Transaction> {
        wait_until(&format!("{transactions} SMTP transactions"), Duration::from_secs(30), || {
            Some(self.transactions()).filter(|t| t.len() >= transactions)
        })
    }
}

impl Drop for ScriptedSmtp {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        // Wakes the listener, which then sees that it is over. If nobody listens any more, it has ended already.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the scripted SMTP server panics with its state in hand")
    }

    fn wait_for_the_crowd(&self) {
        let state = self.lock();
        let Some((connections, patience)) = state.crowd else { return };
        let waited = self.opened.wait_timeout_while(state, patience, |state| state.open < connections);
        drop(waited.expect("no thread of the scripted SMTP server panics with its state in hand"));
    }
}

/// The conversation is over: the client went, or the script said so.
struct Over;

/// What MAIL and RCPT have named since the last transaction.
#[derive(Default)]
struct Envelope {
    sender: String,
    parameters: String,
    recipients: Vec<String>,
    refused: Vec<(String, u16)>,
}

struct Conversation {
    shared: Arc<Shared>,
    number: usize,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    envelope: Envelope,
    is_signed_in: bool,
    /// It counts among those that are open.
    is_open: bool,
}

impl Conversation {
    fn new(shared: Arc<Shared>, stream: TcpStream) -> Conversation {
        let number = {
            let mut state = shared.lock();
            state.connections += 1;
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
            state.connections - 1
        };
        shared.opened.notify_all();
        let reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let envelope = Envelope::default();
        Conversation { shared, number, reader, writer: stream, envelope, is_signed_in: false, is_open: true }
    }

    fn hold(mut self) {
        let Err(Over) = self.converse();
        self.leave();
        // The client may be gone already.
        drop(self.writer.shutdown(Shutdown::Both));
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.shared.lock().open -= 1;
        }
    }

    fn converse(&mut self) -> Result<std::convert::Infallible, Over> {
        self.say(Phase::Greeting, 220, "scripted ESMTP")?;
        loop {
            let line = self.command()?;
            let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.greet()?,
                "AUTH" => self.sign_in(rest)?,
                "MAIL" if !self.is_signed_in && self.takes().is_some() => {
                    self.reply(530, "5.7.0 Authentication required")?;
                }
                "MAIL" => self.mail(rest)?,
                "RCPT" => self.rcpt(rest)?,
                "DATA" => self.data()?,
                "RSET" => {
                    self.envelope = Envelope::default();
                    self.reply(250, "2.0.0 ok")?;
                }
                "NOOP" => self.reply(250, "2.0.0 ok")?,
                "QUIT" => {
                    // Before it hears so: another may come in its place at once.
                    self.leave();
                    self.say(Phase::Quit, 221, "2.0.0 bye")?;
                    return Err(Over);
                }
                _ => self.reply(502, "5.5.2 not in the script")?,
            }
        }
    }

    fn greet(&mut self) -> Result<(), Over> {
        if self.answer_at(&Phase::Ehlo).is_some() {
            // An EHLO with a scripted answer announces nothing.
            return self.say(Phase::Ehlo, 250, "scripted").map(drop);
        }
        let extensions = self.shared.lock().extensions.clone();
        let mut words = String::from("scripted");
        for extension in extensions {
            words.push('\n');
            words.push_str(&extension);
        }
        self.reply(250, &words)
    }

    fn takes(&self) -> Option<Takes> {
        self.shared.lock().takes.clone()
    }

    /// As Google does it: a refusal says why in a challenge, and wants an empty line.
    fn sign_in(&mut self, rest: &str) -> Result<(), Over> {
        let Some(takes) = self.takes() else { return self.reply(502, "5.5.1 nobody signs in here") };
        let (mechanism, response) = rest.split_once(' ').unwrap_or((rest, ""));
        if mechanism != "XOAUTH2" {
            return self.reply(504, "5.7.4 Unrecognized authentication type");
        }
        let mut response = response.to_owned();
        if response.is_empty() {
            self.reply(334, "")?;
            response = self.command()?;
        }
        let said = base64::engine::general_purpose::STANDARD.decode(&response).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let said = said.strip_prefix("user=").and_then(|said| said.strip_suffix("\u{1}\u{1}"));
        let proof = said.and_then(|said| said.split_once("\u{1}auth=Bearer "));
        self.is_signed_in = proof.is_some_and(|(user, token)| takes(user, token));
        if self.is_signed_in {
            return self.reply(235, "2.7.0 Authentication successful");
        }
        self.reply(334, "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=")?;
        match self.command()?.as_str() {
            "" => self.reply(535, "5.7.8 Username and Password not accepted"),
            _ => self.reply(501, "5.5.2 an empty line was due"),
        }
    }

    fn mail(&mut self, rest: &str) -> Result<(), Over> {
        let (sender, parameters) = path(rest);
        self.envelope = Envelope { sender, parameters, ..Envelope::default() };
        self.say(Phase::Mail, 250, "2.1.0 ok").map(drop)
    }

    fn rcpt(&mut self, rest: &str) -> Result<(), Over> {
        let (recipient, _) = path(rest);
        let code = self.say(Phase::Rcpt(recipient.clone()), 250, "2.1.5 ok")?;
        if code < 300 {
            self.envelope.recipients.push(recipient);
        } else {
            self.envelope.refused.push((recipient, code));
        }
        Ok(())
    }

    fn data(&mut self) -> Result<(), Over> {
        if self.envelope.recipients.is_empty() {
            return self.reply(554, "5.5.1 no valid recipients");
        }
        let mut room = usize::MAX;
        if let Some(Answer::CutAfter(bytes)) = self.answer_at(&Phase::Data) {
            self.use_up(&Phase::Data);
            room = bytes;
            self.reply(354, "go on")?;
        } else if self.say(Phase::Data, 354, "go on")? != 354 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        if self.read_mail(room, &mut bytes).is_err() {
            self.record(bytes, End::WithoutDot);
            return Err(Over);
        }
        self.shared.wait_for_the_crowd();
        match self.answer_at(&Phase::Dot) {
            // Recorded before it is said, so that a client that has the answer finds the record there.
            Some(Answer::Stall) => self.record(bytes, End::StalledAfterDot),
            Some(Answer::Cut | Answer::CutAfter(_)) => self.record(bytes, End::CutAfterDot),
            Some(Answer::Reply(code, _)) => self.record(bytes, End::Answered(code)),
            None => self.record(bytes, End::Answered(250)),
        }
        self.say(Phase::Dot, 250, "2.0.0 taken").map(drop)
    }

    /// Reads to the final dot, at most `room` bytes of it.
    fn read_mail(&mut self, room: usize, bytes: &mut Vec<u8>) -> Result<(), Over> {
        loop {
            let mut line = Vec::new();
            let left = (room - bytes.len()) as u64;
            let read = (&mut self.reader).take(left).read_until(b'\n', &mut line).map_err(|_| Over)?;
            if line == b".\r\n" {
                return Ok(());
            }
            bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if read == 0 || bytes.len() >= room {
                return Err(Over);
            }
        }
    }

    fn record(&mut self, bytes: Vec<u8>, end: End) {
        let Envelope { sender, parameters, recipients, refused } = std::mem::take(&mut self.envelope);
        let connection = self.number;
        let mail_parameters = parameters;
        let ended = Transaction { connection, sender, mail_parameters, recipients, refused, bytes, end };
        self.shared.lock().transactions.push(ended);
    }

    fn command(&mut self) -> Result<String, Over> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line).map_err(|_| Over)?;
        if read == 0 {
            return Err(Over);
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        self.shared.lock().commands.push(format!("{} {line}", self.number));
        Ok(line)
    }

    /// What the script has for this phase, left in place.
    fn answer_at(&self, phase: &Phase) -> Option<Answer> {
        let state = self.shared.lock();
        state.once.get(phase).and_then(|queue| queue.front()).or_else(|| state.always.get(phase)).cloned()
    }

    fn use_up(&self, phase: &Phase) {
        if let Some(queue) = self.shared.lock().once.get_mut(phase) {
            queue.pop_front();
        }
    }

    /// Does what the script has for this phase, else replies as given. Answers with the code that was said.
    fn say(&mut self, phase: Phase, code: u16, words: &str) -> Result<u16, Over> {
        let answer = self.answer_at(&phase);
        self.use_up(&phase);
        match answer {
            None => self.reply(code, words).map(|()| code),
            Some(Answer::Reply(code, words)) => self.reply(code, &words).map(|()| code),
            Some(Answer::Cut | Answer::CutAfter(_)) => Err(Over),
            Some(Answer::Stall) => {
                self.stall();
                Err(Over)
            }
        }
    }

    /// Holds still until the client has gone or the server is dropped.
    fn stall(&mut self) {
        // A closed socket is noticed by a read that ends; a client that waits for us writes nothing.
        drop(self.writer.set_read_timeout(Some(Duration::from_millis(20))));
        let mut scrap = [0; 512];
        loop {
            match self.reader.read(&mut scrap) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e)
                    if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            if self.shared.lock().closed {
                return;
            }
        }
    }

    /// Writes a reply, of several lines where the words have several.
    fn reply(&mut self, code: u16, words: &str) -> Result<(), Over> {
        let lines: Vec<&str> = words.lines().collect();
        let mut out = String::new();
        for (i, line) in lines.iter().enumerate() {
            let mark = if i + 1 < lines.len() { '-' } else { ' ' };
            out.push_str(&format!("{code}{mark}{line}\r\n"));
        }
        self.writer.write_all(out.as_bytes()).map_err(|_| Over)
    }
}

/// `FROM:<a@b> SIZE=1` into `a@b` and `SIZE=1`.
fn path(rest: &str) -> (String, String) {
    let rest = rest.split_once(':').map_or(rest, |(_, path)| path).trim();
    let (path, parameters) = rest.split_once('>').unwrap_or((rest, ""));
    (path.trim_start_matches('<').to_owned(), parameters.trim().to_owned())
}
