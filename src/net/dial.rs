//! A TCP connection within a deadline, every address of the name tried in turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Failure, Kind};

/// Connects to the first address of `host` that answers, all within `deadline`.
pub async fn dial(host: &str, port: u16, deadline: Duration) -> Result<TcpStream, Failure> {
    let end = Instant::now() + deadline;
    let addresses = look_up(host, port, end).await?;
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        // A black hole at the first address must not eat the time of the others.
        let share = end.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return without_delay(stream),
            Ok(Err(error)) => last = Some((*address, error)),
            Err(_) => last = Some((*address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(last.map_or_else(|| no_address(host), |(address, error)| refused(host, address, error)))
}

async fn look_up(host: &str, port: u16, end: Instant) -> Result<Vec<SocketAddr>, Failure> {
    match timeout_at(end, lookup_host((host, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(no_address(host).because(error)),
        Err(_) => {
            let words = format!("no answer from DNS about {host}: check the resolver");
            Err(Failure::temporary(words).kind(Kind::Dns))
        }
    }
}

/// Dialogues of short lines stall for 40 ms a step under Nagle's algorithm.
fn without_delay(stream: TcpStream) -> Result<TcpStream, Failure> {
    stream.set_nodelay(true).map_err(|e| Failure::temporary("cannot set TCP_NODELAY").because(e))?;
    Ok(stream)
}

fn no_address(host: &str) -> Failure {
    Failure::temporary(format!("no address found for {host}: check the name, and DNS")).kind(Kind::Dns)
}

fn refused(host: &str, address: SocketAddr, error: io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => Kind::ConnectionRefused,
        _ => Kind::Unreachable,
    };
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{host} ({address}) refuses the connection: check the port, and that the server runs")
        }
        io::ErrorKind::TimedOut => {
            format!("{host} ({address}) does not answer: check the port, and firewalls on the way")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no route to {host} ({address}): check this machine's network")
        }
        _ => format!("cannot connect to {host} ({address})"),
    };
    Failure::temporary(words).kind(kind).because(error)
}
