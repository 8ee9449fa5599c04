//! The daemon's local socket: commands go to the process that has the desk open, and the peer's uid is their actor.
//!
//! A frame is a length (32 bits, big end first) and so many bytes of JSON. One request a connection; the answer is any
//! number of steps and one response. A request may have a body, a mail: pieces of a length and so many bytes each, the
//! last one empty; without that last one it is not whole. What a command does is not known here: a handler is passed in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Pulse;
use crate::failure::Failure;

/// A request holds arguments and what stood on standard input: an answer's text, a password.
const REQUEST_LIMIT: u32 = 64 << 20;
/// A response holds a whole listing.
const RESPONSE_LIMIT: u32 = 512 << 20;
/// A peer that sends nothing for so long is let go.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// A piece of a body, at most.
const PIECE: usize = 64 << 10;
/// A peer that sends nothing more of a body for so long is let go.
const PIECE_DEADLINE: Duration = Duration::from_secs(60);
/// How long the answer to a body may take. A mail that is kept after that is known when it is brought again.
const BODY_ANSWER: Duration = Duration::from_secs(300);
/// Commands in hand at a time; more wait in the listener's queue.
const CONNECTIONS: usize = 32;
/// How often it shows that it listens still.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// Steps that wait for an asker who is slow.
pub const STEPS: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// As typed, the program's name first.
    pub argv: Vec<String>,
    #[serde(with = "as_base64")]
    pub stdin: Vec<u8>,
    /// Where relative paths of the arguments start.
    pub cwd: std::path::PathBuf,
    /// A body follows.
    #[serde(default)]
    pub has_body: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The exit code.
    pub code: u8,
    /// For people: what goes to standard output.
    pub human: String,
    /// The same for programs.
    pub json: serde_json::Value,
    /// What is wrong, for people: goes to standard error.
    pub error: String,
    /// What people should know besides, whatever they asked: goes to standard error.
    #[serde(default)]
    pub note: String,
}

/// How far a command has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    /// 0: not known.
    pub total: u64,
    pub words: String,
}

/// What a command gives before its response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Progress(Progress),
    /// A piece of what goes to standard output as it is, such as a raw mail: the whole may be too much for memory.
    Raw(#[serde(with = "as_base64")] Vec<u8>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    Step(Step),
    Response(Response),
}

/// A request with who asks, and where its steps go.
pub struct Call {
    pub request: Request,
    /// `uid:1000`, from the kernel.
    pub actor: String,
    pub steps: mpsc::Sender<Step>,
    pub body: Body,
}

/// What comes behind a request, piece by piece: it may be too much for memory.
pub struct Body {
    stream: OwnedReadHalf,
    has_more: bool,
    shutdown: CancellationToken,
}

impl Body {
    /// The next piece; none once all of it has come. A peer that stops before is an error, and so is a daemon that stops.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if !self.has_more {
            return Ok(None);
        }
        let read = tokio::time::timeout(PIECE_DEADLINE, read_piece(&mut self.stream));
        let piece = tokio::select! {
            () = self.shutdown.cancelled() => return Err(Failure::temporary("the daemon stops")),
            read = read => read.map_err(|_| Failure::temporary("no more of the message came in time"))??,
        };
        self.has_more = !piece.is_empty();
        Ok(self.has_more.then_some(piece))
    }
}

async fn read_piece(stream: &mut OwnedReadHalf) -> Result<Vec<u8>, Failure> {
    let cut = |e: std::io::Error| Failure::temporary("the message was cut off").because(e);
    let length = stream.read_u32().await.map_err(cut)? as usize;
    if length > PIECE {
        return Err(Failure::permanent(format!("a piece of {length} bytes is over the limit of {PIECE}")));
    }
    let mut piece = vec![0; length];
    stream.read_exact(&mut piece).await.map_err(cut)?;
    Ok(piece)
}

pub type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Response> + Send + Sync>;

/// Listens at `path` for the owner and the group of the file. A socket that nobody answers at is taken away.
pub async fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let failed =
        |e: std::io::Error| Failure::permanent(format!("control socket {}", path.display())).because(e);
    if UnixStream::connect(path).await.is_ok() {
        return Err(Failure::permanent(format!("control socket {}: a daemon answers there", path.display())));
    }
    // Made under another name and moved when its mode is right: it never stands open to others.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    remove_if_there(Path::new(&fresh)).map_err(failed)?;
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Answers until `shutdown`; then finishes what is in hand.
pub async fn serve(listener: Arc<UnixListener>, shutdown: CancellationToken, handler: Handler, pulse: Pulse) {
    let mut calls = JoinSet::new();
    loop {
        pulse.beat();
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(SIGN_OF_LIFE) => continue,
            Some(ended) = calls.join_next(), if !calls.is_empty() => {
                report(ended);
                continue;
            }
            accepted = listener.accept(), if calls.len() < CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                calls.spawn(answer(stream, handler.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "control.accept_failed");
                // Out of file descriptors, most likely: asking again at once would only burn.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while let Some(ended) = calls.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<Result<(), Failure>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "control.peer_lost"),
        Err(error) => tracing::error!(%error, "control.command_panicked"),
    }
}

async fn answer(stream: UnixStream, handler: Handler, shutdown: CancellationToken) -> Result<(), Failure> {
    let peer = stream.peer_cred().map_err(|e| Failure::temporary("peer credentials").because(e))?;
    let (mut reader, mut stream) = stream.into_split();
    let request = tokio::time::timeout(REQUEST_DEADLINE, read_frame::<Request>(&mut reader, REQUEST_LIMIT));
    let request = request.await.map_err(|_| Failure::temporary("no request in time"))??;
    let (sender, mut steps) = mpsc::channel(STEPS);
    let body = Body { stream: reader, has_more: request.has_body, shutdown };
    let mut response = handler(Call { request, actor: format!("uid:{}", peer.uid()), steps: sender, body });
    let response = loop {
        tokio::select! {
            Some(step) = steps.recv() => {
                // A client that has gone loses the answer; the command goes on.
                if write_frame(&mut stream, &Frame::Step(step)).await.is_err() {
                    steps.close();
                }
            }
            response = &mut response => break response,
        }
    };
    while let Ok(step) = steps.try_recv() {
        write_frame(&mut stream, &Frame::Step(step)).await?;
    }
    write_frame(&mut stream, &Frame::Response(response)).await
}

/// Asks the daemon; `None` if no daemon answers at `path`.
pub async fn call(
    path: &Path,
    request: &Request,
    mut on_step: impl FnMut(Step),
) -> Result<Option<Response>, Failure> {
    let Some(stream) = connect(path).await? else { return Ok(None) };
    let (mut reader, mut writer) = stream.into_split();
    write_frame(&mut writer, request).await?;
    read_response(&mut reader, &mut on_step).await.map(Some)
}

/// Asks the daemon with a body. Reading it blocks this thread; nothing of it is read where no daemon answers.
pub async fn call_with_body(
    path: &Path,
    request: &Request,
    body: &mut dyn std::io::Read,
) -> Result<Option<Response>, Failure> {
    let Some(stream) = connect(path).await? else { return Ok(None) };
    let (mut reader, mut writer) = stream.into_split();
    let request = Request { has_body: true, ..request.clone() };
    let sent = async {
        write_frame(&mut writer, &request).await?;
        write_body(&mut writer, body).await
    };
    let sent = sent.await;
    if sent.is_err() {
        // The daemon need not wait for the rest.
        drop(writer);
    }
    // A daemon that wants no more of it has said why, and that is what counts.
    let answer = tokio::time::timeout(BODY_ANSWER, read_response(&mut reader, &mut |_| ())).await;
    let answer = answer.unwrap_or_else(|_| Err(Failure::temporary("the daemon gives no answer")));
    match (sent, answer) {
        (Ok(()), answer) => answer.map(Some),
        (Err(_), Ok(refusal)) if refusal.code != 0 => Ok(Some(refusal)),
        (Err(error), _) => Err(error),
    }
}

async fn connect(path: &Path) -> Result<Option<UnixStream>, Failure> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if matches!(e.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(e) => Err(Failure::permanent(format!("the daemon's socket {}", path.display())).because(e)),
    }
}

async fn write_body(stream: &mut OwnedWriteHalf, body: &mut dyn std::io::Read) -> Result<(), Failure> {
    let cut = |e: std::io::Error| Failure::temporary("control connection").because(e);
    let mut buffer = vec![0; PIECE];
    loop {
        let length = match body.read(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|e| Failure::temporary("the message cannot be read").because(e))?,
        };
        let write = async {
            stream.write_u32(length as u32).await?;
            stream.write_all(&buffer[..length]).await?;
            stream.flush().await
        };
        let written = tokio::time::timeout(BODY_ANSWER, write).await;
        written.map_err(|_| Failure::temporary("the daemon takes no more of the message"))?.map_err(cut)?;
        if length == 0 {
            return Ok(());
        }
    }
}

async fn read_response(
    stream: &mut OwnedReadHalf,
    on_step: &mut impl FnMut(Step),
) -> Result<Response, Failure> {
    loop {
        match read_frame(stream, RESPONSE_LIMIT).await? {
            Frame::Step(step) => on_step(step),
            Frame::Response(response) => return Ok(response),
        }
    }
}

async fn read_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: u32,
) -> Result<T, Failure> {
    let cut =
        |e: std::io::Error| Failure::temporary("the control connection ended without an answer").because(e);
    let length = stream.read_u32().await.map_err(cut)?;
    if length > limit {
        return Err(Failure::permanent(format!(
            "a control frame of {length} bytes is over the limit of {limit}"
        )));
    }
    let mut bytes = vec![];
    stream.take(u64::from(length)).read_to_end(&mut bytes).await.map_err(cut)?;
    if bytes.len() < length as usize {
        return Err(cut(std::io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| Failure::permanent("a control frame does not parse").because(e))
}

async fn write_frame<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), frame: &T) -> Result<(), Failure> {
    let cut = |e: std::io::Error| Failure::temporary("control connection").because(e);
    let bytes = serde_json::to_vec(frame).map_err(|e| Failure::permanent("control frame").because(e))?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= RESPONSE_LIMIT);
    let length =
        length.ok_or_else(|| Failure::permanent("the answer is too long; use --limit or a filter"))?;
    stream.write_u32(length).await.map_err(cut)?;
    stream.write_all(&bytes).await.map_err(cut)?;
    stream.flush().await.map_err(cut)
}

mod as_base64 {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argv: &[&str]) -> Request {
        let argv = argv.iter().map(|a| (*a).to_owned()).collect();
        Request { argv, stdin: b"\x00secret".to_vec(), cwd: "/".into(), has_body: false }
    }

    /// Says back what it was asked, by whom.
    fn echo() -> Handler {
        Arc::new(|call: Call| {
            Box::pin(async move {
                assert_ne!(call.request.argv[0], "panic");
                let step = Progress { done: 1, total: 2, words: "half".into() };
                call.steps.send(Step::Progress(step)).await.unwrap();
                call.steps.send(Step::Raw(call.request.stdin)).await.unwrap();
                Response {
                    code: 7,
                    human: format!("{} {}", call.actor, call.request.argv.join(" ")),
                    ..Response::default()
                }
            })
        })
    }

    #[tokio::test]
    async fn a_command_is_answered_with_its_progress_and_its_actor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maildesk.sock");
        let listener = bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let stop = CancellationToken::new();
        let client = async {
            assert!(bind(&path).await.is_err(), "a second daemon took the socket");
            let mut steps = vec![];
            let asked = call(&path, &request(&["ticket", "list"]), |step| steps.push(step)).await;
            let response = asked.unwrap().unwrap();
            assert!(response.human.starts_with("uid:") && response.human.ends_with("ticket list"));
            assert_eq!(response.code, 7);
            let half = Progress { done: 1, total: 2, words: "half".into() };
            assert_eq!(steps, [Step::Progress(half), Step::Raw(b"\x00secret".to_vec())]);
            assert!(call(&path, &request(&["panic"]), |_| ()).await.unwrap_err().is_temporary());
            assert!(
                call(&path, &request(&["x"]), |_| ()).await.unwrap().is_some(),
                "a panic ended the listener"
            );
            stop.cancel();
        };
        tokio::join!(serve(Arc::new(listener), stop.clone(), echo(), Pulse::default()), client);
        // A stale socket is no daemon, and gives way to the next one.
        assert_eq!(call(&path, &request(&["x"]), |_| ()).await.unwrap(), None);
        bind(&path).await.unwrap();
    }

    /// Counts the body's bytes; whoever is called `refused` is refused before any of it is read.
    fn weigh() -> Handler {
        Arc::new(|mut call: Call| {
            Box::pin(async move {
                let refusal = |words: String| Response { code: 75, error: words, ..Response::default() };
                if call.request.argv[0] == "refused" {
                    return refusal("there is no room".into());
                }
                let mut bytes = 0;
                loop {
                    match call.body.next().await {
                        Ok(Some(piece)) => bytes += piece.len(),
                        Ok(None) => {
                            return Response { human: bytes.to_string(), ..Response::default() };
                        }
                        Err(e) => return refusal(e.to_string()),
                    }
                }
            })
        })
    }

    /// Gives so many bytes, and then fails.
    struct Breaks(usize);

    impl std::io::Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(self.0);
            self.0 -= length;
            if length == 0 { Err(std::io::ErrorKind::Other.into()) } else { Ok(length) }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_body_comes_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maildesk.sock");
        let stop = CancellationToken::new();
        let serving = serve(Arc::new(bind(&path).await.unwrap()), stop.clone(), weigh(), Pulse::default());
        let client = async {
            let bring = async |name: &str, body: &mut dyn std::io::Read| {
                call_with_body(&path, &request(&[name]), body).await.map(|answer| answer.expect("a daemon"))
            };
            for size in [0_usize, 1, PIECE, 5_000_000] {
                let answer = bring("x", &mut &vec![b'x'; size][..]).await.unwrap();
                assert_eq!((answer.code, answer.human), (0, size.to_string()));
            }
            // The words of the one that wants no more, and not that the connection was cut.
            let refused = bring("refused", &mut &vec![b'x'; 5_000_000][..]).await.unwrap();
            assert_eq!((refused.code, &refused.error[..]), (75, "there is no room"));
            assert_ne!(bring("x", &mut Breaks(100_000)).await.map_or(75, |answer| answer.code), 0);
            // Without a body the handler is given none.
            let none = call(&path, &request(&["x"]), |_| ()).await.unwrap().unwrap();
            assert_eq!(none.human, "0");
            // A daemon that stops does not wait for the rest of a slow one.
            let mut slow = UnixStream::connect(&path).await.unwrap();
            write_frame(&mut slow, &Request { has_body: true, ..request(&["x"]) }).await.unwrap();
            slow.write_u32(10).await.unwrap();
            slow.flush().await.unwrap();
            // It is in hand once a later one was answered.
            bring("x", &mut &b"x"[..]).await.unwrap();
            stop.cancel();
            let (mut reader, _writer) = slow.into_split();
            assert_eq!(read_response(&mut reader, &mut |_| ()).await.unwrap().error, "the daemon stops");
        };
        tokio::join!(serving, client);
        assert_eq!(call_with_body(&path, &request(&["x"]), &mut Breaks(0)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.write_u32(REQUEST_LIMIT + 1).await.unwrap();
        let said = read_frame::<Request>(&mut there, REQUEST_LIMIT).await.unwrap_err();
        assert!(said.to_string().contains("over the limit"), "{said}");
    }
}
