//! A relay that does what a test says, in threads of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the relay does when something happens to it.
pub enum Do {
    Say(&'static str),
    SayBytes(&'static [u8]),
    /// Says nothing more, and waits until the client goes.
    Stall,
    Cut,
}

/// What the relay saw.
#[derive(Default)]
pub struct Seen {
    pub connections: usize,
    pub commands: Vec<String>,
    /// Content as it came over the wire, without the final dot, also where no dot came.
    pub contents: Vec<Vec<u8>>,
    pub mails: usize,
}

impl Seen {
    pub fn count(&self, command: &str) -> usize {
        self.commands.iter().filter(|c| c.starts_with(command)).count()
    }
}

type Manners = Arc<dyn Fn(&str, &Seen) -> Do + Send + Sync>;

pub struct Peer {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// Takes everything.
pub fn polite(event: &str) -> Do {
    match event.split([' ', ':']).next().unwrap_or_default() {
        "connect" => Do::Say("220 ready"),
        "EHLO" => Do::Say("250-hello\r\n250-SIZE 1000000000\r\n250 AUTH PLAIN LOGIN"),
        "AUTH" => Do::Say("235 2.7.0 welcome"),
        "DATA" => Do::Say("354 go"),
        "QUIT" => Do::Say("221 bye"),
        "dot" => Do::Say("250 2.0.0 taken"),
        _ => Do::Say("250 2.1.0 ok"),
    }
}

impl Peer {
    pub fn start(manners: impl Fn(&str, &Seen) -> Do + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let peer = Peer { port: listener.local_addr().expect("it is bound").port(), seen: Arc::default() };
        let (seen, manners): (_, Manners) = (peer.seen.clone(), Arc::new(manners));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, manners) = (seen.clone(), manners.clone());
                // The client may go at any time: that is no failure of the peer.
                std::thread::spawn(move || {
                    let writer = stream.try_clone()?;
                    serve(BufReader::new(stream), writer, &seen, &manners)
                });
            }
        });
        peer
    }

    /// Speaks TLS, from the first byte or after STARTTLS. Gives the file of its certificate too.
    pub fn start_tls(is_starttls: bool, dir: &std::path::Path) -> (Peer, std::path::PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = dir.join("ca.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let peer = Peer { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = peer.seen.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if is_starttls && before_tls(&mut stream).is_err() {
                    continue;
                }
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let tls = Both(Arc::new(Mutex::new(rustls::StreamOwned::new(connection, stream))));
                // After STARTTLS nobody greets: an answer to nothing would be taken for the one to EHLO.
                let manners: Manners = Arc::new(move |event: &str, _: &Seen| match event {
                    "connect" if is_starttls => Do::SayBytes(b""),
                    other => polite(other),
                });
                serve(BufReader::new(tls.clone()), tls, &seen, &manners).unwrap_or_default();
            }
        });
        (peer, file)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panics while it looks")
    }
}

fn before_tls(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 ready\r\n")?;
    for reply in ["250-hello\r\n250 STARTTLS\r\n", "220 go\r\n"] {
        reader.read_line(&mut String::new())?;
        stream.write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// One TLS connection to read from and to write to.
#[derive(Clone)]
struct Both(Arc<Mutex<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>>);

impl Read for Both {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(bytes)
    }
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

fn serve(
    mut reader: impl BufRead,
    mut writer: impl Write,
    seen: &Mutex<Seen>,
    manners: &Manners,
) -> std::io::Result<()> {
    let mut event = "connect".to_owned();
    loop {
        let (what, is_data) = {
            let mut seen = seen.lock().expect("no test panics while it looks");
            match event.as_str() {
                "connect" => seen.connections += 1,
                "dot" => {}
                command => seen.commands.push(command.to_owned()),
            }
            (manners(&event, &seen), event == "DATA")
        };
        match what {
            Do::Say(text) => writer.write_all(format!("{text}\r\n").as_bytes())?,
            Do::SayBytes(bytes) => writer.write_all(bytes)?,
            Do::Cut => return Ok(()),
            Do::Stall => return std::io::copy(&mut reader, &mut std::io::sink()).map(drop),
        }
        if is_data && matches!(what, Do::Say(text) if text.starts_with("354")) {
            let mut content = Vec::new();
            loop {
                let mut line = Vec::new();
                let is_end = reader.read_until(b'\n', &mut line)? == 0;
                if is_end || line == b".\r\n" {
                    let mut seen = seen.lock().expect("no test panics while it looks");
                    seen.contents.push(content);
                    seen.mails += usize::from(!is_end);
                    break;
                }
                content.extend_from_slice(&line);
            }
            event = "dot".to_owned();
            continue;
        }
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        event = line.trim_end().to_owned();
    }
}
