//! A sign-in in a browser, led by the process that was typed to: it shows the page, waits for the browser to come back or
//! for what is pasted, and has the daemon, or this process on the store, do the rest. No secret passes through it in the
//! clear but the code of the browser's last address.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::context::Schema;
use super::dispatch::dispatch;
use super::oauth::{FlowWord, Handed, LoginArgs, Way, connected_words};
use super::output::{CliError, Output};
use super::start::{daemon_words, own_actor};
use super::{Cli, Context};
use crate::config::Config;
use crate::control::{self, Request, Response};

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Longest head of a request that is read.
const HEAD_LIMIT: usize = 32 << 10;
/// How long a request may take to come.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// Has the steps of a command done, by the daemon where one runs, else here.
pub struct Asker {
    config: Arc<Config>,
    argv: Vec<String>,
    stdin: Vec<u8>,
    cwd: PathBuf,
    here: Option<Context>,
}

impl Asker {
    /// `argv` as typed, and what was read beside it.
    pub fn new(config: Arc<Config>, argv: Vec<String>, (stdin, cwd): (Vec<u8>, PathBuf)) -> Asker {
        Asker { config, argv, stdin, cwd, here: None }
    }

    /// The typed command with more arguments. `handed` takes the place of what was read.
    async fn ask(&mut self, more: &[&str], handed: Option<Handed>) -> Result<serde_json::Value, CliError> {
        let argv: Vec<String> =
            self.argv.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect();
        let stdin = match handed {
            Some(handed) => handed.bytes()?,
            None => self.stdin.clone(),
        };
        let request = Request { argv, stdin, cwd: self.cwd.clone(), has_body: false };
        let asked = control::call(&self.config.run.socket, &request, |_| ()).await;
        let response = match asked.map_err(|failure| daemon_words(&failure))? {
            Some(response) => response,
            None => self.do_here(request).await?,
        };
        match response.code {
            0 => Ok(response.json),
            code => Err(CliError { code, words: response.error }),
        }
    }

    async fn do_here(&mut self, request: Request) -> Result<Response, CliError> {
        let context = match &self.here {
            Some(context) => context.clone(),
            None => {
                let opened = Context::open(self.config.clone(), Schema::Ready).await?;
                self.here.insert(Context { actor: own_actor(), ..opened }).clone()
            }
        };
        let cli = Cli::try_parse_from(&request.argv).map_err(|e| CliError::usage(e.to_string()))?;
        let context = Context { stdin: request.stdin, cwd: request.cwd, wants_json: true, ..context };
        Ok(dispatch(cli.command, &context).await.into())
    }
}

/// Leads a person through it.
pub async fn lead(args: &LoginArgs, asker: &mut Asker) -> Result<Output, CliError> {
    let done = match args.flow {
        FlowWord::Device => by_device(asker).await?,
        _ => in_browser(args.paste, asker).await?,
    };
    Ok(Output::said(connected_words(&done), done))
}

async fn in_browser(pastes: bool, asker: &mut Asker) -> Result<serde_json::Value, CliError> {
    let place = asker.ask(&["--step", "place"], None).await?;
    let registered = place.get("url").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let is_here = place.get("is_here").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let listener = match is_here && !pastes {
        true => Some(listen(&registered).await?),
        false => None,
    };
    let redirect = listener.as_ref().map_or(registered, |(_, redirect)| redirect.clone());
    let way = way(asker.ask(&["--step", "begin", "--redirect", &redirect], None).await?)?;
    eprintln!("Open this page in a browser and sign in:\n\n  {}\n", way.page);
    let answer = match listener {
        Some((listener, _)) => {
            eprintln!("Waiting for the browser to come back to {redirect} on this machine.");
            eprintln!("If it runs elsewhere: stop with Ctrl-C, and begin anew with --paste.");
            tokio::time::timeout(PATIENCE, come_back(&listener)).await.map_err(|_| {
                CliError::unavailable("nobody has signed in within half an hour: begin anew")
            })??
        }
        None => {
            eprintln!(
                "The browser ends at an address that begins with {redirect}, maybe with an error page."
            );
            eprintln!("Paste all of that address here:");
            pasted()?
        }
    };
    let handed = Handed { pending: Some(way.pending), answer: Some(answer), ..Handed::default() };
    asker.ask(&["--step", "finish"], Some(handed)).await
}

async fn by_device(asker: &mut Asker) -> Result<serde_json::Value, CliError> {
    let mut on = way(asker.ask(&["--step", "begin"], None).await?)?;
    eprintln!(
        "Open this page in a browser, on whatever device:\n\n  {}\n\nand enter the code  {}\n",
        on.page, on.user_code
    );
    loop {
        tokio::time::sleep(Duration::from_millis(on.pause_ms)).await;
        let handed = Handed { pending: Some(on.pending), ..Handed::default() };
        let said = asker.ask(&["--step", "finish"], Some(handed)).await?;
        if said.get("connected").is_some() {
            return Ok(said);
        }
        on = way(said)?;
    }
}

fn way(json: serde_json::Value) -> Result<Way, CliError> {
    serde_json::from_value(json)
        .map_err(|_| CliError::unavailable("the daemon is of another version: restart it"))
}

/// Listens where the browser comes back to; gives the address with its port. What is registered without a port may have
/// any (RFC 8252 §7.3).
async fn listen(registered: &str) -> Result<(TcpListener, String), CliError> {
    let rest = registered.strip_prefix("http://").unwrap_or(registered);
    let (host_port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(0)),
        None => (host_port, 0),
    };
    // On the loopback alone, whatever `localhost` may mean elsewhere.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|e| {
        CliError::unavailable(format!("cannot wait for the browser at {registered}: {e}; use --paste"))
    })?;
    let port = listener.local_addr().map_err(|e| CliError::unavailable(e.to_string()))?.port();
    Ok((listener, format!("http://{host}:{port}{path}")))
}

/// The address that the browser comes back with. Whatever else asks, such as for an icon, is sent away.
async fn come_back(listener: &TcpListener) -> Result<String, CliError> {
    loop {
        let accepted = listener.accept().await;
        let (mut stream, _) = accepted.map_err(|e| CliError::unavailable(format!("waiting: {e}")))?;
        let head = tokio::time::timeout(HEAD_DEADLINE, head(&mut stream)).await.ok().flatten();
        let target = head.as_deref().and_then(|head| head.strip_prefix("GET ")?.split(' ').next());
        let is_it = |t: &&str| t.contains("state=") && (t.contains("code=") || t.contains("error="));
        let (status, words, target) = match target.filter(is_it) {
            Some(target) => ("200 OK", "maildesk has it: go back to the terminal.", Some(target.to_owned())),
            None => ("404 Not Found", "This is maildesk, waiting for a sign-in.", None),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{words}",
            words.len()
        );
        // A browser that has gone has said what counts.
        drop(stream.write_all(answer.as_bytes()).await);
        drop(stream.shutdown().await);
        if let Some(target) = target {
            return Ok(target);
        }
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![];
    let mut piece = [0; 4096];
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") && bytes.len() < HEAD_LIMIT {
        match stream.read(&mut piece).await.ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&piece[..n]),
        }
    }
    String::from_utf8(bytes).ok()
}

fn pasted() -> Result<String, CliError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|e| CliError::data(format!("standard input: {e}")))?;
    match line.trim() {
        "" => Err(CliError::data("nothing was pasted")),
        line => Ok(line.to_owned()),
    }
}
