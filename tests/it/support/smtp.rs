//! A real SMTP sink: Postfix's smtp-sink, which takes every mail and writes each into a file.
//!
//! A peer that refuses, stalls or cuts is [`super::scripted_smtp`].

use std::path::Path;
use std::time::Duration;

use super::server::{self, Peer, User};
use super::{find_program, skipped, wait_until};

/// A running smtp-sink.
pub struct SmtpSink {
    pub port: u16,
    peer: Peer,
}

/// One mail that the sink has answered with 250.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sunk {
    /// Without angle brackets; the null sender is empty.
    pub sender: String,
    pub recipients: Vec<String>,
    /// As it came over the wire, dots unstuffed. The sink strips CR, so a bare LF has become CRLF.
    pub bytes: Vec<u8>,
}

impl SmtpSink {
    /// `None` where there is no smtp-sink: the reason has been printed.
    pub fn start() -> Option<SmtpSink> {
        let Some(program) = find_program("smtp-sink") else {
            skipped("no smtp-sink here (Debian package postfix; scripts/test installs it)");
            return None;
        };
        let program = program.display().to_string();
        for _ in 0..5 {
            if let Some(sink) = SmtpSink::start_on(&program, server::free_port()) {
                return Some(sink);
            }
        }
        panic!("smtp-sink did not start on any of five ports");
    }

    fn start_on(program: &str, port: u16) -> Option<SmtpSink> {
        // It refuses to run as root, and its own -u would leave the shell as root.
        let user = User::to_become("nobody");
        let folder = server::new_folder("smtp-sink", user).expect("a folder for smtp-sink");
        let address = format!("127.0.0.1:{port}");
        let peer = Peer::start(&folder, user, "TERM", &[program, "-d", "mail/%s.", &address, "100"])
            .expect("a shell for smtp-sink");
        let ready = wait_until("smtp-sink to listen", Duration::from_secs(30), || {
            if peer.has_ended() {
                return Some(false);
            }
            std::net::TcpStream::connect(&address).is_ok().then_some(true)
        });
        // Another process may answer on that port while ours is still about to find it taken.
        (ready && !peer.has_ended()).then_some(SmtpSink { port, peer })
    }

    /// What has been received whole, in no order that means anything within one second.
    pub fn received(&self) -> Vec<Sunk> {
        // A file that the sink still holds open is a mail still on its way. Listed first and asked about then,
        // so that a mail which begins in between is not among them.
        let mut files: Vec<_> = std::fs::read_dir(self.peer.folder.join("mail"))
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry of the sink's folder").path())
            .collect();
        files.sort();
        let open = self.open_files();
        let whole = files.iter().filter(|file| !open.iter().any(|o| o == *file));
        whole.filter_map(|file| std::fs::read(file).ok()).map(|dump| parse(&dump)).collect()
    }

    fn open_files(&self) -> Vec<std::path::PathBuf> {
        let pid = self.peer.pid().expect("smtp-sink has been started");
        std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .collect()
    }
}

/// Reads a dump: X- lines with the envelope, a Received header, the mail with LF, one more LF.
fn parse(dump: &[u8]) -> Sunk {
    let mut sender = String::new();
    let mut recipients = Vec::new();
    let mut rest = dump;
    while rest.starts_with(b"X-") {
        let end = rest.iter().position(|b| *b == b'\n').expect("a header line of the dump ends");
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        if let Some(args) = line.strip_prefix("X-Mail-Args: ") {
            sender = address(args);
        } else if let Some(args) = line.strip_prefix("X-Rcpt-Args: ") {
            recipients.push(address(args));
        } else if !line.starts_with("X-Client-") && !line.starts_with("X-Helo-") {
            panic!("a dump of smtp-sink with an unknown line: {line}");
        }
    }
    // Its own Received has three lines, the second and third of them indented.
    for prefix in [&b"Received: "[..], b"\t", b"\t"] {
        assert!(rest.starts_with(prefix), "a dump of smtp-sink without its Received");
        let end = rest.iter().position(|b| *b == b'\n').expect("a header line of the dump ends");
        rest = &rest[end + 1..];
    }
    let mail = rest.strip_suffix(b"\n").expect("a dump ends in an empty line");
    let mut bytes = Vec::with_capacity(mail.len() + mail.len() / 40);
    for byte in mail {
        if *byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(*byte);
    }
    Sunk { sender, recipients, bytes }
}

/// The path of `<a@b> SIZE=1`.
fn address(args: &str) -> String {
    let path = args.split_once('>').map_or(args, |(path, _)| path);
    path.trim_start_matches('<').to_owned()
}
