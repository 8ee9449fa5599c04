//! Asks the daemon over HTTP, as Prometheus or a balancer would.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::program::Running;
use super::wait_until;

/// `[web]` on a port that the system chooses.
pub const WEB: &str = "[web]\nlisten = \"127.0.0.1:0\"\n\n";

/// An answer: the status, the headers as they came, the body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Where a daemon with [`WEB`] listens, by its log.
#[track_caller]
pub fn address(daemon: &Running) -> String {
    wait_until("the daemon to listen", Duration::from_secs(20), || {
        let log = daemon.log();
        let (_, rest) = log.rsplit_once("web.listening address=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    })
}

#[track_caller]
pub fn get(address: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (headers, body) = text.split_once("\r\n\r\n").expect("headers and a body");
    let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, headers: headers.to_lowercase(), body: body.to_owned() }
}
