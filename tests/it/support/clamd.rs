//! A double of clamd on a socket or a port: strict about what it is told (clamd(8)), and as unkind as a test asks for.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How it behaves towards a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It finds `signature()`.
    Kind,
    /// It takes messages up to so many bytes, and hangs up in the midst of a larger one.
    TakesUpTo(usize),
    /// It says this and closes, once it has all.
    Says(&'static [u8]),
    /// It says this before it has read anything of the message.
    SaysAtOnce(&'static [u8]),
    /// It reads all and says nothing, until the other side goes.
    Stalls,
    /// So with messages in which this stands.
    StallsOn(&'static str),
    /// It hangs up without a word on messages in which this stands.
    ClosesOn(&'static str),
    /// It hangs up on whoever comes, also on PING.
    Closes,
}

/// What a scanner finds: put together here, so that no scanner finds it in this file.
pub fn signature() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STAND", "ARD-ANTIVIRUS-T", "EST-FILE!$H+H*"].concat()
}

#[derive(Default)]
struct Seen {
    /// The messages that it was asked about, whole.
    messages: Vec<Vec<u8>>,
    /// The largest piece that came.
    largest: usize,
    connections: usize,
    /// What it was told against its rules.
    wrongs: Vec<String>,
    is_stopped: bool,
}

pub struct Clamd {
    /// As the configuration names it.
    pub address: String,
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Mutex<Seen>>,
    socket: Option<PathBuf>,
}

impl Clamd {
    pub fn on_socket(path: &Path) -> Clamd {
        let listener = UnixListener::bind(path).expect("a socket for clamd");
        let accept = move || listener.accept().map(|(stream, _)| Stream::Unix(stream));
        Clamd::serve(format!("unix:{}", path.display()), Some(path.to_owned()), accept)
    }

    pub fn on_port() -> Clamd {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        Clamd::serve(address, None, move || listener.accept().map(|(stream, _)| Stream::Tcp(stream)))
    }

    fn serve(
        address: String,
        socket: Option<PathBuf>,
        accept: impl Fn() -> std::io::Result<Stream> + Send + 'static,
    ) -> Clamd {
        let (mood, seen) = (Arc::new(Mutex::new(Mood::Kind)), Arc::new(Mutex::new(Seen::default())));
        let (its_mood, its_seen) = (mood.clone(), seen.clone());
        std::thread::spawn(move || {
            while let Ok(stream) = accept() {
                if its_seen.lock().unwrap().is_stopped {
                    break;
                }
                let (mood, seen) = (its_mood.clone(), its_seen.clone());
                std::thread::spawn(move || {
                    seen.lock().unwrap().connections += 1;
                    let mood = mood.lock().unwrap().clone();
                    // A client that goes in the midst of it is no fault.
                    drop(talk(stream, &mood, &seen));
                });
            }
        });
        Clamd { address, mood, seen, socket }
    }

    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().messages.clone()
    }

    pub fn largest_piece(&self) -> usize {
        self.seen.lock().unwrap().largest
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.seen.lock().unwrap().is_stopped = true;
        // Wakes the listener, which then ends.
        match &self.socket {
            Some(path) => {
                drop(UnixStream::connect(path));
                drop(std::fs::remove_file(path));
            }
            None => drop(TcpStream::connect(&self.address)),
        }
        let wrongs = std::mem::take(&mut self.seen.lock().unwrap().wrongs);
        if !std::thread::panicking() {
            assert_eq!(wrongs, Vec::<String>::new(), "what clamd was told");
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn say_no_more(&self) -> std::io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Until the other side has gone.
    fn wait_for_its_end(&mut self) {
        while self.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    }
}

fn talk(mut stream: Stream, mood: &Mood, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut command = vec![];
    while command.last() != Some(&0) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        command.push(byte[0]);
    }
    match (&command[..], mood) {
        (_, Mood::Closes) => Ok(()),
        (_, Mood::Stalls) => {
            stream.wait_for_its_end();
            Ok(())
        }
        (b"zPING\0", _) => stream.write_all(b"PONG\0"),
        (b"zVERSION\0", _) => stream.write_all(b"ClamAV 1.4.3/27500/Sun Nov  1 10:00:00 2026\0"),
        (b"zINSTREAM\0", Mood::SaysAtOnce(words)) => {
            stream.write_all(words)?;
            stream.wait_for_its_end();
            Ok(())
        }
        (b"zINSTREAM\0", _) => scan(stream, mood, seen),
        (other, _) => {
            let told = String::from_utf8_lossy(other).into_owned();
            seen.lock().unwrap().wrongs.push(format!("the command {told:?}"));
            stream.write_all(b"UNKNOWN COMMAND\0")
        }
    }
}

fn scan(mut stream: Stream, mood: &Mood, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut message = vec![];
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            break;
        }
        if matches!(mood, Mood::TakesUpTo(limit) if message.len() + length > *limit) {
            return stream.write_all(b"INSTREAM size limit exceeded. ERROR\0");
        }
        let from = message.len();
        message.resize(from + length, 0);
        stream.read_exact(&mut message[from..])?;
        let mut seen = seen.lock().unwrap();
        seen.largest = seen.largest.max(length);
    }
    let holds = |words: &str| message.windows(words.len()).any(|window| window == words.as_bytes());
    let answer: &[u8] = match mood {
        Mood::Says(words) => words,
        Mood::ClosesOn(mark) if holds(mark) => return Ok(()),
        Mood::StallsOn(mark) if holds(mark) => {
            stream.wait_for_its_end();
            return Ok(());
        }
        _ if holds(&signature()) => b"stream: Eicar-Signature FOUND\0",
        _ => b"stream: OK\0",
    };
    seen.lock().unwrap().messages.push(message);
    stream.write_all(answer)?;
    stream.say_no_more()?;
    // Nothing may follow: one question, one connection.
    let mut rest = vec![];
    let told = stream.read_to_end(&mut rest).unwrap_or_default();
    if told > 0 {
        seen.lock().unwrap().wrongs.push(format!("{told} bytes behind the end of a message"));
    }
    Ok(())
}
