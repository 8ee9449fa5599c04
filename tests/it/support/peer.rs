//! A peer that follows a script, for the bad habits of real servers; of whatever line protocol.
//!
//! ```text
//! S: * OK ready                 says a line
//! C: $tag LOGIN *               expects a line; `*` is anything, `$tag` the first word, kept for what follows
//! S: $tag NO [ALERT] not today
//! !until .                      reads lines up to this one
//! !half "* 1 FETCH {9}\r\nab"   says this much, without a line end; knows \r \n \0 \\ \" \xNN
//! !fill 5000                    says this many bytes
//! !tls                          takes the client's TLS handshake
//! !tls expired                  offers a certificate that is out of date, which ends the connection
//! !stall                        says nothing until the client goes away; `!stall 50ms` goes on after that long
//! !close                        closes in good order; `!reset` does not
//! ---                           waits for the next connection
//! # a comment
//! ```
//! A line that does not match ends the connection and fails the test in `finish`.

use std::path::Path;
use std::time::Duration;

use maildesk::net::{Deadlines, Login};
use maildesk::sources::{ServerSettings, Tls};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::certs::certs;

/// The password of whoever signs in at a scripted mail server.
pub const SECRET: &str = "hunter2";

/// How long the script waits for the client.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Peer {
    pub port: u16,
    script: JoinHandle<Result<Vec<String>, String>>,
}

impl Peer {
    /// How it is reached as a mail server, by joe.
    pub fn settings(&self) -> ServerSettings {
        ServerSettings {
            host: "localhost".to_owned(),
            port: self.port,
            tls: Tls::Plain,
            login: Login::password("joe", SECRET),
            folders: vec!["INBOX".to_owned()],
            extra_roots: None,
            spool_dir: std::env::temp_dir(),
            deadlines: Deadlines {
                dial: Duration::from_secs(5),
                handshake: Duration::from_secs(5),
                silence: Duration::from_secs(2),
                command: Duration::from_secs(8),
            },
        }
    }

    /// The same under STARTTLS or STLS, with our CA, which is written into the folder.
    pub fn settings_with_start_tls(&self, folder: &Path) -> ServerSettings {
        let extra_roots = Some(certs().write_ca(folder));
        ServerSettings { tls: Tls::StartTls, extra_roots, ..self.settings() }
    }

    pub async fn start(script: &str) -> Peer {
        let steps: Vec<Step> = script.lines().filter_map(Step::parse).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        #[expect(clippy::disallowed_methods, reason = "a listener of the tests")]
        let script = tokio::spawn(async move {
            let mut said = Vec::new();
            for connection in steps.split(|step| matches!(step, Step::NextConnection)) {
                let accepted = timeout(PATIENCE, listener.accept()).await;
                let (stream, _) = accepted
                    .map_err(|_| "no client came".to_owned())?
                    .map_err(|error| format!("no client: {error}"))?;
                Talk { stream: BufReader::new(Box::new(stream)), tag: String::new(), said: &mut said }
                    .follow(connection)
                    .await?;
            }
            Ok(said)
        });
        Peer { port, script }
    }

    /// Waits for the script's end and returns all lines that the client said.
    pub async fn finish(self) -> Vec<String> {
        match self.script.await.expect("the script does not panic") {
            Ok(said) => said,
            Err(mismatch) => panic!("{mismatch}"),
        }
    }
}

enum Step {
    Say(String),
    Expect(String),
    Until(String),
    Half(Vec<u8>),
    Fill(usize),
    Tls,
    TlsExpired,
    Stall(Option<Duration>),
    Close,
    Reset,
    NextConnection,
}

impl Step {
    fn parse(line: &str) -> Option<Step> {
        let line = line.trim_start();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "" | "#" => return None,
            "S:" => Step::Say(rest.to_owned()),
            "C:" => Step::Expect(rest.to_owned()),
            "!until" => Step::Until(rest.to_owned()),
            "!half" => Step::Half(unescape(rest)),
            "!fill" => Step::Fill(rest.parse().expect("!fill takes a number")),
            "!tls" if rest == "expired" => Step::TlsExpired,
            "!tls" => Step::Tls,
            "!stall" if rest.is_empty() => Step::Stall(None),
            "!stall" => {
                let ms = rest.strip_suffix("ms").and_then(|n| n.parse().ok()).expect("!stall takes 50ms");
                Step::Stall(Some(Duration::from_millis(ms)))
            }
            "!close" => Step::Close,
            "!reset" => Step::Reset,
            "---" => Step::NextConnection,
            _ => panic!("no step of a script: {line:?}"),
        })
    }
}

fn unescape(quoted: &str) -> Vec<u8> {
    let text = quoted.trim().strip_prefix('"').and_then(|t| t.strip_suffix('"')).expect("!half takes \"…\"");
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b'0') => 0,
            Some(b'x') => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&hex, 16).expect("\\x takes two digits")
            }
            Some(other) => other,
            None => panic!("a backslash at the end of {quoted:?}"),
        });
    }
    bytes
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

struct Talk<'a> {
    stream: BufReader<Box<dyn Connection>>,
    tag: String,
    said: &'a mut Vec<String>,
}

impl Talk<'_> {
    async fn follow(mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            match step {
                // The client may be gone before it has heard all; what it heard last, its test says.
                Step::Say(line) => {
                    let line = format!("{}\r\n", line.replace("$tag", &self.tag));
                    if !self.say(line.as_bytes()).await {
                        return Ok(());
                    }
                }
                Step::Half(bytes) => {
                    if !self.say(bytes).await {
                        return Ok(());
                    }
                }
                Step::Fill(count) => {
                    if !self.say(&vec![b'x'; *count]).await {
                        return Ok(());
                    }
                }
                Step::Expect(pattern) => self.expect(pattern).await?,
                Step::Until(last) => while self.hear(last).await? != *last {},
                Step::Tls => self = self.take_tls().await?,
                Step::TlsExpired => {
                    let acceptor = tokio_rustls::TlsAcceptor::from(certs().expired_server_config());
                    let accepted = timeout(PATIENCE, acceptor.accept(self.stream.into_inner())).await;
                    return match accepted.is_ok_and(|stream| stream.is_ok()) {
                        true => Err("the client took an expired certificate".to_owned()),
                        false => Ok(()),
                    };
                }
                Step::Stall(Some(pause)) => tokio::time::sleep(*pause).await,
                Step::Stall(None) => return self.drain().await,
                Step::Reset => return Ok(()),
                Step::Close | Step::NextConnection => break,
            }
        }
        // Closing with unread bytes would send a reset that overtakes what was said.
        if self.stream.get_mut().shutdown().await.is_err() {
            return Ok(());
        }
        self.drain().await
    }

    async fn say(&mut self, bytes: &[u8]) -> bool {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
    }

    async fn expect(&mut self, pattern: &str) -> Result<(), String> {
        let line = self.hear(pattern).await?;
        if pattern.starts_with("$tag") {
            self.tag = line.split(' ').next().unwrap_or_default().to_owned();
        }
        if !matches(&pattern.replace("$tag", &self.tag), &line) {
            return Err(format!("the script expects {pattern:?}, the client said {line:?}"));
        }
        Ok(())
    }

    async fn hear(&mut self, expected: &str) -> Result<String, String> {
        let mut line = Vec::new();
        let heard = timeout(PATIENCE, self.stream.read_until(b'\n', &mut line)).await;
        match heard {
            Err(_) => Err(format!("the script expects {expected:?}, the client is silent")),
            Ok(Ok(n)) if n > 0 => {
                let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                self.said.push(line.clone());
                Ok(line)
            }
            Ok(_) => Err(format!("the script expects {expected:?}, the client is gone")),
        }
    }

    async fn take_tls(self) -> Result<Self, String> {
        let acceptor = tokio_rustls::TlsAcceptor::from(certs().server_config());
        let accepted = timeout(PATIENCE, acceptor.accept(self.stream.into_inner())).await;
        let stream = accepted
            .map_err(|_| "no TLS handshake came".to_owned())?
            .map_err(|error| format!("the TLS handshake failed: {error}"))?;
        Ok(Talk { stream: BufReader::new(Box::new(stream)), tag: self.tag, said: self.said })
    }

    /// Reads on until the client closes.
    async fn drain(mut self) -> Result<(), String> {
        let mut rest = [0; 4096];
        loop {
            match timeout(PATIENCE, self.stream.read(&mut rest)).await {
                Ok(Ok(n)) if n > 0 => {}
                Ok(_) => return Ok(()),
                Err(_) => return Err("the client does not go away".to_owned()),
            }
        }
    }
}

/// `*` stands for anything, nothing included.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == line };
    let Some(rest) = line.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
}
