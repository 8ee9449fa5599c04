//! What a relay answers (RFC 5321 §4.2, enhanced codes of RFC 3463), and what that means at which step. Pure.

/// A whole reply, all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0 where no reply came, and the words are ours.
    pub code: u16,
    /// `5.1.1`; empty where none was given.
    pub enhanced: String,
    /// Its text without codes, in one line.
    pub words: String,
}

/// Where in a transaction a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Mail,
    Rcpt,
    Data,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Temporary,
    Permanent,
    /// Not about this mail: the relay closes, or wants a login. Nothing else goes through either.
    Relay,
}

impl Reply {
    /// Words of our own in the place of a reply.
    pub fn none(words: impl Into<String>) -> Reply {
        Reply { code: 0, enhanced: String::new(), words: words.into() }
    }

    /// From its lines, each with its code in front. `None`: that is no reply.
    pub fn parse(lines: &[Vec<u8>]) -> Option<Reply> {
        let code = code_of(lines.first()?)?;
        if lines.iter().any(|line| code_of(line) != Some(code)) {
            return None;
        }
        let mut enhanced = String::new();
        let mut words: Vec<String> = Vec::new();
        for line in lines {
            // Replies are ASCII (RFC 5321 §4.2); some relays answer in their national charset all the same.
            let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned();
            let (found, rest) = split_enhanced(&text, code);
            if enhanced.is_empty() {
                enhanced = found.to_owned();
            }
            words.extend(rest.split(|c: char| c.is_whitespace() || c.is_control()).map(str::to_owned));
        }
        words.retain(|word| !word.is_empty());
        Some(Reply { code, enhanced, words: words.join(" ") })
    }

    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub fn verdict(&self, step: Step) -> Verdict {
        match (self.code, step) {
            (354, Step::Data) => Verdict::Done,
            (200..300, Step::Mail | Step::Rcpt | Step::End) => Verdict::Done,
            // RFC 5321 §3.8: the relay closes. After the final dot it speaks of the mail alone.
            (421, Step::Mail) => Verdict::Relay,
            // RFC 4954 §6: a login is missing or refused, which no recipient can help.
            (530 | 534 | 535 | 538, Step::Mail) => Verdict::Relay,
            // RFC 5321 §4.5.3.1.10: old relays say 552 where they mean "too many recipients, come again" (452).
            (552, Step::Rcpt) if self.enhanced.is_empty() || self.enhanced == "5.5.3" => Verdict::Temporary,
            (500..600, _) => Verdict::Permanent,
            // What is not understood is temporary: the mail is kept, and tried again.
            _ => Verdict::Temporary,
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.code > 0 {
            write!(f, "{} ", self.code)?;
        }
        if !self.enhanced.is_empty() {
            write!(f, "{} ", self.enhanced)?;
        }
        f.write_str(&self.words)
    }
}

/// Whether more lines follow this one: `250-` or `250 `.
pub fn has_more(line: &[u8]) -> bool {
    line.get(3) == Some(&b'-')
}

fn code_of(line: &[u8]) -> Option<u16> {
    let is_code = line.len() >= 3
        && line[..3].iter().all(u8::is_ascii_digit)
        && (b'2'..=b'5').contains(&line[0])
        && matches!(line.get(3), None | Some(b' ' | b'-'));
    is_code.then(|| line[..3].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

/// The enhanced code at the head of a text, if it is of the same class as the reply (RFC 2034 §4), and the rest.
fn split_enhanced(text: &str, code: u16) -> (&str, &str) {
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    let parts: Vec<&str> = head.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_enhanced =
        parts.len() == 3 && parts.iter().all(is_number) && parts[0] == (code / 100).to_string().as_str();
    if is_enhanced { (head, rest) } else { ("", text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Option<Reply> {
        Reply::parse(&text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
    }

    #[test]
    fn replies_are_taken_apart() {
        for (text, code, enhanced, words) in [
            (&b"250 2.1.5 Ok"[..], 250, "2.1.5", "Ok"),
            (b"250", 250, "", ""),
            (b"250-one\n250-SIZE 10\n250 last", 250, "", "one SIZE 10 last"),
            (b"550-5.1.1 no such\n550 5.1.1 user\there", 550, "5.1.1", "no such user here"),
            (b"550 2.1.1 odd", 550, "", "2.1.1 odd"),
            (b"550 unbekannter Empf\xe4nger", 550, "", "unbekannter Empf\u{fffd}nger"),
            (b"452 4.5.3", 452, "4.5.3", ""),
        ] {
            let expected = Reply { code, enhanced: enhanced.into(), words: words.into() };
            assert_eq!(parse(text), Some(expected), "{}", text.escape_ascii());
        }
        for bad in [&b""[..], b"25", b"abc", b"650 x", b"2500 x", b"250-a\n550 b", b"250x"] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_reply_means_what_its_step_says() {
        use Step::*;
        use Verdict::*;
        for (text, step, verdict) in [
            ("250 ok", Rcpt, Done),
            ("251 will forward", Rcpt, Done),
            ("354 go", Data, Done),
            ("250 what", Data, Temporary),
            ("451 4.7.1 greylisted", Rcpt, Temporary),
            ("452 4.5.3 too many", Rcpt, Temporary),
            ("552 too many recipients", Rcpt, Temporary),
            ("552 5.2.2 mailbox full", Rcpt, Permanent),
            ("552 5.3.4 too big", Mail, Permanent),
            ("550 5.1.1 unknown", Rcpt, Permanent),
            ("421 closing", Mail, Relay),
            ("421 closing", Rcpt, Temporary),
            ("530 5.7.0 login first", Mail, Relay),
            ("535 no", Rcpt, Permanent),
            ("300 what", End, Temporary),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().verdict(step), verdict, "{text} at {step:?}");
        }
    }
}
