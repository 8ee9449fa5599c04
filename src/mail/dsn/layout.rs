//! Reads the recipients of a report in words as a layout of the table says.

use std::ops::Range;
use std::sync::LazyLock;

use super::super::phrases::Phrases;
use super::super::{Address, Message, list};
use super::code::{reply_in, status_in};
use super::page::{Line, Page, addresses, first_address, leading, starts_answer};
use super::readers::{GENERAL, Layout, READERS, Reader};
use super::signs::Signs;

/// A recipient and the lines that are said of him.
pub(super) struct Named {
    pub address: Address,
    /// A server's answer stands right behind the address: whoever bears it, mail to him has failed.
    is_answered: bool,
    pub words: String,
}

/// What a reader made of a report.
pub(super) struct Reading {
    pub reader: &'static Reader,
    pub evidence: &'static str,
    pub named: Vec<Named>,
}

/// In running text an address stands this close to the words that lead to it.
const NEAR: usize = 160;
/// Names without a domain that are listed.
const MAX_NAMES: usize = 50;
/// Recipients that words name; those of a machine part are as many.
const MAX_NAMED: usize = 1000;
/// Kept of what is said of one recipient.
const WORDS_LIMIT: usize = 1500;

/// Of each reader of the table what it is known by; and of the general one.
static EVIDENCE: LazyLock<Vec<Phrases>> =
    LazyLock::new(|| READERS.iter().map(|reader| Phrases::new(reader.words.iter().copied())).collect());
static GENERAL_EVIDENCE: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(GENERAL.words.iter().copied()));

pub(super) struct Desk<'p> {
    pub message: &'p Message,
    pub page: &'p Page<'p>,
    /// Addresses in the To and Cc of what is returned.
    pub sent_to: Vec<Address>,
}

impl Desk<'_> {
    /// The first reader that knows the report and finds somebody in it; `with_returned`: in what is returned, too.
    pub fn by_table(&self, with_returned: bool) -> Option<Reading> {
        let known = READERS.iter().zip(EVIDENCE.iter());
        let mut read = known.filter_map(|(reader, words)| {
            let evidence = words.first_in(&self.page.flat)?;
            Some(Reading { reader, evidence, named: self.first_of(reader, with_returned) })
        });
        read.find(|reading| !reading.named.is_empty())
    }

    /// By what all reports have in common. Where the header leaves no doubt, a reading without recipients still says that
    /// it is a report; else a mail system must write, to nobody's list, and its words must name a recipient.
    pub fn by_general_features(&self, signs: Signs, with_returned: bool) -> Option<Reading> {
        let is_strong = signs.is_strong();
        let is_bulk = ["List-Id", "List-Unsubscribe"].iter().any(|name| self.message.has_header(name));
        let is_coded = || status_in(&self.page.flat).is_some() || reply_in(&self.page.flat).is_some();
        let is_likely = signs.is_daemon || (signs.is_titled && signs.is_unattended && is_coded());
        if !is_strong && (!is_likely || is_bulk) {
            return None;
        }
        let by_header = || is_strong.then_some("sender and subject");
        let evidence = GENERAL_EVIDENCE.first_in(&self.page.flat).or_else(by_header)?;
        let mut named = self.first_of(&GENERAL, is_strong && with_returned);
        if !is_strong {
            // A postmaster may write to somebody about his own mailbox.
            named.retain(|n| n.is_answered || self.sent_to.contains(&n.address) || !self.has_got(&n.address));
        }
        let is_enough = !named.is_empty() || (is_strong && with_returned);
        is_enough.then_some(Reading { reader: &GENERAL, evidence, named })
    }

    /// Each line that begins with an address, with what follows it.
    pub fn all_lines(&self) -> Vec<Named> {
        self.lines(0..self.page.lines.len(), false)
    }

    fn first_of(&self, reader: &Reader, with_returned: bool) -> Vec<Named> {
        let layouts = reader
            .layouts
            .iter()
            .filter(|l| with_returned || !matches!(l, Layout::Returned | Layout::Subject));
        let found = layouts.map(|layout| self.wanted(self.read(layout)));
        found.into_iter().find(|named| !named.is_empty()).unwrap_or_default()
    }

    fn read(&self, layout: &Layout) -> Vec<Named> {
        match layout {
            Layout::Below(anchors) => self.below(anchors),
            Layout::Behind(anchors) => self.behind(anchors),
            Layout::Before(anchors) => self.before(anchors),
            Layout::Line => self.lines(0..self.page.lines.len(), true),
            Layout::Field(name) => self.of_field(name),
            Layout::Only => self.only(),
            Layout::Names(anchors) => self.names(anchors),
            Layout::Each(anchors) => {
                let mut found: Vec<Named> =
                    anchors.iter().flat_map(|anchor| self.behind(&[anchor])).collect();
                found.truncate(MAX_NAMES);
                found
            }
            Layout::Labelled(labels) => self.labelled(labels),
            Layout::Above => self.above(),
            Layout::Subject => self.only_of(&self.message.subject),
            Layout::Returned => self.sent_to.iter().map(|a| Named::new(a.clone())).collect(),
        }
    }

    fn below(&self, anchors: &[&str]) -> Vec<Named> {
        for anchor in anchors {
            let Some(at) = self.page.flat.find(anchor) else { continue };
            let line = self.page.line_at(at + anchor.len() - 1);
            let mut beside = listed(self.page.rest_of_line(at + anchor.len() - 1));
            let mut below = self.page.lines[line + 1..].iter().filter(|l| !l.low.is_empty());
            if beside.is_empty() || below.next().is_some_and(|l| leading(l.text).is_some()) {
                let found = self.lines(line..self.page.lines.len(), false);
                beside.retain(|address| found.iter().all(|n| n.address != *address));
                let named: Vec<Named> = beside.into_iter().map(Named::new).chain(found).collect();
                if !named.is_empty() {
                    return named;
                }
            } else {
                // The sentence names him, and none are listed below it.
                let words = self.words_from(line);
                return beside.into_iter().map(|a| Named { words: words.clone(), ..Named::new(a) }).collect();
            }
        }
        vec![]
    }

    /// Lines that begin with an address, each with the lines below it. `is_strict`: a colon or dots follow the address.
    fn lines(&self, range: Range<usize>, is_strict: bool) -> Vec<Named> {
        let mut found: Vec<Named> = vec![];
        // Whom the lines are about: he may be named once more further down, with the server's answer.
        let mut current: Vec<usize> = vec![];
        let mut is_open = true;
        let mut is_piped = false;
        let mut has_arrived = false;
        for line in &self.page.lines[range] {
            // Exim: a program or a file, and on the next line whose it is.
            let was_piped = std::mem::replace(&mut is_piped, is_of_program(&line.low));
            let text = match line.text.trim_start().strip_prefix("generated by ") {
                Some(owner) if was_piped => owner,
                _ => line.text,
            };
            // A transcript turns to another host: what follows is not about him who stands above.
            is_open &= !line.low.contains("while talking to");
            match leading(text) {
                Some(_) if has_arrived => is_open = false,
                Some((address, rest)) if !is_strict || is_led_in(text, rest) => {
                    is_open = true;
                    current.clear();
                    let others = if rest.starts_with([',', ';']) { listed(rest) } else { vec![] };
                    let room = MAX_NAMED.saturating_sub(found.len());
                    for address in std::iter::once(address).chain(others).take(room) {
                        let at = found.iter().position(|n| n.address == address).unwrap_or(found.len());
                        current.push(at);
                        match found.get_mut(at) {
                            Some(known) => known.add(rest),
                            None => {
                                let is_answered = is_answer(rest);
                                found.push(Named { address, is_answered, words: rest.trim().to_owned() });
                            }
                        }
                    }
                }
                // `550 host (smtp)... 550 Host unknown`: a transcript goes on with somebody else.
                _ if starts_answer(&line.low) && line.low.contains("... ") => {}
                _ => {
                    has_arrived = begins_arrivals(&line.low).unwrap_or(has_arrived);
                    for at in current.iter().filter(|_| is_open) {
                        found[*at].add(line.text);
                    }
                }
            }
        }
        found
    }

    fn behind(&self, anchors: &[&str]) -> Vec<Named> {
        let flat = &self.page.flat;
        for anchor in anchors {
            let mut found: Vec<Named> = vec![];
            for (at, words) in flat.match_indices(anchor) {
                if found.len() >= MAX_NAMED {
                    break;
                }
                let start = at + words.len();
                let piece = clip(&flat[start..], NEAR);
                let near = listed(piece);
                let line = self.page.line_at(start);
                for address in near {
                    if !found.iter().any(|n| n.address == address) {
                        found.push(Named { words: self.words_from(line), ..Named::new(address) });
                    }
                }
            }
            let found = self.wanted(found);
            if !found.is_empty() {
                return found;
            }
        }
        vec![]
    }

    fn labelled(&self, labels: &[&str]) -> Vec<Named> {
        let mut found = vec![];
        for (at, line) in self.page.lines.iter().enumerate() {
            let label = |label: &&&str| line.low.strip_prefix(**label).and_then(behind_colon);
            let Some(value) = labels.iter().find_map(|l| label(&l)) else { continue };
            let room = MAX_NAMED.saturating_sub(found.len());
            let words =
                || self.page.lines[at + 1..].iter().take(6).map(|l| l.text).take_while(|t| !t.contains('@'));
            for address in listed(value).into_iter().take(room) {
                let mut named = Named::new(address);
                words().for_each(|text| named.add(text));
                found.push(named);
            }
        }
        found
    }

    fn above(&self) -> Vec<Named> {
        let mut found: Vec<Named> = vec![];
        let mut is_open = false;
        for pair in self.page.lines.windows(2) {
            let [line, next] = pair else { break };
            let is_below = next.text.starts_with([' ', '\t', '\u{3000}']) && !next.low.is_empty();
            match leading(line.text) {
                Some((address, rest))
                    if is_below && rest.trim().is_empty() && !line.text.starts_with([' ', '\t']) =>
                {
                    is_open = found.len() < MAX_NAMED;
                    if is_open {
                        found.push(Named::new(address));
                    }
                }
                _ => is_open &= line.text.starts_with([' ', '\t', '\u{3000}']),
            }
            if let Some(named) = found.last_mut().filter(|_| is_open && is_below) {
                named.add(next.text);
            }
        }
        found
    }

    fn words_from(&self, line: usize) -> String {
        let mut words = String::new();
        for line in &self.page.lines[line..] {
            words.push_str(line.text.trim());
            if words.len() >= WORDS_LIMIT {
                break;
            }
            words.push(' ');
        }
        clip(words.trim_end(), WORDS_LIMIT).to_owned()
    }

    /// The first paragraph below, where each of its lines begins with a name and goes on with white space or a comment.
    fn names(&self, anchors: &[&str]) -> Vec<Named> {
        let domain = self.message.from.as_ref().map_or("", |f| f.address.domain());
        let found = anchors.iter().find_map(|anchor| Some(self.page.flat.find(anchor)? + anchor.len() - 1));
        let (Some(at), true) = (found, domain.contains('.')) else { return vec![] };
        let below = &self.page.lines[self.page.line_at(at) + 1..];
        let lines = below.iter().skip_while(|l| l.low.is_empty()).take_while(|l| !l.low.is_empty());
        let named = |line: &Line| {
            let text = line.text.trim_start();
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            let is_apart = rest.is_empty()
                || rest.starts_with(['\t', ' ']) && rest.trim().starts_with('(')
                || rest.starts_with("  ")
                || rest.starts_with('\t');
            let is_name =
                name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'));
            let address = Address::parse(&format!("{name}@{domain}")).filter(|_| is_apart && is_name)?;
            Some(Named { words: rest.trim().to_owned(), ..Named::new(address) })
        };
        lines.take(MAX_NAMES).map(named).collect::<Option<Vec<Named>>>().unwrap_or_default()
    }

    fn before(&self, anchors: &[&str]) -> Vec<Named> {
        let flat = &self.page.flat;
        for anchor in anchors {
            let found: Vec<Named> = flat
                .match_indices(anchor)
                .flat_map(|(at, _)| {
                    let start = floor(flat, at.saturating_sub(NEAR));
                    last_listed(&flat[start..at])
                })
                .take(MAX_NAMED)
                .map(Named::new)
                .collect();
            let found = self.wanted(found);
            if !found.is_empty() {
                return found;
            }
        }
        vec![]
    }

    fn only(&self) -> Vec<Named> {
        self.only_of(&self.page.flat)
    }

    fn only_of(&self, text: &str) -> Vec<Named> {
        let named = self.wanted(addresses(text).into_iter().map(Named::new).collect());
        if named.len() == 1 && !self.has_got(&named[0].address) { named } else { vec![] }
    }

    /// Whether the report was sent to him.
    fn has_got(&self, address: &Address) -> bool {
        self.message.to.iter().any(|to| to.address == *address)
    }

    fn of_field(&self, name: &str) -> Vec<Named> {
        let value = self.message.header(name).unwrap_or_default();
        list::addresses(value.as_bytes()).into_iter().map(|n| Named::new(n.address)).collect()
    }

    /// Each once, without those who cannot be meant: the mail system itself, and whoever got the report, unless he wrote to
    /// himself.
    fn wanted(&self, mut named: Vec<Named>) -> Vec<Named> {
        let is_sent_to = |address: &Address| self.sent_to.contains(address);
        let from = self.message.from.as_ref().map(|f| &f.address);
        let is_meant = |n: &Named| n.is_answered && from != Some(&n.address);
        named.retain(|n| is_sent_to(&n.address) || is_meant(n) || !self.is_system(&n.address));
        let mut seen: Vec<Address> = vec![];
        named.retain(|n| {
            let is_new = !seen.contains(&n.address);
            if is_new {
                seen.push(n.address.clone());
            }
            is_new
        });
        if named.len() > 1 {
            let got: Vec<&Address> = self.message.to.iter().map(|n| &n.address).collect();
            let is_other = |n: &Named| is_sent_to(&n.address) || !got.contains(&&n.address);
            if named.iter().any(is_other) {
                named.retain(is_other);
            }
        }
        named
    }

    fn is_system(&self, address: &Address) -> bool {
        let from = self.message.from.as_ref().map(|f| &f.address);
        from == Some(address)
            || matches!(address.local(), "postmaster" | "mailer-daemon" | "abuse" | "hostmaster" | "helpdesk")
    }
}

/// The address right behind some words, and those that are listed with it: `<a@b>, <c@d> and <e@f>`.
fn listed(piece: &str) -> Vec<Address> {
    let (mut found, mut rest, mut gap) = (vec![], piece, 40);
    while let Some((address, range)) = first_address(rest) {
        if range.start > gap || rest[..range.start].contains(". ") {
            break;
        }
        found.push(address);
        rest = rest[range.end..].trim_start_matches(['>', '"', '\'', ',', ';', ' ']);
        rest =
            [" and ", "and ", "und ", "et ", "y "].iter().find_map(|w| rest.strip_prefix(w)).unwrap_or(rest);
        gap = 1;
    }
    found
}

/// `......: <a@b>` behind a label: the value.
fn behind_colon(rest: &str) -> Option<&str> {
    let bare = rest.trim_start_matches([' ', '\t', '.', '\u{3000}']);
    bare.strip_prefix(':').or_else(|| bare.strip_prefix('：')).or_else(|| bare.strip_prefix('='))
}

/// The last address of a piece with those that it is listed with.
fn last_listed(piece: &str) -> Vec<Address> {
    let mut rest = piece;
    while let Some((_, range)) = first_address(rest) {
        let list = listed(&rest[range.start..]);
        let Some(last) = list.last() else { break };
        if addresses(rest).last() == Some(last) {
            return list;
        }
        rest = &rest[range.end..];
    }
    vec![]
}

/// `<a@b>: words`, `<a@b>... words`, or `<a@b>` alone with its words below.
fn is_led_in(line: &str, rest: &str) -> bool {
    let line = line.trim_start();
    let is_bracketed = line.starts_with('<');
    let behind = rest.trim_start();
    rest.starts_with([':', ';'])
        || rest.starts_with("...")
        || behind.starts_with("->")
        || behind.starts_with("=>")
        || starts_answer(behind)
        || (rest.is_empty() && line.trim_end().ends_with('>'))
        || (is_bracketed && (rest.trim().is_empty() || rest.starts_with(" (") || rest.starts_with(" :")))
}

/// Whether a line begins a list of those whom the mail has reached, or ends it; None: neither.
fn begins_arrivals(low: &str) -> Option<bool> {
    let is_heading = low.ends_with(':') && low.len() < 120;
    let is_failure =
        || ["fail", "not ", "n't", "undeliver", "error", "unsuccessful"].iter().any(|w| low.contains(w));
    let is_arrival = || ["successful", "succeeded"].iter().any(|w| low.contains(w));
    match is_heading {
        true if is_failure() => Some(false),
        true if is_arrival() => Some(true),
        _ => None,
    }
}

/// `pipe to |/usr/bin/filter`
fn is_of_program(low: &str) -> bool {
    ["pipe to ", "save to ", "autoreply to "].iter().any(|words| low.starts_with(words))
}

/// `: host mx.example.com said: 550 …`, `... 550 5.1.1 …`
fn is_answer(rest: &str) -> bool {
    (rest.starts_with(':') || rest.starts_with("...")) && (reply_in(rest).is_some() || rest.contains("said"))
}

impl Named {
    fn new(address: Address) -> Named {
        Named { address, is_answered: false, words: String::new() }
    }

    fn add(&mut self, line: &str) {
        let line = line.trim();
        if !line.is_empty() && self.words.len() < WORDS_LIMIT {
            if !self.words.is_empty() {
                self.words.push('\n');
            }
            self.words.push_str(clip(line, WORDS_LIMIT));
        }
    }
}

/// At most so many bytes, whole characters.
pub(super) fn clip(text: &str, limit: usize) -> &str {
    &text[..floor(text, limit)]
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
