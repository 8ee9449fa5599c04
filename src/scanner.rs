//! The virus scanner: clamd, over its socket or TCP. `zINSTREAM` sends a message piece by piece, so that memory holds one
//! piece, whatever the message weighs; clamd says `stream: OK`, `stream: NAME FOUND`, or what is wrong with itself.
//!
//! Whatever is not one of its two words about a message, whole and ended as it must be, is no answer: nothing is taken for
//! clean that nobody has called so.

use std::borrow::Cow;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config::{ScannerAddress, VirusScanner};
use crate::failure::{Failure, Kind};
use crate::net;
use crate::store::{Error, Store};
use crate::ticket::ArrivalId;

/// What clamd says is short; a name of a signature has some dozen characters.
const ANSWER_LIMIT: u64 = 4096;
/// Characters of an answer that is shown.
const SHOWN: usize = 200;
/// For a connection, and for PING.
const PROMPT: Duration = Duration::from_secs(10);

/// What clamd says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Clean,
    /// The name of the signature.
    Found(String),
    /// More than it takes.
    TooBig,
}

/// Why there is no verdict.
#[derive(Debug)]
pub enum Unanswered {
    /// The message could not be read.
    Store(Error),
    Scanner(Failure),
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Unanswered {
        Unanswered::Scanner(failure)
    }
}

/// Where the bytes of a message are.
pub enum Bytes<'a> {
    Memory(&'a [u8]),
    Stored(&'a Store, ArrivalId),
}

impl Bytes<'_> {
    /// Each from a reading of its own: the store is not held while clamd thinks.
    async fn piece(&self, number: i64) -> Result<Option<Cow<'_, [u8]>>, Error> {
        match self {
            Bytes::Memory(bytes) if number == 0 => Ok(Some(Cow::Borrowed(bytes))),
            Bytes::Memory(_) => Ok(None),
            Bytes::Stored(store, arrival) => {
                Ok(store.read().await?.raw_chunk(*arrival, number).await?.map(Cow::Owned))
            }
        }
    }
}

/// A clamd. Cheap to clone; each question has a connection of its own.
#[derive(Clone, Debug)]
pub struct Scanner {
    pub settings: VirusScanner,
}

impl Scanner {
    /// Asks about one message, within the time that is set.
    pub async fn scan(&self, bytes: &Bytes<'_>) -> Result<Verdict, Unanswered> {
        let limit = self.settings.timeout;
        match timeout(limit, self.ask(bytes)).await {
            Ok(answered) => answered,
            Err(_) => {
                let words = format!("no verdict within {} s", limit.as_secs_f32());
                Err(self.failed(Failure::temporary(words).kind(Kind::Silent)).into())
            }
        }
    }

    async fn ask(&self, bytes: &Bytes<'_>) -> Result<Verdict, Unanswered> {
        let (mut reader, mut writer) = tokio::io::split(self.connect().await?);
        let heard = hear(&mut reader);
        tokio::pin!(heard);
        // It may have had enough before it has all: then it says so and closes.
        let sent = tokio::select! {
            biased;
            answer = &mut heard => return match self.verdict(answer)? {
                Verdict::Clean => Err(self.failed(not_understood("stream: OK, before it had all")).into()),
                verdict => Ok(verdict),
            },
            sent = send(&mut writer, bytes) => sent,
        };
        if let Err(Unanswered::Store(error)) = sent {
            return Err(Unanswered::Store(error));
        }
        match (heard.await, sent) {
            (Err(_), Err(Unanswered::Scanner(cut))) => Err(self.failed(cut).into()),
            (answer, _) => Ok(self.verdict(answer)?),
        }
    }

    /// The version of clamd and its signatures; it also proves that it is one.
    pub async fn version(&self) -> Result<String, Failure> {
        let asked = async {
            match self.say("PING").await?.as_str() {
                "PONG" => self.say("VERSION").await,
                other => Err(not_understood(other)),
            }
        };
        match timeout(PROMPT, asked).await {
            Ok(said) => said.map_err(|failure| self.failed(failure)),
            Err(_) => {
                let words = format!("no answer to PING within {} s", PROMPT.as_secs());
                Err(self.failed(Failure::temporary(words).kind(Kind::Silent)))
            }
        }
    }

    async fn say(&self, command: &str) -> Result<String, Failure> {
        let (mut reader, mut writer) = tokio::io::split(self.connect().await?);
        let said = writer.write_all(format!("z{command}\0").as_bytes()).await;
        said.map_err(|e| cut(&e))?;
        hear(&mut reader).await
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Failure> {
        match &self.settings.address {
            ScannerAddress::Unix(path) => match timeout(PROMPT, UnixStream::connect(path)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream)),
                Ok(Err(e)) => {
                    let words =
                        "cannot connect: check that clamd runs and that this service may open its socket";
                    Err(Failure::temporary(words).kind(Kind::ConnectionRefused).because(e))
                }
                Err(_) => Err(Failure::temporary("does not take the connection").kind(Kind::Unreachable)),
            },
            ScannerAddress::Tcp { host, port } => Ok(Box::new(net::dial(host, *port, PROMPT).await?)),
        }
    }

    fn verdict(&self, answer: Result<String, Failure>) -> Result<Verdict, Failure> {
        answer.and_then(|answer| read(&answer)).map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Failure {
        failure.of(format!("virus scanner {}", self.settings.address))
    }
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// clamd(8): each piece after its length, four bytes in network order; a length of zero ends it.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &Bytes<'_>) -> Result<(), Unanswered> {
    let lost = |e: std::io::Error| Unanswered::Scanner(cut(&e));
    writer.write_all(b"zINSTREAM\0").await.map_err(lost)?;
    for number in 0.. {
        let Some(piece) = bytes.piece(number).await.map_err(Unanswered::Store)? else { break };
        // An empty piece would end it.
        if piece.is_empty() {
            continue;
        }
        let length =
            u32::try_from(piece.len()).expect("a piece is a few hundred kilobytes, or a message in memory");
        writer.write_all(&length.to_be_bytes()).await.map_err(lost)?;
        writer.write_all(&piece).await.map_err(lost)?;
    }
    writer.write_all(&0_u32.to_be_bytes()).await.map_err(lost)?;
    writer.flush().await.map_err(lost)
}

/// One answer, which ends with a zero byte. What is cut off before that is none.
async fn hear(reader: &mut (impl AsyncRead + Unpin)) -> Result<String, Failure> {
    let mut said = vec![];
    let mut reader = reader.take(ANSWER_LIMIT);
    loop {
        let read = reader.read_buf(&mut said).await.map_err(|e| cut(&e))?;
        if let Some(end) = said.iter().position(|byte| *byte == 0) {
            return Ok(String::from_utf8_lossy(&said[..end]).trim().to_owned());
        }
        if read == 0 && said.is_empty() {
            return Err(Failure::temporary("closed the connection without an answer").kind(Kind::Cut));
        }
        if read == 0 {
            return Err(not_understood(&String::from_utf8_lossy(&said)));
        }
    }
}

fn read(answer: &str) -> Result<Verdict, Failure> {
    if answer.starts_with("INSTREAM size limit exceeded") {
        return Ok(Verdict::TooBig);
    }
    match answer.strip_prefix("stream: ") {
        Some("OK") => Ok(Verdict::Clean),
        Some(found) if found.ends_with(" FOUND") => {
            Ok(Verdict::Found(shown(found.trim_end_matches(" FOUND"))))
        }
        _ if answer.ends_with("ERROR") => {
            Err(Failure::temporary(format!("it says {:?}", shown(answer))).kind(Kind::Refused))
        }
        _ => Err(not_understood(answer)),
    }
}

fn cut(error: &std::io::Error) -> Failure {
    Failure::temporary(format!("the connection broke: {error}")).kind(Kind::Cut)
}

fn not_understood(answer: &str) -> Failure {
    let words = format!("this is no answer of clamd: {:?}", shown(answer));
    Failure::temporary(words).kind(Kind::NotUnderstood)
}

/// A peer may say anything.
fn shown(said: &str) -> String {
    said.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_two_words_are_a_verdict() {
        let verdict = |answer: &str| read(answer).map_err(|failure| failure.kind);
        assert_eq!(verdict("stream: OK"), Ok(Verdict::Clean));
        assert_eq!(verdict("stream: Eicar-Signature FOUND"), Ok(Verdict::Found("Eicar-Signature".into())));
        assert_eq!(verdict("stream: A(1) b FOUND"), Ok(Verdict::Found("A(1) b".into())));
        assert_eq!(verdict("INSTREAM size limit exceeded. ERROR"), Ok(Verdict::TooBig));
        assert_eq!(verdict("stream: Can't allocate memory ERROR"), Err(Kind::Refused));
        assert_eq!(verdict("COMMAND READ TIMED OUT"), Err(Kind::NotUnderstood));
        for garbage in
            ["", "OK", "stream:OK", "stream: ok", "stream: OK ", "FOUND", "220 mx ESMTP", "UNKNOWN COMMAND"]
        {
            assert_eq!(verdict(garbage), Err(Kind::NotUnderstood), "{garbage:?}");
        }
    }
}
