//! What a person's browser does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// What a browser gets.
pub struct Fetched {
    pub status: u16,
    pub location: String,
    pub body: String,
}

/// One GET over plain HTTP.
#[track_caller]
pub fn fetch(url: &str) -> Fetched {
    let rest = url.strip_prefix("http://").expect("an address without TLS");
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_port = host.replace("localhost", "127.0.0.1");
    let mut stream = TcpStream::connect(host_port).expect("somebody listens there");
    let slash = if path.starts_with('/') { "" } else { "/" };
    write!(stream, "GET {slash}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    Fetched { status, location: location.to_owned(), body: body.to_owned() }
}
