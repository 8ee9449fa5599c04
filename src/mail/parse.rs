//! From a skeleton to a `Message`: the fields of the header block, then what `body` and `dsn` make of the parts.

use super::field::{Field, fields};
use super::message::Header;
use super::{Address, Defect, Message, MessageId, NamedAddress, ReturnPath, Skeleton};
use super::{body, charset, content, date, dsn, list, raw_header, words};

/// More fields than this are noise; each costs memory.
const MAX_HEADERS: usize = 2000;
const MAX_REFERENCES: usize = 200;

/// RFC 5322 §3.6: at most one of each.
const SINGLE: [&str; 11] = [
    "date",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
];

/// Never fails: what cannot be read is a defect.
pub fn parse(skeleton: &Skeleton) -> Message {
    std::panic::catch_unwind(|| at_depth(skeleton, 0)).unwrap_or_else(|_| plainly(skeleton))
}

/// `depth`: of a message inside others.
pub(super) fn at_depth(skeleton: &Skeleton, depth: usize) -> Message {
    let readable = raw_header::readable(skeleton.header_block(), skeleton);
    let block = Block(fields(&readable).collect());
    let mut message = block.message();
    message.subject_as_sent = certain_subject(skeleton.header_block()).filter(|s| *s != message.subject);
    let body = body::read(skeleton);
    (message.text, message.text_truncated) = (body.text, body.is_truncated);
    message.hints = body.hints;
    message.attachments = body.attachments;
    message.report = dsn::read(skeleton, &message, depth);
    message.content = content::of(skeleton, &message);
    let found = std::mem::take(&mut message.defects);
    message.defects = without_doubles([&skeleton.defects[..], &found, &body.defects].concat());
    message
}

/// The subject without a guess, where its block has bytes that need one.
fn certain_subject(block: &[u8]) -> Option<String> {
    let needs_guess = std::str::from_utf8(block).is_err();
    needs_guess.then(|| Block(fields(block).collect()).all("subject").next().map(words::decode_certain))?
}

/// The last resort, where the reader of a mail has a fault: fields as they stand, text as it stands. It uses as little
/// code as can be.
fn plainly(skeleton: &Skeleton) -> Message {
    let mut message = Message { defects: skeleton.defects.clone(), ..Message::default() };
    message.defects.push(Defect::ParserPanicked);
    for field in fields(skeleton.header_block()).take(MAX_HEADERS) {
        let name = String::from_utf8_lossy(field.name).into_owned();
        message.headers.push(Header { name, value: words::clean(&charset::utf8_or_western(field.value)) });
    }
    message.subject = message.header("subject").unwrap_or_default().to_owned();
    let from = message.header("from").unwrap_or_default();
    let address = from.rsplit_once('<').map_or(from, |(_, a)| a.split('>').next().unwrap_or_default());
    message.from = Address::parse(address).map(NamedAddress::from);
    message.message_id =
        MessageId::all_in(message.header("message-id").unwrap_or_default()).into_iter().next();
    if let Some(text) = skeleton.parts.iter().find(|p| p.content_type == "text/plain") {
        message.text = charset::utf8_or_western(&skeleton.bytes[text.body.clone()]).replace('\0', "");
    }
    message
}

fn without_doubles<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(all.len());
    all.into_iter().for_each(|one| {
        if !kept.contains(&one) {
            kept.push(one);
        }
    });
    kept
}

/// The fields of the header block.
struct Block<'m>(Vec<Field<'m>>);

impl<'m> Block<'m> {
    fn message(&self) -> Message {
        let mut defects = self.defects();
        let from = self.from();
        let date = self.text("date").map(|text| date::read(&text));
        if from.is_none() {
            defects.push(Defect::NoFrom);
        }
        if date == Some(None) {
            defects.push(Defect::BadDate);
        }
        Message {
            headers: self.0.iter().take(MAX_HEADERS).map(header).collect(),
            from,
            sender: self.addresses("sender").into_iter().next(),
            reply_to: self.addresses("reply-to"),
            to: self.addresses("to"),
            cc: self.addresses("cc"),
            bcc: self.addresses("bcc"),
            envelope_to: self.envelope_to(),
            return_path: self.return_path(),
            subject: self.text("subject").unwrap_or_default(),
            message_id: self.ids("message-id").into_iter().next(),
            in_reply_to: self.ids("in-reply-to"),
            references: self.ids("references"),
            date: date.flatten(),
            defects,
            ..Message::default()
        }
    }

    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'m [u8]> + 'b {
        self.0.iter().filter(move |f| f.name.eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value)
    }

    /// The first of that name: a second one is what somebody on the way, or a forger, added.
    fn text(&self, name: &str) -> Option<String> {
        self.all(name).next().map(words::decode)
    }

    fn addresses(&self, name: &str) -> Vec<NamedAddress> {
        self.all(name).next().map(list::addresses).unwrap_or_default()
    }

    fn defects(&self) -> Vec<Defect> {
        let mut defects = Vec::new();
        if self.0.len() > MAX_HEADERS {
            defects.push(Defect::HeadersTruncated);
        }
        if SINGLE.iter().any(|name| self.all(name).nth(1).is_some()) {
            defects.push(Defect::DuplicateHeader);
        }
        defects
    }

    /// RFC 5322 §3.6.2: where there are several authors, Sender says which of them sent it.
    fn from(&self) -> Option<NamedAddress> {
        let mut authors = self.all("from").map(list::addresses).find(|found| !found.is_empty())?;
        let at = match self.addresses("sender").first() {
            Some(sender) if authors.len() > 1 => authors.iter().position(|a| a.address == sender.address),
            _ => None,
        };
        Some(authors.swap_remove(at.unwrap_or(0)))
    }

    fn envelope_to(&self) -> Vec<Address> {
        let named = ["delivered-to", "x-original-to", "envelope-to", "x-envelope-to"];
        let stated =
            named.iter().flat_map(|name| self.all(name)).flat_map(list::addresses).map(|a| a.address);
        let received = self.all("received").filter_map(received_for);
        without_doubles(stated.chain(received).take(MAX_REFERENCES).collect())
    }

    fn return_path(&self) -> ReturnPath {
        let Some(value) = self.text("return-path") else { return ReturnPath::Absent };
        let bare = value.trim_matches(['<', '>', ' ']);
        // Not RFC 5321, but some programs write out who has no return path.
        if value.contains('<') && (bare.is_empty() || bare.eq_ignore_ascii_case("mailer-daemon")) {
            return ReturnPath::Null;
        }
        list::addresses(value.as_bytes())
            .into_iter()
            .next()
            .map_or(ReturnPath::Absent, |a| ReturnPath::Address(a.address))
    }

    /// Of more than the limit the newest, which stand last.
    fn ids(&self, name: &str) -> Vec<MessageId> {
        let mut ids = self.text(name).map(|text| MessageId::all_in(&text)).unwrap_or_default();
        ids.drain(..ids.len().saturating_sub(MAX_REFERENCES));
        without_doubles(ids)
    }
}

fn header(field: &Field) -> Header {
    Header { name: String::from_utf8_lossy(field.name).into_owned(), value: words::decode(field.value) }
}

/// RFC 5321 §4.4: `for <a@b>` in a Received field, in front of its date.
fn received_for(value: &[u8]) -> Option<Address> {
    let text = words::decode(value);
    let text = text.split(';').next().unwrap_or_default();
    let (_, behind) = text.rsplit_once(" for ")?;
    let word = behind.split_whitespace().next()?;
    Address::parse(word.trim_end_matches(','))
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
