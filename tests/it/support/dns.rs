//! A double of a DNS server on one free port, UDP and TCP: a zone by name, strict about what it is asked (RFC 1035), and
//! as unkind as a test asks for.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;

/// How it behaves towards a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Silent,
    ServFail,
    /// By UDP it says that there is more, and tells it by TCP only.
    Truncated,
}

#[derive(Default)]
struct Zone {
    txt: HashMap<String, String>,
    a: HashMap<String, Ipv4Addr>,
    moods: HashMap<String, Mood>,
    asked: Vec<String>,
    by_tcp: usize,
    wrongs: Vec<String>,
}

pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    is_stopped: Arc<AtomicBool>,
}

impl Dns {
    pub fn start() -> Dns {
        let (udp, tcp) = both();
        let address = udp.local_addr().expect("bound");
        let (zone, is_stopped) = (Arc::new(Mutex::new(Zone::default())), Arc::new(AtomicBool::new(false)));
        udp.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let (its_zone, its_end) = (zone.clone(), is_stopped.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !its_end.load(Ordering::Relaxed) {
                let Ok((length, from)) = udp.recv_from(&mut bytes) else { continue };
                if let Some(answer) = its_zone.lock().unwrap().answer(&bytes[..length], false) {
                    drop(udp.send_to(&answer, from));
                }
            }
        });
        let (its_zone, its_end) = (zone.clone(), is_stopped.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                if its_end.load(Ordering::Relaxed) {
                    break;
                }
                let zone = its_zone.clone();
                std::thread::spawn(move || drop(talk(stream, &zone)));
            }
        });
        Dns { address, zone, is_stopped }
    }

    pub fn txt(&self, name: &str, text: &str) -> &Dns {
        self.zone.lock().unwrap().txt.insert(name.to_owned(), text.to_owned());
        self
    }

    pub fn a(&self, name: &str, address: &str) -> &Dns {
        self.zone.lock().unwrap().a.insert(name.to_owned(), address.parse().expect("an address"));
        self
    }

    pub fn be(&self, name: &str, mood: Mood) -> &Dns {
        self.zone.lock().unwrap().moods.insert(name.to_owned(), mood);
        self
    }

    /// The names that it was asked about, in order.
    pub fn asked(&self) -> Vec<String> {
        self.zone.lock().unwrap().asked.clone()
    }

    pub fn asked_by_tcp(&self) -> usize {
        self.zone.lock().unwrap().by_tcp
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(self.address));
        let wrongs = std::mem::take(&mut self.zone.lock().unwrap().wrongs);
        if !std::thread::panicking() {
            assert_eq!(wrongs, Vec::<String>::new(), "what DNS was asked");
        }
    }
}

/// The same port for both.
fn both() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")) {
            return (udp, tcp);
        }
    }
    panic!("no port that is free for UDP and TCP");
}

fn talk(mut stream: TcpStream, zone: &Mutex<Zone>) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let answer = zone.lock().unwrap().answer(&question, true);
        if let Some(answer) = answer {
            let length = u16::try_from(answer.len()).expect("a short answer").to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat())?;
        }
    }
}

impl Zone {
    /// None: it says nothing.
    fn answer(&mut self, question: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let Some((name, kind, end)) = read(question) else {
            self.wrongs.push(format!("no question: {question:?}"));
            return None;
        };
        self.asked.push(name.clone());
        self.by_tcp += usize::from(is_tcp);
        let mood = self.moods.get(&name).copied();
        let records = match kind {
            TYPE_TXT => self.txt.get(&name).map(|text| txt(text)),
            TYPE_A => self.a.get(&name).map(|address| address.octets().to_vec()),
            _ => None,
        };
        let exists = self.txt.contains_key(&name) || self.a.contains_key(&name);
        let (flags, code, record) = match mood {
            Some(Mood::Silent) => return None,
            Some(Mood::ServFail) => (0x81, 2, None),
            Some(Mood::Truncated) if !is_tcp => (0x83, 0, None),
            _ if exists => (0x81, 0, records),
            _ => (0x81, 3, None),
        };
        let mut answer = question[..2].to_vec();
        answer.extend([flags, 0x80 | code, 0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        if let Some(record) = record {
            // The name of the question, by a pointer; its type; IN; a minute.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60]);
            answer.extend(u16::try_from(record.len()).expect("a short record").to_be_bytes());
            answer.extend(record);
        }
        Some(answer)
    }
}

/// The name in lower case, the type, and where the question ends.
fn read(question: &[u8]) -> Option<(String, u16, usize)> {
    let is_one_question = question.get(2)? & 0x80 == 0 && question.get(4..6)? == [0, 1];
    let (mut labels, mut at) = (vec![], 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let is_internet = question.get(at + 2..at + 4)? == [0, 1];
    (is_one_question && is_internet).then(|| (labels.join("."), kind, at + 4))
}

/// Strings of at most 255 bytes, each after its length.
fn txt(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(200).flat_map(|part| [&[part.len() as u8][..], part].concat()).collect()
}
