//! What must hold of every input, whatever its bytes: the readers of mail, each with its rules as assertions. The fuzz
//! targets call these functions, and so does the landing tier with every input that is kept (`tests/it/fuzz.rs`).

mod form;
mod markup;

use std::io::BufReader;
use std::time::{Duration, Instant};

use maildesk::mail::decode::decode_span;
use maildesk::mail::message::TEXT_LIMIT;
use maildesk::mail::quoting::{self, Hint, Relation, Role};
use maildesk::mail::subject::{self, TagLine};
use maildesk::mail::{self, Defect, Message, Skeleton};
use maildesk::ticket::{LogEntryId, TicketId};
use maildesk::triage::{self, Clues, Explanation, Place, Rules};

/// A check of one input.
pub type Check = fn(&[u8]);

/// The targets by their names, which are those of the folders of their inputs.
pub const TARGETS: [(&str, Check); 5] =
    [("message", message), ("report", report), ("words", words), ("tnef", tnef), ("page", page)];

/// What an input of some ten kilobytes may take. A machine that stalls is no finding: the quickest of three tries counts.
const TIME_LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 250 });

/// The limits that the readers promise: multiparts within multiparts, parts, files in a part, bytes of a name.
const MAX_DEPTH: usize = 101;
const MAX_PARTS: usize = 1002;
const MAX_INSIDE: usize = 200;
const MAX_NAME: usize = 255;
const MAX_RECIPIENTS: usize = 1000;

/// A message as it comes: its skeleton, its words, its attachments.
pub fn message(raw: &[u8]) {
    let skeleton = within_time(|| scan(raw));
    let in_pieces = mail::scan(&mut BufReader::with_capacity(7, raw)).expect("a slice has no read errors");
    assert_eq!(in_pieces, skeleton, "where the reads end makes a difference");
    skeleton_holds(&skeleton, raw);
    message_holds(&within_time(|| mail::parse(&skeleton)), raw);
}

/// A report, in one of the forms in which reports come: the first byte says which.
pub fn report(bytes: &[u8]) {
    let raw = form::report(bytes);
    let message = mail::parse(&scan(&raw));
    message_holds(&message, &raw);
    let named = message.report.as_ref().map_or(&[][..], |r| &r.recipients);
    assert!(named.len() <= MAX_RECIPIENTS, "{} recipients", named.len());
    for one in named {
        assert!(one.status.is_empty() || is_status(&one.status), "status {:?}", one.status);
        assert!(one.reply_code.is_none_or(|c| (200..=599).contains(&c)), "reply {:?}", one.reply_code);
        let words = [&one.diagnostic, &one.words, &one.action];
        assert!(words.iter().all(|w| !w.contains('\0') && w.len() <= 64 << 10), "{one:?}");
    }
    let decision = within_time(|| triage::decide(&message, &Rules::default(), &Clues::none()));
    assert!(decision.bounces.len() <= named.len(), "more findings than recipients: {:?}", decision.bounces);
    assert!(decision.bounces.iter().all(|b| is_status(&b.status) && !b.class.is_empty()));
    assert!(!decision.trace.is_empty() && !decision.reason.is_empty());
    let said = Explanation::of(&message, &decision, &Place::default());
    let json = serde_json::to_string(&said).expect("an explanation is words and numbers");
    let again: Explanation = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(again, said);
}

/// RFC 3463 §2.
fn is_status(status: &str) -> bool {
    let digits = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    status.split('.').count() == 3 && status.split('.').all(digits) && status.starts_with(['2', '4', '5'])
}

/// A text: its charset and form, its new words, its subject. The first byte says in which form it stands in a mail.
pub fn words(bytes: &[u8]) {
    let Some((&form, rest)) = bytes.split_first() else { return };
    match form % 8 {
        6 => form::labelled(rest),
        7 => subject_holds(rest),
        form => form::text(form, rest),
    }
}

/// A winmail.dat; the six bytes with which each begins are put in front.
pub fn tnef(bytes: &[u8]) {
    let raw = form::tnef(bytes);
    message_holds(&within_time(|| mail::parse(&scan(&raw))), &raw);
}

/// A page: as text, and made safe for a screen.
pub fn page(bytes: &[u8]) {
    let html = String::from_utf8_lossy(bytes);
    let raw = form::page(&html);
    let message = within_time(|| mail::parse(&scan(&raw)));
    message_holds(&message, &raw);
    if !html.contains(['<', '&']) {
        assert_eq!(characters(&message.text), characters(&html), "a page without markup lost words");
    }
    let safe = within_time(|| mail::display::safe_html(&html));
    markup::is_safe(&safe);
    markup::is_safe(&mail::display::safe_html(&safe));
}

fn scan(raw: &[u8]) -> Skeleton {
    mail::scan(&mut &raw[..]).expect("a slice has no read errors")
}

fn skeleton_holds(skeleton: &Skeleton, raw: &[u8]) {
    assert_eq!(skeleton.size, raw.len() as u64);
    assert!(skeleton.parts.len() <= MAX_PARTS, "{} parts", skeleton.parts.len());
    assert!(skeleton.bytes.len() <= raw.len(), "more was kept than there is");
    for (index, part) in skeleton.parts.iter().enumerate() {
        let depth = std::iter::successors(part.parent, |p| skeleton.parts[*p].parent).count();
        assert!(depth <= MAX_DEPTH && part.parent.is_none_or(|p| p < index), "{depth} deep");
        if part.is_multipart {
            continue;
        }
        assert!(part.span.offset + part.span.length <= skeleton.size, "{:?}", part.span);
        let stands = part.span.of(raw);
        let kept = as_lines(&skeleton.bytes[part.body.clone()]);
        assert!(as_lines(stands).starts_with(&kept), "what was kept stands elsewhere");
        assert_eq!(decode_span(stands, part.span.encoding).len() as u64, part.size, "{:?}", part.span);
    }
}

/// What was kept of a message with bare CRs has LFs in their place.
fn as_lines(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| if *b == b'\r' { b'\n' } else { *b }).collect()
}

/// What holds of every message, whatever it is.
fn message_holds(message: &Message, raw: &[u8]) {
    assert!(!message.defects.contains(&Defect::ParserPanicked), "the reader panicked");
    assert!(message.text.len() <= TEXT_LIMIT && !message.text.contains('\0'));
    assert!(!message.subject.contains(char::is_control), "{:?}", message.subject);
    assert!(message.headers.iter().all(|h| !h.name.contains('\0') && !h.value.contains(char::is_control)));
    assert!(message.attachments.len() <= MAX_PARTS * MAX_INSIDE);
    for file in &message.attachments {
        let is_bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
        assert!(file.name.len() <= MAX_NAME && !file.name.contains(is_bad), "named {:?}", file.name);
        assert!(file.span.offset + file.span.length <= raw.len() as u64, "{:?}", file.span);
        let bytes = decode_span(file.span.of(raw), file.span.encoding);
        assert_eq!(bytes.len() as u64, file.size, "the size of {file:?}");
    }
    for relation in [Relation::Answer, Relation::Forward, Relation::Own] {
        split_holds(&message.text, &message.hints, relation);
    }
}

/// New words and marked rest are the whole text, cut between characters.
fn split_holds(text: &str, hints: &[Hint], relation: Relation) {
    let mut end = 0;
    for hint in hints {
        assert!(hint.start >= end && hint.end >= hint.start && hint.end <= text.len(), "{hints:?}");
        assert!(text.is_char_boundary(hint.start) && text.is_char_boundary(hint.end), "{hint:?}");
        end = hint.end;
    }
    let split = within_time(|| quoting::split(text, hints, relation));
    let (mut shown, mut signed, mut end) = (String::new(), String::new(), 0);
    for piece in &split.pieces {
        assert_eq!(piece.start, end, "a gap, or pieces that overlap");
        assert!(piece.end >= piece.start && text.is_char_boundary(piece.end), "{piece:?}");
        match piece.role {
            Role::New | Role::Answered => shown.push_str(&text[piece.start..piece.end]),
            Role::Signature | Role::Disclaimer => signed.push_str(&text[piece.start..piece.end]),
            _ => {}
        }
        end = piece.end;
    }
    assert_eq!(end, text.len(), "words were lost");
    assert_eq!(without_space(&split.visible), without_space(&shown), "the new words are not the new pieces");
    assert!(without_space(&signed).ends_with(&without_space(&split.signature)), "{:?}", split.signature);
    assert_eq!(text.trim().is_empty(), split.visible.trim().is_empty(), "nothing is left to read");
}

/// A tag line is put in front of a subject once, and no other way of writing one of ours survives.
fn subject_holds(bytes: &[u8]) {
    let one_line: Vec<u8> = bytes.iter().filter(|b| !matches!(b, b'\r' | b'\n')).copied().collect();
    let raw = [b"Subject: ", one_line.as_slice(), b"\n\nwords\n"].concat();
    let message = mail::parse(&scan(&raw));
    message_holds(&message, &raw);
    let words = ["Support", "First Line"];
    let line = TagLine { word: words[1].into(), ticket: TicketId(7), log_entry: LogEntryId(9) };
    let once = within_time(|| subject::with_tag(&line, &message.subject, &words));
    let is_ours = |found: &TagLine| words.iter().any(|w| w.eq_ignore_ascii_case(&found.word));
    let found: Vec<TagLine> = subject::find_tags(&once).into_iter().filter(is_ours).collect();
    assert_eq!(found, std::slice::from_ref(&line), "{once:?}");
    assert_eq!(subject::with_tag(&line, &once, &words), once, "cleaned twice");
}

fn without_space(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Letters and digits, which no form of a text may lose.
fn characters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn within_time<T>(what: impl Fn() -> T) -> T {
    for _ in 0..2 {
        let started = Instant::now();
        let done = what();
        if started.elapsed() < TIME_LIMIT {
            return done;
        }
    }
    let started = Instant::now();
    let done = what();
    assert!(started.elapsed() < TIME_LIMIT, "three times over {TIME_LIMIT:?}: {:?}", started.elapsed());
    done
}
