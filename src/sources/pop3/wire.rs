//! POP3 as bytes (RFC 1939, RFC 2449): status lines, listings, capabilities, and the message behind a RETR. Pure.

use std::collections::BTreeMap;

/// What a line that ends a command says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok(String),
    Refused(String),
    /// RFC 5034 §4: the server waits for more of an AUTH; what it says of it.
    Challenge(String),
}

/// Reads `+OK …`, `-ERR …` or `+ …`; nothing where the line is none of them.
pub(super) fn status(line: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(line);
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    match word.to_ascii_uppercase().as_str() {
        "+OK" => Some(Status::Ok(rest.to_owned())),
        "-ERR" => Some(Status::Refused(rest.to_owned())),
        "+" => Some(Status::Challenge(rest.to_owned())),
        _ => None,
    }
}

/// The response code of a refusal (RFC 2449 §8, RFC 3206): `IN-USE` of `[IN-USE] somebody reads it`.
pub(super) fn code(words: &str) -> &str {
    words.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(code, _)| code)
}

/// What a CAPA said (RFC 2449 §5), names in upper case: `SASL` is `PLAIN LOGIN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities(pub(super) BTreeMap<String, String>);

impl Capabilities {
    pub(super) fn note(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let (name, arguments) = text.split_once(' ').unwrap_or((&text, ""));
        self.0.insert(name.to_ascii_uppercase(), arguments.trim().to_owned());
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The SASL mechanisms, as the server names them.
    pub(super) fn mechanisms(&self) -> &str {
        self.0.get("SASL").map_or("", String::as_str)
    }

    pub(super) fn has_mechanism(&self, name: &str) -> bool {
        self.mechanisms().split(' ').any(|mechanism| mechanism.eq_ignore_ascii_case(name))
    }

    /// RFC 2449 §6.5: the least seconds between two logins; 0 where there is no such limit. A second argument says that
    /// it may differ for each user.
    pub(super) fn login_delay_s(&self) -> u64 {
        let stated = self.0.get("LOGIN-DELAY").and_then(|arguments| arguments.split(' ').next());
        stated.and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
    }

    /// RFC 2449 §6.7: after how many days the server itself removes mail; nothing where it does not.
    pub(super) fn expire_days(&self) -> Option<u64> {
        self.0
            .get("EXPIRE")
            .and_then(|arguments| arguments.split(' ').next())
            .and_then(|days| days.parse().ok())
    }
}

/// A line of UIDL: number and unique id, RFC 1939 §7. Bytes that may not stand in an id are kept apart as `\xNN`.
pub(super) fn uidl(line: &[u8]) -> Option<(u32, String)> {
    let (number, id) = numbered(line)?;
    let id = id.trim_ascii();
    let text = id
        .iter()
        .map(|b| if b.is_ascii_graphic() { char::from(*b).to_string() } else { format!("\\x{b:02x}") });
    (!id.is_empty()).then(|| (number, text.collect()))
}

/// A line of LIST: number and size in bytes. Servers may add more, RFC 1939 §5.
pub(super) fn size(line: &[u8]) -> Option<(u32, u64)> {
    let (number, rest) = numbered(line)?;
    let size = rest.trim_ascii().split(|b| *b == b' ').next()?;
    Some((number, std::str::from_utf8(size).ok()?.parse().ok()?))
}

fn numbered(line: &[u8]) -> Option<(u32, &[u8])> {
    let space = line.iter().position(|b| *b == b' ')?;
    let number = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((number, &line[space + 1..]))
}

/// Takes the dots out of a multi-line answer as it comes, piece by piece, RFC 1939 §3.
///
/// Only CRLF ends a line: a mail with a bare LF before its dot must not end the answer, and what follows it must not be
/// taken for the server's words.
#[derive(Debug, Default)]
pub(super) struct Unstuff {
    at: At,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    LineStart,
    /// Behind the dot that begins a line, which is never part of the message.
    Dot,
    DotReturn,
    Within,
    Return,
    End,
}

impl Unstuff {
    pub(super) fn is_at_end(&self) -> bool {
        self.at == At::End
    }

    /// Appends what belongs to the message, and says how many bytes of `input` were taken: all, unless the end came.
    pub(super) fn push(&mut self, input: &[u8], message: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        while taken < input.len() && self.at != At::End {
            if self.at == At::Within {
                let rest = &input[taken..];
                let run = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
                message.extend_from_slice(&rest[..run]);
                taken += run;
                if taken == input.len() {
                    break;
                }
            }
            self.push_byte(input[taken], message);
            taken += 1;
        }
        taken
    }

    fn push_byte(&mut self, byte: u8, message: &mut Vec<u8>) {
        self.at = match (self.at, byte) {
            (At::LineStart, b'.') => return self.at = At::Dot,
            (At::Dot, b'\r') => return self.at = At::DotReturn,
            (At::DotReturn, b'\n') => return self.at = At::End,
            (At::DotReturn, _) => {
                message.push(b'\r');
                if byte == b'\r' { At::Return } else { At::Within }
            }
            (_, b'\r') => At::Return,
            (At::Return, b'\n') => At::LineStart,
            _ => At::Within,
        };
        message.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server sends it: a dot before each that begins a line, CRLF at the end, and the closing dot.
    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut wire = vec![];
        let mut is_line_start = true;
        for (at, byte) in message.iter().enumerate() {
            if is_line_start && *byte == b'.' {
                wire.push(b'.');
            }
            wire.push(*byte);
            is_line_start = *byte == b'\n' && at > 0 && message[at - 1] == b'\r';
        }
        if !is_line_start {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    /// The message, what was left of the input, and whether the end was seen.
    fn unstuffed<'a>(wire: &'a [u8], cuts: &[usize]) -> (Vec<u8>, &'a [u8], bool) {
        let (mut unstuff, mut message, mut at) = (Unstuff::default(), vec![], 0);
        for end in cuts.iter().copied().chain([wire.len()]) {
            let piece = &wire[at..end.clamp(at, wire.len())];
            at += unstuff.push(piece, &mut message);
        }
        (message, &wire[at..], unstuff.is_at_end())
    }

    #[test]
    fn dots_are_taken_out_and_nothing_else() {
        for (wire, message) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n...\r\n.\r\n", b".\r\n..\r\n"),
            (b"a\r\n\r\n.\r\n", b"a\r\n\r\n"),
            (b"a\n.\n\n..\r\n.\r\n", b"a\n.\n\n..\r\n"),
            (b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n"),
            (b".\rx\r\n.\r\n", b"\rx\r\n"),
            (b".\r\r\n.\r\n", b"\r\r\n"),
            (b".x\r\n.\r\n", b"x\r\n"),
            (b"\0\xff\r\n.\r\n", b"\0\xff\r\n"),
        ] {
            assert_eq!(unstuffed(wire, &[]), (message.to_vec(), &b""[..], true), "{wire:?}");
        }
        assert_eq!(unstuffed(b"a\r\n.\r\n+OK next\r\n", &[]).1, b"+OK next\r\n");
        assert!(!unstuffed(b"a\r\n.\r", &[]).2);
    }

    proptest! {
        #[test]
        fn any_message_cut_anywhere_comes_out_as_it_went_in(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    &b"\r\n"[..], b".", b"..", b"\r", b"\n", b"\r\n.\r\n", b"text", b"\0\xff",
                ]),
                0..60,
            ),
            cuts in prop::collection::btree_set(0usize..400, 0..40),
        ) {
            let message = parts.concat();
            let wire = [stuffed(&message), b"+OK next\r\n".to_vec()].concat();
            let mut expected = message.clone();
            if !(message.is_empty() || message.ends_with(b"\r\n")) {
                expected.extend_from_slice(b"\r\n");
            }
            let cuts: Vec<usize> = cuts.into_iter().collect();
            let (found, rest, is_at_end) = unstuffed(&wire, &cuts);
            prop_assert!(is_at_end);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(rest, b"+OK next\r\n");
        }
    }

    #[test]
    fn status_lines_are_told_apart() {
        assert_eq!(status(b"+OK"), Some(Status::Ok(String::new())));
        assert_eq!(status(b"+OK 3 messages"), Some(Status::Ok("3 messages".to_owned())));
        assert_eq!(status(b"-err [IN-USE] busy"), Some(Status::Refused("[IN-USE] busy".to_owned())));
        assert_eq!(status(b"+ "), Some(Status::Challenge(String::new())));
        assert_eq!(status(b"+ e30="), Some(Status::Challenge("e30=".to_owned())));
        assert_eq!(status(b"* OK IMAP4rev1 ready"), None);
        assert_eq!(status(b""), None);
        assert_eq!((code("[IN-USE] busy"), code("busy [x]"), code("[open")), ("IN-USE", "", ""));
    }

    #[test]
    fn listings_are_read_with_what_servers_add() {
        assert_eq!(uidl(b"12 AAkZ/%~x"), Some((12, "AAkZ/%~x".to_owned())));
        assert_eq!(uidl(b"12  a b\xff "), Some((12, "a\\x20b\\xff".to_owned())));
        for bad in [&b"12"[..], b"12 ", b"x y", b"-1 y", b"99999999999 y", b""] {
            assert_eq!(uidl(bad), None, "{bad:?}");
        }
        assert_eq!(size(b"1 120"), Some((1, 120)));
        assert_eq!(size(b"1 99999999999 octets"), Some((1, 99_999_999_999)));
        assert_eq!(size(b"1 many"), None);
    }

    #[test]
    fn capabilities_are_read_with_their_arguments() {
        let mut capabilities = Capabilities::default();
        for line in ["Top", "SASL PLAIN login", "LOGIN-DELAY 900 USER", "EXPIRE 30"] {
            capabilities.note(line.as_bytes());
        }
        assert!(capabilities.has("TOP") && !capabilities.has("UIDL"));
        assert!(capabilities.has_mechanism("LOGIN") && !capabilities.has_mechanism("XOAUTH2"));
        assert_eq!((capabilities.login_delay_s(), capabilities.expire_days()), (900, Some(30)));
        capabilities.note(b"EXPIRE NEVER");
        assert_eq!(capabilities.expire_days(), None);
    }
}
