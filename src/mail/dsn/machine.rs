//! The machine-readable part: blocks of fields (RFC 3464 §2, RFC 5965 §3, RFC 8098 §3.1), however crooked.

use super::super::{Address, Message, MessageId, field, list, words};
use super::code;
use super::{Recipient, Report};

/// A report names at most this many recipients; real ones name a few hundred.
const MAX_RECIPIENTS: usize = 1000;

/// A block of fields up to its blank line, and what follows. Blank lines in front do not count.
pub(super) fn split_block(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii_start();
    let mut end = 0;
    for line in bytes.split_inclusive(|b| matches!(b, b'\n')) {
        if line.trim_ascii().is_empty() {
            break;
        }
        end += line.len();
    }
    bytes.split_at(end)
}

impl Report {
    pub(super) fn read_machine_part(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.trim_ascii().is_empty() && self.recipients.len() < MAX_RECIPIENTS {
            let block;
            (block, rest) = split_block(rest);
            self.read_block(block);
        }
    }

    /// The fields of one block. Some systems leave out the blank line between recipients: a second Final-Recipient
    /// begins a second one.
    fn read_block(&mut self, block: &[u8]) {
        let mut recipient = Recipient::default();
        let mut has_final = false;
        for field in field::fields(block) {
            let value = words::decode(field.value);
            match field.name.to_ascii_lowercase().as_slice() {
                b"final-recipient" => {
                    if std::mem::replace(&mut has_final, true) {
                        self.push(std::mem::take(&mut recipient));
                    }
                    recipient.address = address(&value);
                }
                // RFC 5965 §3.2: the address that a complaint is about.
                b"original-recipient" | b"original-rcpt-to" => recipient.original_address = address(&value),
                b"x-actual-recipient" | b"removal-recipient" if recipient.original_address.is_none() => {
                    recipient.original_address = address(&value);
                }
                b"action" => recipient.action = action(&value),
                b"status" => recipient.status = status(&value),
                b"diagnostic-code" if recipient.diagnostic.is_empty() || !value.trim().is_empty() => {
                    recipient.diagnostic = without_type(&value).to_owned();
                }
                // Not RFC 3464, but several mail servers.
                b"x-supplementary-info" | b"x-display-name" => recipient.add_words(&value),
                b"original-message-id" | b"x-original-message-id" => {
                    self.original_message_id = MessageId::all_in(&value).into_iter().next();
                }
                _ => {}
            }
        }
        let is_named = has_final || recipient.original_address.is_some();
        match self.recipients.last_mut() {
            // A blank line within the block of a recipient: these fields go on about him.
            Some(last) if !is_named && last.is_continued_by(&recipient) => {
                last.complete(recipient);
                last.settle();
            }
            _ => self.push(recipient),
        }
    }

    /// One block a recipient; a second one about him adds what the first left open.
    pub(super) fn push(&mut self, mut recipient: Recipient) {
        if recipient.address.is_none() {
            recipient.address = recipient.original_address.clone();
        }
        // A name that only the other side knows: what we wrote to is the original one.
        if recipient.address.as_ref().is_some_and(is_internal) && recipient.original_address.is_some() {
            std::mem::swap(&mut recipient.address, &mut recipient.original_address);
        }
        if recipient.original_address == recipient.address {
            recipient.original_address = None;
        }
        // Without an address it still says that something failed, if it says what.
        let is_empty = recipient.address.is_none() && recipient.action.is_empty();
        if is_empty || self.recipients.len() >= MAX_RECIPIENTS {
            return;
        }
        recipient.settle();
        let known = recipient
            .address
            .is_some()
            .then(|| self.recipients.iter_mut().find(|r| r.address == recipient.address));
        match known.flatten() {
            Some(known) => known.complete(recipient),
            None => self.recipients.push(recipient),
        }
    }

    /// Of what is returned: the fields, and among them the Message-ID and decoded subject.
    pub(super) fn read_returned(&mut self, bytes: &[u8]) {
        let (block, _) = split_block(bytes);
        let text = |name| field::first(block, name).map(words::decode).unwrap_or_default();
        self.original_subject = text("subject");
        if let Some(id) = MessageId::all_in(&text("message-id")).into_iter().next() {
            self.original_message_id = Some(id);
        }
    }
}

impl Recipient {
    /// Works out the reply code, and a status where the words state one and the field does not.
    pub(super) fn settle(&mut self) {
        self.reply_code = self.reply_code.or_else(|| code::reply_in(&self.diagnostic));
        self.take_status(code::status_in(&self.diagnostic));
    }

    /// A status of the same class says more than one whose detail is 0.
    pub(super) fn take_status(&mut self, said: Option<String>) {
        let Some(said) = said else { return };
        let is_general = self.status.ends_with(".0") && self.status.as_bytes()[0] == said.as_bytes()[0];
        let is_better = self.status.ends_with(".0.0") || !said.ends_with(".0");
        if self.status.is_empty() || (is_general && is_better) {
            self.status = said;
        }
    }

    /// Fields without an address, none of which he has already.
    fn is_continued_by(&self, other: &Recipient) -> bool {
        let is_open = |one: &str, other: &str| one.is_empty() || other.is_empty();
        let says = [&other.action, &other.status, &other.diagnostic].iter().any(|field| !field.is_empty());
        self.address.is_some()
            && says
            && is_open(&self.action, &other.action)
            && is_open(&self.status, &other.status)
            && is_open(&self.diagnostic, &other.diagnostic)
    }

    fn complete(&mut self, other: Recipient) {
        let fill = |one: &mut String, other: String| {
            if one.is_empty() {
                *one = other;
            }
        };
        fill(&mut self.action, other.action);
        fill(&mut self.status, other.status);
        fill(&mut self.diagnostic, other.diagnostic);
        self.reply_code = self.reply_code.or(other.reply_code);
        self.original_address = self.original_address.take().or(other.original_address);
    }

    pub(super) fn add_words(&mut self, words: &str) {
        if !self.words.is_empty() {
            self.words.push('\n');
        }
        self.words.push_str(words.trim());
    }
}

/// RFC 3464 §2.1.2: `type; value`.
fn without_type(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if !kind.trim().contains([' ', '@', ':']) => rest.trim(),
        _ => value.trim(),
    }
}

fn address(value: &str) -> Option<Address> {
    let bare = &unescaped(without_type(value));
    let found = list::addresses(bare.as_bytes()).into_iter().next().map(|a| a.address);
    found.or_else(|| super::page::first_address(bare).map(|(address, _)| address))
}

/// RFC 6533 §3: `jo\x{17E}e@example.org` stands for `jože@example.org` where a report must be ASCII.
fn unescaped(value: &str) -> String {
    let mut pieces = value.split("\\x{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let known = piece.split_once('}').and_then(|(digits, rest)| {
            let number = u32::from_str_radix(digits, 16).ok()?;
            Some((char::from_u32(number).filter(|c| !c.is_control())?, rest))
        });
        match known {
            Some((c, rest)) => {
                text.push(c);
                text.push_str(rest);
            }
            None => {
                text.push_str("\\x{");
                text.push_str(piece);
            }
        }
    }
    text
}

fn is_internal(address: &Address) -> bool {
    let domain = address.domain();
    !domain.contains('.')
        || [".local", ".localdomain", ".internal", ".lan"].iter().any(|end| domain.ends_with(end))
}

fn first_word(value: &str) -> &str {
    value.trim().split([' ', '\t', '(', ';']).next().unwrap_or_default()
}

/// RFC 3464 §2.3.3. Some write other words, all of which mean that it has failed.
fn action(value: &str) -> String {
    let word = first_word(value).to_ascii_lowercase();
    let means_failed = ["fail", "expire", "reject", "bounce", "undeliver", "error"];
    if means_failed.iter().any(|start| word.starts_with(start)) { "failed".into() } else { word }
}

/// RFC 3463 §2: class, subject and detail; a comment may follow.
pub(super) fn status(value: &str) -> String {
    let code = first_word(value).trim_end_matches(['.', ',']);
    let mut numbers = code.split('.');
    let is_class = matches!(numbers.next(), Some("2" | "4" | "5"));
    let is_number = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let is_status = is_class && numbers.clone().count() == 2 && numbers.all(is_number);
    if is_status { code.to_owned() } else { String::new() }
}

/// Of the fields of a returned mail: to whom it was sent.
pub(super) fn sent_to(returned: &[u8]) -> Vec<Address> {
    let (block, _) = split_block(returned);
    let fields = ["to", "cc", "x-original-to", "delivered-to"]
        .into_iter()
        .filter_map(|name| field::first(block, name));
    let found: Vec<Address> =
        fields.take(2).flat_map(list::addresses).map(|a| a.address).take(MAX_RECIPIENTS).collect();
    found
}

/// Whether the words of a message hold such fields outside of a part of their own.
pub(super) fn is_in_words(message: &Message) -> bool {
    message.text.lines().any(|line| names_recipient(line.as_bytes()))
}

/// Whether such fields stand in the content of a part that is called something else.
pub(super) fn is_in(content: &[u8]) -> bool {
    content.split(|b| *b == b'\n').any(names_recipient)
}

fn names_recipient(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let begins = |name: &str| line.get(..name.len()).is_some_and(|l| l.eq_ignore_ascii_case(name.as_bytes()));
    begins("final-recipient:") || begins("original-recipient:")
}
