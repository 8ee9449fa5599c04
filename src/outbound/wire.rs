//! Lines to a relay and replies from it, each within a deadline and a bound; and the content of a mail, dot-stuffed.
//!
//! Not lettre's connection: it cannot hold back the final dot, wants a greeting after our own STARTTLS, takes a reply
//! beyond ASCII for a broken connection (which after the final dot would mean sending twice), and reads lines without
//! bound. docs/adr has the story.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::reply::{Reply, has_more};
use crate::failure::{Failure, Kind};

/// RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets. Some are more talkative.
const LONGEST_LINE: u64 = 4096;
const MOST_LINES: usize = 128;

pub struct Wire<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire { stream: BufReader::new(stream) }
    }

    /// The bare stream, to speak TLS on. Refused if the peer has sent more already: it would be read as if it had come
    /// under TLS (CVE-2011-0411).
    pub fn into_inner(self) -> Result<S, Failure> {
        match self.stream.buffer().is_empty() {
            true => Ok(self.stream.into_inner()),
            false => Err(Failure::temporary("the server sent data between STARTTLS and the TLS handshake")),
        }
    }

    /// Sends a command, and reads the reply to it. `shown` names it in errors: the line itself may be secret.
    pub async fn command(&mut self, line: &str, shown: &str, limit: Duration) -> Result<Reply, Failure> {
        debug_assert!(!line.contains(['\r', '\n']), "a command is one line");
        self.write(format!("{line}\r\n").as_bytes(), shown, limit).await?;
        self.reply(shown, limit).await
    }

    pub async fn write(&mut self, bytes: &[u8], shown: &str, limit: Duration) -> Result<(), Failure> {
        let written = timeout(limit, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let words = format!("the connection broke while sending {shown}");
                Err(Failure::temporary(words).kind(Kind::Cut).because(error))
            }
            Err(_) => {
                Err(Failure::temporary(format!("{shown} could not be sent within {limit:?}"))
                    .kind(Kind::Silent))
            }
        }
    }

    /// Reads a reply: all its lines, within one deadline, however slowly they drip.
    pub async fn reply(&mut self, shown: &str, limit: Duration) -> Result<Reply, Failure> {
        match timeout(limit, self.reply_lines()).await {
            Ok(Ok(lines)) => Reply::parse(&lines).ok_or_else(|| {
                // Not its words: a server that is not SMTP may echo what it was sent, a password too.
                let length = lines.first().map_or(0, Vec::len);
                let words = format!("the reply to {shown} is not SMTP: a line of {length} bytes");
                Failure::temporary(words).kind(Kind::Garbage)
            }),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Failure::temporary(
                format!("the server closed the connection instead of a reply to {shown}"),
            )
            .kind(Kind::Cut)),
            Ok(Err(error)) => {
                let words = format!("the connection broke before a reply to {shown}");
                Err(Failure::temporary(words).kind(Kind::Cut).because(error))
            }
            Err(_) => {
                Err(Failure::temporary(format!("no reply to {shown} within {limit:?}")).kind(Kind::Silent))
            }
        }
    }

    async fn reply_lines(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        while lines.len() < MOST_LINES {
            let mut line = Vec::new();
            (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
            if line.pop() != Some(b'\n') {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            let is_last = !has_more(&line);
            lines.push(line);
            if is_last {
                break;
            }
        }
        Ok(lines)
    }
}

/// RFC 5321 §4.5.2: a line of content that begins with a dot gets one more.
pub struct DotStuffing {
    is_line_start: bool,
}

impl DotStuffing {
    pub fn new() -> DotStuffing {
        DotStuffing { is_line_start: true }
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if self.is_line_start && line[0] == b'.' {
                out.push(b'.');
            }
            out.extend_from_slice(line);
            self.is_line_start = line.ends_with(b"\n");
        }
    }

    /// Ends the last line, so that what follows can be the final dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.is_line_start {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_wherever_the_pieces_end() {
        for (content, expected) in [
            ("", ""),
            (".", "..\r\n"),
            ("..\r\n.", "...\r\n..\r\n"),
            ("a\r\n.\r\nb.\r\n", "a\r\n..\r\nb.\r\n"),
            ("a", "a\r\n"),
        ] {
            for size in [1, 2, 3, 100] {
                let (mut stuffing, mut out) = (DotStuffing::new(), Vec::new());
                content.as_bytes().chunks(size).for_each(|piece| stuffing.push(piece, &mut out));
                stuffing.finish(&mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{content:?} in pieces of {size}");
            }
        }
    }
}
