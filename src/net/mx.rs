//! Whether a domain takes mail: one question to the system's resolver (RFC 1035), for `doctor`. No library is worth it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::failure::Failure;

const TYPE_MX: u16 = 15;
const CLASS_IN: u16 = 1;
const DEADLINE: Duration = Duration::from_secs(5);
const TRIES: usize = 2;
const RESOLVERS: &str = "/etc/resolv.conf";

/// How many mail exchangers DNS names for a domain; none: it has no MX record, or is not there at all.
pub async fn mail_exchangers(domain: &str) -> Result<u16, Failure> {
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    let resolver = first_resolver(&text).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    ask(SocketAddr::new(resolver, 53), domain, DEADLINE).await
}

fn first_resolver(text: &str) -> Option<IpAddr> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    named.filter_map(|rest| rest.trim().parse().ok()).next()
}

async fn ask(resolver: SocketAddr, domain: &str, deadline: Duration) -> Result<u16, Failure> {
    let lost = |e: std::io::Error| Failure::temporary(format!("DNS at {resolver}")).because(e);
    let local: SocketAddr = match resolver {
        SocketAddr::V4(_) => "0.0.0.0:0".parse(),
        SocketAddr::V6(_) => "[::]:0".parse(),
    }
    .expect("constants that are addresses");
    let socket = UdpSocket::bind(local).await.map_err(lost)?;
    socket.connect(resolver).await.map_err(lost)?;
    for _ in 0..TRIES {
        let id = u16::from_be_bytes(crate::seal::random());
        socket.send(&question(id, domain)?).await.map_err(lost)?;
        let mut answer = [0; 4096];
        let Ok(received) = timeout(deadline, socket.recv(&mut answer)).await else { continue };
        let length = received.map_err(lost)?;
        if let Some(count) = answers(&answer[..length], id) {
            return count
                .map_err(|code| Failure::temporary(format!("DNS at {resolver} fails with code {code}")));
        }
    }
    Err(Failure::temporary(format!("no answer from DNS at {resolver} about {domain}")))
}

fn question(id: u16, domain: &str) -> Result<Vec<u8>, Failure> {
    // One question, recursion wanted.
    let mut bytes = [id.to_be_bytes(), [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]].concat();
    for label in domain.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        let length =
            length.ok_or_else(|| Failure::permanent(format!("{domain:?} cannot be asked for in DNS")))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&TYPE_MX.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    Ok(bytes)
}

/// `None`: not the answer to this question. A code: the server could not say.
fn answers(bytes: &[u8], id: u16) -> Option<Result<u16, u8>> {
    let header = bytes.get(..12)?;
    if header[..2] != id.to_be_bytes() || header[2] & 0x80 == 0 {
        return None;
    }
    Some(match header[3] & 0x0f {
        0 => Ok(u16::from_be_bytes([header[6], header[7]])),
        // NXDOMAIN
        3 => Ok(0),
        code => Err(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each question with this code and count; the first one with somebody else's id.
    async fn server(code: u8, count: u8) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            for turn in 0..2 {
                let mut bytes = [0; 512];
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                assert!(bytes[..length].windows(13).any(|w| w == b"\x07example\x04test"));
                bytes[0] ^= if turn == 0 { 1 } else { 0 };
                (bytes[2], bytes[3], bytes[7]) = (0x81, code, count);
                socket.send_to(&bytes[..length], from).await.unwrap();
            }
        });
        tasks.detach_all();
        address
    }

    #[tokio::test]
    async fn the_answer_to_the_question_counts() {
        let ask = async |address| ask(address, "example.test", DEADLINE).await;
        assert_eq!(ask(server(0, 2).await).await.unwrap(), 2);
        assert_eq!(ask(server(3, 0).await).await.unwrap(), 0);
        assert!(ask(server(2, 0).await).await.unwrap_err().to_string().contains("code 2"));
        assert!(question(1, "a..b").is_err() && question(1, &"x".repeat(64)).is_err());
    }

    #[test]
    fn the_first_resolver_is_asked() {
        assert_eq!(
            first_resolver("# x\nsearch a\nnameserver ::1\nnameserver 10.0.0.1\n"),
            "::1".parse().ok()
        );
        assert_eq!(first_resolver("nothing"), None);
    }
}
