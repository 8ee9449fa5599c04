//! The words of a report, line by line, up to where the returned mail begins; and the addresses in them.

use std::sync::LazyLock;

use super::super::Address;
use super::super::phrases::Phrases;
use super::code;

/// Lines of a report that are looked at; what comes later is the returned mail.
const MAX_LINES: usize = 600;
/// Of one line.
const MAX_LINE: usize = 2000;

pub(super) struct Page<'t> {
    pub lines: Vec<Line<'t>>,
    /// The lines of the report in one, lower case, each run of white space one space.
    pub flat: String,
    /// Where each line begins in `flat`.
    starts: Vec<usize>,
    /// What is returned of the original: from its first field on. Empty where nothing is.
    pub returned: Vec<&'t str>,
}

pub(super) struct Line<'t> {
    pub text: &'t str,
    /// Lower case, trimmed.
    pub low: String,
}

/// What stands between a report and the mail that it returns, wherever in the line; lower case.
const DIVIDERS: &[&str] = &[
    "original message follows",
    "original message header",
    "original message headers",
    "--- original message",
    "---original message",
    "- original message -",
    "original mail follows",
    "original mail header",
    "this is a copy of the message",
    "this is a copy of your message",
    "this is a copy of the headers",
    "below this line is a copy of the message",
    "below is a copy of the",
    "copy of your message follows",
    "copy of the original message",
    "copy of the message follows",
    "text of the original message",
    "text of your message",
    "your message follows",
    "your original message follows",
    "unsent message follows",
    "returned message follows",
    "returned message -",
    "returned mail follows",
    "undelivered message follows",
    "message headers follow",
    "message header follows",
    "message follows",
    "header of the original message",
    "headers of the original message",
    "headers of your message",
    "header of your message",
    "the original message headers",
    "the message header",
    "message contents follow",
    "message text follows",
    "text of mail follows",
    "start of returned message",
    "old message:",
    "next line original message",
    "your returned mail",
    "original message attached",
    "message is included below",
    "begin message header",
    "start of original message",
    "included is a copy of the message",
    "--- enclosed is a copy",
    "the first 50 lines of the original",
    "the first 100 lines of the original",
    "rejected message",
    "undelivered message",
    "----- message body",
    "mensaje original adjunto",
    "---- mensaje original",
    "message d'origine",
    "ursprüngliche nachricht",
    "originalnachricht",
    "kopie der nachricht",
    "копия сообщения",
    "исходное сообщение",
    "原文",
    "元のメッセージ",
    "元のメール",
];

static DIVIDER_WORDS: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(DIVIDERS.iter().copied()));

/// Fields that begin what is returned of a mail. Others (`To:`, `Subject:`) reports themselves use.
const FIRST_FIELDS: &[&str] = &[
    "received:",
    "return-path:",
    "delivered-to:",
    "dkim-signature:",
    "arc-seal:",
    "arc-authentication-results:",
    "message-id:",
    "x-original-to:",
    "x-google-",
    "x-received:",
    "mime-version:",
    "x-mailer:",
    "content-type:",
    "domainkey-signature:",
    "x-originating-ip:",
];

impl<'t> Page<'t> {
    pub fn read(text: &'t str) -> Page<'t> {
        let all: Vec<Line> = text.lines().take(MAX_LINES).map(Line::new).collect();
        let cut = divider(&all).unwrap_or(all.len());
        let first = all[cut..].iter().position(|line| is_field(&line.low)).map_or(all.len(), |at| cut + at);
        let returned = all[first..].iter().map(|line| line.text).collect();
        let lines: Vec<Line> = all.into_iter().take(cut).collect();
        let (mut flat, mut starts) = (String::new(), Vec::with_capacity(lines.len()));
        for line in &lines {
            starts.push(flat.len());
            for word in line.low.split_whitespace() {
                flat.push_str(word);
                flat.push(' ');
            }
        }
        Page { lines, flat, starts, returned }
    }

    /// The answer of a server about this address, wherever in the report: a line with a reply code that names him, or
    /// one that follows it. `is_alone`: any answer is about him.
    pub fn answer_about(&self, address: &Address, is_alone: bool) -> Option<String> {
        let has_code = |line: &Line| code::reply_in(line.text).is_some();
        let is_about = |line: &Line| line.low.contains(address.as_str());
        let lines = &self.lines;
        let named = lines.iter().position(|line| is_about(line) && has_code(line));
        let answered = || {
            let command = lines.iter().position(|line| is_about(line) && line.low.contains("rcpt to"))?;
            let behind = lines[command + 1..].iter().take(4).position(has_code)?;
            Some(command + 1 + behind)
        };
        let any = || is_alone.then(|| lines.iter().position(|line| starts_answer(&line.low))).flatten();
        let at = named.or_else(answered).or_else(any)?;
        let end = lines[at..]
            .iter()
            .skip(1)
            .take(3)
            .position(|line| line.low.is_empty() || starts_answer(&line.low));
        let until = at + 1 + end.unwrap_or(lines.len().min(at + 4) - at - 1);
        Some(lines[at..until].iter().map(|line| line.text.trim()).collect::<Vec<_>>().join(" "))
    }

    /// What is returned holds a report of its own.
    pub fn returns_report(&self) -> bool {
        self.returned
            .iter()
            .take(60)
            .any(|line| line.to_ascii_lowercase().starts_with("content-type: multipart/report"))
    }

    /// The fields of what is returned, without quote marks in front.
    pub fn returned_block(&self) -> Vec<u8> {
        let mark = self
            .returned
            .first()
            .map_or(0, |line| line.len() - line.trim_start_matches(['>', '|', ' ', '\t']).len());
        let bare = |line: &&str| line.get(mark..).unwrap_or_default().to_owned() + "\n";
        self.returned.iter().map(bare).collect::<String>().into_bytes()
    }

    /// What stands in `flat` from this place to the end of its line.
    pub fn rest_of_line(&self, offset: usize) -> &str {
        let end = self.starts.get(self.line_at(offset) + 1).copied().unwrap_or(self.flat.len());
        self.flat.get(offset..end).unwrap_or_default()
    }

    /// The line in which this place of `flat` lies.
    pub fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }
}

impl<'t> Line<'t> {
    fn new(text: &'t str) -> Line<'t> {
        let mut end = text.len().min(MAX_LINE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        Line { text, low: text.trim().to_lowercase() }
    }
}

/// `550 …` or `<<< 550 …`: a line that begins with a server's answer.
pub(super) fn starts_answer(low: &str) -> bool {
    let bare = low.trim_start_matches(['<', '>', ' ', '"', '#']);
    let bytes = bare.as_bytes();
    bytes.len() > 3
        && matches!(bytes[0], b'4' | b'5')
        && bytes[1..3].iter().all(u8::is_ascii_digit)
        && matches!(bytes[3], b' ' | b'-')
}

/// The first line of what is returned: behind a divider, or where its fields begin.
fn divider(lines: &[Line]) -> Option<usize> {
    let at = (0..lines.len()).find(|at| is_divider(lines, *at) || begins_header(lines, *at))?;
    Some(at)
}

fn is_divider(lines: &[Line], at: usize) -> bool {
    let low = &lines[at].low;
    // A sentence that announces a copy may stand in the first lines, far from the copy.
    low.len() < 120
        && DIVIDER_WORDS.are_in(low)
        && lines[at + 1..].iter().take(12).any(|line| is_field(&line.low))
        && !lines[at + 1..].iter().take(12).any(|line| line.low.starts_with("----- transcript of session"))
}

/// A field that no report uses of its own, with another one close by.
fn begins_header(lines: &[Line], at: usize) -> bool {
    let low = &lines[at].low;
    if !FIRST_FIELDS.iter().any(|name| low.starts_with(name)) {
        return false;
    }
    lines[at + 1..].iter().take(8).filter(|line| is_field(&line.low)).count() >= 1
        && !lines[at..].iter().take(12).any(|line| line.low.starts_with("final-recipient:"))
}

/// A line that begins with a field name of a mail.
fn is_field(low: &str) -> bool {
    let low = low.trim_start_matches(['>', '|', ' ']);
    let Some((name, _)) = low.split_once(':') else { return false };
    matches!(
        name,
        "received"
            | "return-path"
            | "from"
            | "to"
            | "subject"
            | "date"
            | "message-id"
            | "mime-version"
            | "content-type"
            | "delivered-to"
            | "reply-to"
            | "sender"
            | "cc"
            | "x-mailer"
            | "dkim-signature"
    ) || (name.starts_with("x-") && !name.contains(' '))
        || name.starts_with("arc-")
}

/// The address that a line begins with, and the rest of the line. Bullets and brackets in front of it do not count.
pub(super) fn leading(line: &str) -> Option<(Address, &str)> {
    let line = line.trim_start();
    let line = without_answer(line);
    let bare = without_number(line)
        .trim_start_matches([' ', '\t', '<', '*', '-', '•', '·', '>', '"', '\'', '[', '(', '\u{a0}']);
    let bare = without_scheme(bare);
    let (address, range) = first_address(bare)?;
    let rest = &bare[range.end..];
    // RFC 5322 §3.4: what stands in front of `<address>` is a name, even if it looks like an address.
    if let Some((named, behind)) =
        rest.strip_prefix(" <").and_then(first_address).filter(|(_, r)| r.start == 0)
    {
        return Some((named, rest[2 + behind.end..].trim_start_matches('>')));
    }
    // Exchange: `Ann Other (ann@example.org)`, and no more.
    if let Some(name) = bare[..range.start].strip_suffix(" (")
        && rest.trim_end() == ")"
        && name.split_whitespace().count() <= 4
        && !name.contains([':', '#'])
    {
        return Some((address, ""));
    }
    // `Ann Other <ann@example.org>`, and no more.
    if let Some(name) = bare[..range.start].strip_suffix(" <")
        && rest.trim_end() == ">"
        && name.split_whitespace().count() <= 4
        && name.split_whitespace().all(|word| word.starts_with(|c: char| c.is_uppercase() || c == '"'))
        && !name.contains([':', '#'])
    {
        return Some((address, ""));
    }
    (range.start == 0).then_some((address, rest.trim_start_matches(['>', '"', '\'', ']', ')'])))
}

/// `550 <a@b>... User unknown` and `550 5.1.1 <a@b>... User unknown` without what stands in front of the address.
fn without_answer(line: &str) -> &str {
    let [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..] = line.as_bytes() else { return line };
    let behind = &line[4..];
    let bare = behind.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    if bare.starts_with('<') { bare } else { line }
}

/// `1. ann@example.org`, `(2) …`, `3) …`: the line of a numbered list without its number.
fn without_number(line: &str) -> &str {
    let bare = line.trim_start_matches(['(', '[', '#']);
    let rest = bare.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = bare.len() - rest.len();
    let is_number = (1..=3).contains(&digits) && rest.starts_with(['.', ')', ']', ':']);
    match rest.get(1..).filter(|behind| is_number && behind.starts_with([' ', '\t'])) {
        Some(behind) => behind,
        None => line,
    }
}

/// `SMTP:ann@example.org`: what kind of address it is does not count.
fn without_scheme(text: &str) -> &str {
    const SCHEMES: &[&str] = &["smtp:", "smtp;", "mailto:", "rfc822;", "rfc822:"];
    let found = SCHEMES.iter().find(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
    found.map_or(text, |scheme| text[scheme.len()..].trim_start_matches([' ', '<']))
}

/// The first address in a text, and where it stands.
pub(super) fn first_address(text: &str) -> Option<(Address, std::ops::Range<usize>)> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'@', bytes).find_map(|at| {
        let start = local_start(bytes, at);
        let mut end = at + 1 + bytes[at + 1..].iter().take_while(|b| is_domain_byte(**b)).count();
        while matches!(bytes[end - 1], b'.' | b'-') {
            end -= 1;
        }
        let whole = text.get(start..end)?;
        let (_, domain) = whole.rsplit_once('@')?;
        let is_named = domain.contains('.') && !domain.starts_with('.') || bytes.get(end) == Some(&b'>');
        let address = Address::parse(&whole.replace('"', "")).filter(|_| is_named)?;
        Some((address, start..end))
    })
}

/// More addresses than this in one text are not looked at.
const MAX_ADDRESSES: usize = 1000;

/// All addresses of a text, in order, without doubles.
pub(super) fn addresses(text: &str) -> Vec<Address> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((address, range)) = first_address(rest).filter(|_| found.len() < MAX_ADDRESSES) {
        if !found.contains(&address) {
            found.push(address);
        }
        rest = &rest[range.end..];
    }
    found
}

fn local_start(bytes: &[u8], at: usize) -> usize {
    // RFC 5322 §3.4.1: a quoted local part.
    let is_quoted = at > 1 && bytes[at - 1] == b'"';
    let open = if is_quoted { memchr::memrchr(b'"', &bytes[..at - 1]) } else { None };
    if let Some(open) = open.filter(|open| at - open < 66 && !bytes[*open..at].contains(&b' ')) {
        return open;
    }
    let length = bytes[..at].iter().rev().take_while(|b| is_local_byte(**b)).count();
    let mut start = at - length;
    while start < at
        && matches!(bytes[start], b'\'' | b'`' | b'=' | b'*' | b'.' | b'|' | b'{' | b'/' | b'-' | b'#')
    {
        start += 1;
    }
    // X.400: `dda:smtp=ann@example.org`
    if bytes[start..at].get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"smtp=")) {
        start += 5;
    }
    start
}

fn is_local_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b)
}

fn is_domain_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')
}
