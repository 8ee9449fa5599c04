//! The daemon's local socket: commands go to the process that has the desk open, and the peer's uid is their actor.
//!
//! A frame is a length (32 bits, big end first) and so many bytes of JSON. One request a connection; the answer is any
//! number of steps and one response. What a command does is not known here: a handler is passed in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// A request holds arguments and what stood on standard input: an answer's text, a password.
const REQUEST_LIMIT: u32 = 64 << 20;
/// A response holds a whole listing.
const RESPONSE_LIMIT: u32 = 512 << 20;
/// A peer that sends nothing for so long is let go.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Commands in hand at a time; more wait in the listener's queue.
const CONNECTIONS: usize = 32;
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
pub async fn serve(listener: UnixListener, shutdown: CancellationToken, handler: Handler) {
    let mut calls = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = calls.join_next(), if !calls.is_empty() => {
                report(ended);
                continue;
            }
            accepted = listener.accept(), if calls.len() < CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                calls.spawn(answer(stream, handler.clone()));
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

async fn answer(mut stream: UnixStream, handler: Handler) -> Result<(), Failure> {
    let peer = stream.peer_cred().map_err(|e| Failure::temporary("peer credentials").because(e))?;
    let request = tokio::time::timeout(REQUEST_DEADLINE, read_frame(&mut stream, REQUEST_LIMIT));
    let request = request.await.map_err(|_| Failure::temporary("no request in time"))??;
    let (sender, mut steps) = mpsc::channel(STEPS);
    let mut response = handler(Call { request, actor: format!("uid:{}", peer.uid()), steps: sender });
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
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(e) => {
            return Err(Failure::permanent(format!("the daemon's socket {}", path.display())).because(e));
        }
    };
    write_frame(&mut stream, request).await?;
    loop {
        match read_frame(&mut stream, RESPONSE_LIMIT).await? {
            Frame::Step(step) => on_step(step),
            Frame::Response(response) => return Ok(Some(response)),
        }
    }
}

async fn read_frame<T: DeserializeOwned>(stream: &mut UnixStream, limit: u32) -> Result<T, Failure> {
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

async fn write_frame<T: Serialize>(stream: &mut UnixStream, frame: &T) -> Result<(), Failure> {
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
        Request { argv, stdin: b"\x00secret".to_vec(), cwd: "/".into() }
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
        tokio::join!(serve(listener, stop.clone(), echo()), client);
        // A stale socket is no daemon, and gives way to the next one.
        assert_eq!(call(&path, &request(&["x"]), |_| ()).await.unwrap(), None);
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.write_u32(REQUEST_LIMIT + 1).await.unwrap();
        let said = read_frame::<Request>(&mut there, REQUEST_LIMIT).await.unwrap_err();
        assert!(said.to_string().contains("over the limit"), "{said}");
    }
}
