//! A draft becomes the bytes that go out (RFC 5322, RFC 2045 to 2047, RFC 2231): once, and always the same.
//!
//! Attachments are not copied: they stay spans of raw mail, and the composed mail is literal bytes with such spans between.
//! `transfer` says what a span looks like on the wire. No string of a draft can add a header field or a line.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{self, ContentDisposition, ContentTransferEncoding, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Mailboxes, MessageBuilder, MultiPart, SinglePart};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Encoding, MessageId, NamedAddress, Span, transfer};
use crate::clock::Micros;
use crate::ticket::ArrivalId;

mod text;

/// References keep the first and the last so many; what is between threads nothing any more.
const REFERENCES_AT_EACH_END: usize = 20;
/// Longest id that may stand in a header field with its name in front. RFC 5322 §2.1.1: 998 characters a line.
const LONGEST_REFERENCE: usize = 900;
/// Longest file name that goes out; file systems take 255 bytes.
const LONGEST_NAME: usize = 200;

/// A mail to be made.
#[derive(Clone, Debug)]
pub struct Draft {
    pub from: NamedAddress,
    pub to: Vec<NamedAddress>,
    pub reply_to: Option<NamedAddress>,
    pub subject: String,
    pub text: String,
    /// Empty: the mail is text only.
    pub html: String,
    pub message_id: MessageId,
    pub in_reply_to: Option<MessageId>,
    /// Oldest first.
    pub references: Vec<MessageId>,
    pub date: Micros,
    /// Drawn by the caller; the boundaries are made of it.
    pub boundary_seed: [u8; 16],
    pub auto: Auto,
    /// What X-Maildesk-Loop says: the desk's mark, by which it knows its own mail.
    pub desk_mark: String,
    pub attachments: Vec<AttachedSpan>,
}

/// Whether a person wrote it (RFC 3834 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// A person did: an answer of an agent.
    No,
    /// An automatic answer to a mail.
    Replied,
    /// Set off by something else: a notification, an alert.
    Generated,
}

#[derive(Clone, Debug)]
pub struct AttachedSpan {
    pub name: String,
    /// `type/subtype`
    pub content_type: String,
    pub is_inline: bool,
    pub arrival: ArrivalId,
    pub span: Span,
    /// Decoded bytes.
    pub size: u64,
}

/// A mail as the outbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The literal segments one after the other.
    pub literal: Vec<u8>,
    pub segments: Vec<Segment>,
    /// Bytes on the wire, as near as can be known before sending (RFC 1870 §6 asks for no more).
    pub size: u64,
    /// SHA-256 over the literal bytes and the segments as JSON.
    pub digest: [u8; 32],
}

/// A piece of a composed mail. In JSON: `{"literal": 812}` or `{"raw": {"arrival": 3, "offset": …}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// The next so many bytes of `literal`.
    Literal(u64),
    /// A piece of raw mail; `encoding` is the one it has there.
    Raw { arrival: ArrivalId, offset: u64, length: u64, encoding: Encoding },
}

pub fn compose(draft: &Draft) -> Composed {
    let seed = seed_hex(draft);
    let tokens: Vec<String> = (0..draft.attachments.len()).map(|n| format!("=_{seed}_body_{n}")).collect();
    let message = match (draft.html.is_empty(), draft.attachments.is_empty()) {
        (true, true) => headers(draft).singlepart(plain(draft)),
        (false, true) => headers(draft).multipart(alternative(draft, &seed)),
        (_, false) => headers(draft).multipart(mixed(draft, &seed, &tokens)),
    };
    let mut message = message.expect("From and envelope are set, and nothing else is asked for");
    // Set behind the builder's back: it reads From again, and refuses odd addresses that are in use.
    message.headers_mut().set(header::From::from(Mailboxes::from(mailbox(&draft.from))));
    let (literal, segments) = split(message.formatted(), &tokens, &draft.attachments);
    let digest = digest(&literal, &segments);
    Composed { size: size(&segments), literal, segments, digest }
}

fn seed_hex(draft: &Draft) -> String {
    draft.boundary_seed.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn headers(draft: &Draft) -> MessageBuilder {
    let stand_in = lettre::Address::new_dangerous("maildesk", "localhost");
    let envelope = lettre::address::Envelope::new(None, vec![stand_in.clone()])
        .expect("an envelope with one recipient is one");
    // A date before 1970 is no date that a mail of ours can bear.
    let date = UNIX_EPOCH + Duration::from_micros(u64::try_from(draft.date.0).unwrap_or_default());
    let mut builder = MessageBuilder::new()
        .envelope(envelope)
        .date(date)
        .from(Mailbox::new(None, stand_in))
        .subject(clean(&draft.subject))
        .message_id(Some(draft.message_id.bracketed()));
    builder = recipients(builder, &draft.to);
    if let Some(reply_to) = &draft.reply_to {
        builder = builder.reply_to(mailbox(reply_to));
    }
    for (name, value) in [("In-Reply-To", in_reply_to(draft)), ("References", references(draft))] {
        if !value.is_empty() {
            builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        }
    }
    marks(builder, draft)
}

fn recipients(builder: MessageBuilder, to: &[NamedAddress]) -> MessageBuilder {
    let to: Mailboxes = to.iter().filter(|who| who.address.as_str().is_ascii()).map(mailbox).collect();
    if to.iter().next().is_some() {
        return builder.header(header::To::from(to));
    }
    // RFC 5322 §3.4 and App. A.1.3: an empty group says that there are recipients, and names none.
    let (name, value) = (HeaderName::new_from_ascii_str("To"), "undisclosed-recipients:;");
    builder.raw_header(HeaderValue::dangerous_new_pre_encoded(name, value.into(), value.into()))
}

/// Our `Address` has refused already what could leave a header field: white space, controls, brackets, commas, quotes.
fn mailbox(who: &NamedAddress) -> Mailbox {
    // Without SMTPUTF8 (RFC 6531) a header field is ASCII; `?` keeps the rest of such a From readable.
    let ascii = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
    let address = lettre::Address::new_dangerous(ascii(who.address.local()), ascii(who.address.domain()));
    let name = clean(&who.name);
    Mailbox::new((!name.is_empty()).then_some(name), address)
}

/// Automatic mail says so, in every dialect, so that no automat answers it.
fn marks(mut builder: MessageBuilder, draft: &Draft) -> MessageBuilder {
    let mut add = |name: &'static str, value: &str| {
        let value = HeaderValue::new(HeaderName::new_from_ascii_str(name), clean(value));
        builder = std::mem::take(&mut builder).raw_header(value);
    };
    match draft.auto {
        Auto::No => {}
        Auto::Replied => add("Auto-Submitted", "auto-replied"),
        Auto::Generated => add("Auto-Submitted", "auto-generated"),
    }
    if draft.auto != Auto::No {
        // Not RFC 3834, but Exchange and Outlook.
        add("X-Auto-Response-Suppress", "All");
    }
    if draft.auto == Auto::Replied {
        // RFC 3834 §3.1.8: some automats know no other sign.
        add("Precedence", "bulk");
    }
    if !draft.desk_mark.is_empty() {
        add("X-Maildesk-Loop", &draft.desk_mark);
    }
    builder
}

fn is_writable(id: &MessageId) -> bool {
    id.as_str().is_ascii() && id.as_str().len() <= LONGEST_REFERENCE
}

fn in_reply_to(draft: &Draft) -> String {
    draft.in_reply_to.as_ref().filter(|id| is_writable(id)).map(MessageId::bracketed).unwrap_or_default()
}

fn references(draft: &Draft) -> String {
    let all: Vec<String> =
        draft.references.iter().filter(|id| is_writable(id)).map(MessageId::bracketed).collect();
    let cut = all.len().saturating_sub(2 * REFERENCES_AT_EACH_END);
    let ids = all
        .iter()
        .enumerate()
        .filter(|(n, _)| cut == 0 || *n < REFERENCES_AT_EACH_END || *n >= REFERENCES_AT_EACH_END + cut);
    ids.map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(" ")
}

/// Controls become spaces: nothing in a header field looks like the end of its line.
fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(draft: &Draft) -> SinglePart {
    part(header::ContentType::TEXT_PLAIN, &draft.text)
}

fn part(kind: header::ContentType, text: &str) -> SinglePart {
    SinglePart::builder().header(kind).body(text::body(text))
}

fn alternative(draft: &Draft, seed: &str) -> MultiPart {
    MultiPart::alternative()
        .boundary(format!("=_{seed}_alternative"))
        .singlepart(plain(draft))
        .singlepart(part(header::ContentType::TEXT_HTML, &draft.html))
}

fn mixed(draft: &Draft, seed: &str, tokens: &[String]) -> MultiPart {
    let builder = MultiPart::mixed().boundary(format!("=_{seed}_mixed"));
    let words = match draft.html.is_empty() {
        true => builder.singlepart(plain(draft)),
        false => builder.multipart(alternative(draft, seed)),
    };
    let numbered = draft.attachments.iter().zip(tokens).enumerate();
    numbered.fold(words, |parts, (n, (attached, token))| parts.singlepart(placeholder(attached, n, token)))
}

/// The part of an attachment with a token where its body will stand.
fn placeholder(attached: &AttachedSpan, n: usize, token: &str) -> SinglePart {
    let name = file_name(attached, n);
    let disposition = match attached.is_inline {
        true => ContentDisposition::inline_with_name(&name),
        false => ContentDisposition::attachment(&name),
    };
    let encoding = match transfer::on_the_wire(attached.span.encoding) {
        Encoding::QuotedPrintable => ContentTransferEncoding::QuotedPrintable,
        _ => ContentTransferEncoding::Base64,
    };
    SinglePart::builder()
        .header(content_type(attached))
        .header(disposition)
        .body(Body::dangerous_pre_encoded(token.as_bytes().to_vec(), encoding))
}

fn content_type(attached: &AttachedSpan) -> header::ContentType {
    let said = attached.content_type.trim();
    // RFC 2046 §5: message/* and multipart/* must not be encoded, and what travels here is.
    let is_composite = said.starts_with("message/") || said.starts_with("multipart/");
    let is_plain =
        said.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-+._".contains(&b)) && said.len() < 128;
    let kept = (is_plain && !is_composite).then(|| header::ContentType::parse(said).ok()).flatten();
    kept.unwrap_or_else(|| {
        header::ContentType::parse("application/octet-stream").expect("this is a content type")
    })
}

fn file_name(attached: &AttachedSpan, n: usize) -> String {
    let mut name = clean(&attached.name);
    if name.is_empty() {
        name = format!("attachment-{}", n + 1);
    }
    if attached.content_type == "message/rfc822" && !name.contains('.') {
        name.push_str(".eml");
    }
    name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()
}

/// Cuts the formatted bytes at the tokens, and puts the spans there.
fn split(formatted: Vec<u8>, tokens: &[String], attachments: &[AttachedSpan]) -> (Vec<u8>, Vec<Segment>) {
    let mut literal = Vec::with_capacity(formatted.len());
    let mut segments = Vec::with_capacity(2 * tokens.len() + 1);
    let mut rest = formatted.as_slice();
    for (token, attached) in tokens.iter().zip(attachments) {
        // The seed is drawn for this mail, so nobody could have written its tokens into it.
        let at = memchr::memmem::find(rest, token.as_bytes()).expect("each token was put in as a body");
        literal.extend_from_slice(&rest[..at]);
        segments.push(Segment::Literal(at as u64));
        let Span { offset, length, encoding } = attached.span;
        segments.push(Segment::Raw { arrival: attached.arrival, offset, length, encoding });
        rest = &rest[at + token.len()..];
    }
    literal.extend_from_slice(rest);
    segments.push(Segment::Literal(rest.len() as u64));
    (literal, segments)
}

fn size(segments: &[Segment]) -> u64 {
    let of = |segment: &Segment| match segment {
        Segment::Literal(length) => *length,
        Segment::Raw { length, encoding, .. } => transfer::size_on_the_wire(*length, *encoding),
    };
    segments.iter().map(of).sum()
}

fn digest(literal: &[u8], segments: &[Segment]) -> [u8; 32] {
    let json = serde_json::to_vec(segments).expect("numbers and names are always JSON");
    Sha256::new().chain_update(literal).chain_update(json).finalize().into()
}

#[cfg(test)]
mod tests;
