//! What a message says, in the words that the rules ask for.

use serde::{Deserialize, Serialize};

use super::quoting::{self, Hint, Relation, Split};
use super::subject::{self, Prefix};
use super::{Address, MessageId, NamedAddress, dsn::Report};
use crate::clock::Micros;

/// Text past this many bytes is cut, and `text_truncated` says so.
pub const TEXT_LIMIT: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub struct Message {
    /// All header fields in order, decoded (RFC 2047) and unfolded. Bounded: what lies past the limit is a defect.
    pub headers: Vec<Header>,
    /// The first From address that parses (RFC 5322 §3.6.2); Sender decides where From has several.
    pub from: Option<NamedAddress>,
    pub sender: Option<NamedAddress>,
    pub reply_to: Vec<NamedAddress>,
    pub to: Vec<NamedAddress>,
    pub cc: Vec<NamedAddress>,
    pub bcc: Vec<NamedAddress>,
    /// Delivered-To, X-Original-To, Envelope-To, X-Envelope-To and the `for` of Received, in that order, no doubles.
    pub envelope_to: Vec<Address>,
    pub return_path: ReturnPath,
    pub subject: String,
    /// With U+FFFD for each byte to which RFC 6532 gives no meaning, where `subject` had to guess at such bytes.
    pub subject_as_sent: Option<String>,
    pub message_id: Option<MessageId>,
    pub in_reply_to: Vec<MessageId>,
    /// Oldest first, as written.
    pub references: Vec<MessageId>,
    pub date: Option<Micros>,
    /// The text for people, all text leaves one after the other: plain where there is plain, else HTML as text.
    pub text: String,
    pub text_truncated: bool,
    /// What the structure of an HTML mail says of pieces of the text.
    pub hints: Vec<Hint>,
    /// Every leaf that is not the text, text leaves that were too big among them.
    pub attachments: Vec<Attachment>,
    /// A multipart/report's machine part (RFC 3464), with what it returns of the original.
    pub report: Option<Report>,
    pub defects: Vec<Defect>,
    /// What it is besides words, for people: a calendar invitation, an encrypted mail.
    pub content: Vec<String>,
}

/// One header field: the name as written, the value decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReturnPath {
    #[default]
    Absent,
    /// `<>`, the null reverse-path of RFC 5321 §4.5.5: a report or an automatic answer.
    Null,
    Address(Address),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// As the sender named it, decoded, without path or control characters; empty where it has no name.
    pub name: String,
    /// `type/subtype`, lower case.
    pub content_type: String,
    /// Decoded bytes.
    pub size: u64,
    pub is_inline: bool,
    /// Without angle brackets; empty where there is none.
    pub content_id: String,
    pub span: Span,
}

/// A piece of the raw message, still in its transfer encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub offset: u64,
    pub length: u64,
    pub encoding: Encoding,
}

/// How a span becomes the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// 7bit, 8bit or binary.
    Identity,
    Base64,
    QuotedPrintable,
    /// Lines from `begin 644 name` to `end`, as old programs put files into a text.
    Uuencode,
    /// Bytes of what the span holds once it is decoded: a file in a winmail.dat.
    Within {
        outer: Outer,
        start: u64,
        length: u64,
    },
}

/// The transfer encoding around what holds files itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outer {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// As the outer one of what lies within; none within another.
    pub fn outer(self) -> Option<Outer> {
        match self {
            Encoding::Identity => Some(Outer::Identity),
            Encoding::Base64 => Some(Outer::Base64),
            Encoding::QuotedPrintable => Some(Outer::QuotedPrintable),
            Encoding::Uuencode | Encoding::Within { .. } => None,
        }
    }
}

impl From<Outer> for Encoding {
    fn from(outer: Outer) -> Encoding {
        match outer {
            Outer::Identity => Encoding::Identity,
            Outer::Base64 => Encoding::Base64,
            Outer::QuotedPrintable => Encoding::QuotedPrintable,
        }
    }
}

/// As the store has it: `base64`, `within base64 120 4000`.
impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Encoding::Identity => f.write_str("identity"),
            Encoding::Base64 => f.write_str("base64"),
            Encoding::QuotedPrintable => f.write_str("quoted_printable"),
            Encoding::Uuencode => f.write_str("uuencode"),
            Encoding::Within { outer, start, length } => {
                write!(f, "within {} {start} {length}", Encoding::from(outer))
            }
        }
    }
}

impl std::str::FromStr for Encoding {
    type Err = ();

    fn from_str(text: &str) -> Result<Encoding, ()> {
        if let Some(rest) = text.strip_prefix("within ") {
            let mut words = rest.split(' ');
            let outer = words.next().ok_or(())?.parse::<Encoding>()?.outer().ok_or(())?;
            let mut number = || words.next().and_then(|n| n.parse().ok()).ok_or(());
            return Ok(Encoding::Within { outer, start: number()?, length: number()? });
        }
        let all = [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable, Encoding::Uuencode];
        all.into_iter().find(|encoding| encoding.to_string() == text).ok_or(())
    }
}

/// What is wrong with a message; none of it keeps the rest from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    NoFrom,
    BadDate,
    NoHeaders,
    HeadersTruncated,
    TooDeep,
    TooManyParts,
    NoBoundary,
    UnclosedMultipart,
    BadEncoding,
    UnknownCharset,
    DuplicateHeader,
    TextTruncated,
    ParserPanicked,
}

impl Message {
    /// The first field of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str())
    }

    /// When the last server took it, by the Received that stands first (RFC 5321 §4.4).
    pub fn delivered(&self) -> Option<Micros> {
        let (_, date) = self.header("Received")?.rsplit_once(';')?;
        super::date::read(date)
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.header(name).is_some()
    }

    /// The recipients that the MTA named when it brought the mail, in one text. They go before those that headers name:
    /// headers may be anybody's.
    pub fn add_envelope(&mut self, recipients: &str) {
        let mut named: Vec<Address> = recipients.split(", ").filter_map(Address::parse).collect();
        self.envelope_to.retain(|address| !named.contains(address));
        named.append(&mut self.envelope_to);
        self.envelope_to = named;
    }

    /// The text, told apart: new words, quotations, signature.
    pub fn split(&self) -> Split {
        quoting::split(&self.text, &self.hints, self.relation())
    }

    /// The prefix in front of the subject decides. Without one, a mail answers if it names an earlier one (RFC 5322
    /// §3.6.4) or bears a tag line: some programs put no prefix.
    fn relation(&self) -> Relation {
        let names_one = |field| self.header(field).is_some_and(|value| !value.trim().is_empty());
        match subject::prefix(&self.subject) {
            Some(Prefix::Forward) => Relation::Forward,
            Some(Prefix::Answer) => Relation::Answer,
            None if names_one("In-Reply-To") || names_one("References") => Relation::Answer,
            None if !subject::find_tags(&self.subject).is_empty() => Relation::Answer,
            None => Relation::Own,
        }
    }

    /// Nothing of it can be read: no header a person would know it by, and no text.
    pub fn is_unreadable(&self) -> bool {
        self.from.is_none()
            && self.subject.is_empty()
            && self.to.is_empty()
            && self.text.trim().is_empty()
            && self.attachments.is_empty()
    }
}
