//! A wire with a pair of scissors: passes lines between a client and a real server, and cuts where it is told to.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Nowhere,
    /// The server never hears this command.
    Before(&'static str),
    /// The server hears it and ends the connection; the client never learns what it said.
    AnswerOf(&'static str),
    /// Within the answer to the n-th of these commands, after so many bytes.
    Within(&'static str, usize, usize),
}

pub struct Cutter {
    pub port: u16,
    /// What the clients said, all connections after another.
    said: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Cutter {
    /// The n-th connection to `server` is cut by the n-th of `cuts`, all further ones nowhere.
    pub async fn start(server: u16, cuts: &[Cut]) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let said = Arc::new(Mutex::new(vec![]));
        let (cuts, heard) = (cuts.to_vec(), said.clone());
        #[expect(clippy::disallowed_methods, reason = "a listener of the tests")]
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let cut = cuts.get(connection).copied().unwrap_or(Cut::Nowhere);
                let heard = heard.clone();
                // A connection ends when either side does; how does not matter here.
                #[expect(clippy::disallowed_methods, reason = "a connection of the tests")]
                tokio::spawn(async move { drop(pass(client, server, cut, &heard).await) });
            }
        });
        Cutter { port, said, accepting }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("nobody panics while holding it").clone()
    }

    /// How often a command was said.
    pub fn count(&self, command: &str) -> usize {
        self.said().iter().filter(|line| line.split(' ').next() == Some(command)).count()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, server: u16, cut: Cut, said: &Mutex<Vec<String>>) -> io::Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", server)).await?.into_split();
    let mut lines = BufReader::new(from_client);
    let (mut line, mut answer) = (vec![], vec![0; 16 << 10]);
    let mut met = 0;
    // Bytes that may still pass to the client.
    let mut room = usize::MAX;
    loop {
        tokio::select! {
            read = lines.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    return Ok(());
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let command = text.split(' ').next().unwrap_or_default().to_owned();
                said.lock().expect("nobody panics while holding it").push(text);
                match cut {
                    Cut::Before(named) if named == command => return Ok(()),
                    Cut::AnswerOf(named) if named == command => room = 0,
                    Cut::Within(named, nth, bytes) if named == command => {
                        met += 1;
                        if met == nth {
                            room = bytes;
                        }
                    }
                    _ => {}
                }
                to_server.write_all(&line).await?;
                line.clear();
            }
            read = from_server.read(&mut answer) => {
                let read = read?;
                let passed = read.min(room);
                to_client.write_all(&answer[..passed]).await?;
                room = if room == usize::MAX { room } else { room - passed };
                let is_cut_within = matches!(cut, Cut::Within(..)) && room == 0;
                if read == 0 || is_cut_within {
                    return Ok(());
                }
            }
        }
    }
}
