//! Mail that somebody made to be a nuisance, and mail that was broken on its way: what can be read of it is.

use super::*;
use crate::mail::decode::decode_span;
use crate::mail::message::TEXT_LIMIT;
use crate::mail::scan;

fn message(raw: &[u8]) -> Message {
    let message = parse(&scan(&mut &raw[..]).expect("a slice has no read errors"));
    assert!(!message.defects.contains(&Defect::ParserPanicked));
    message
}

/// Sender, subject and text, which is what a person would look for.
fn read(raw: &str) -> (String, String, String) {
    let message = message(raw.as_bytes());
    let from = message.from.map(|from| from.address.to_string()).unwrap_or_default();
    (from, message.subject, message.text)
}

const HEAD: &str = "From: a@x.test\nSubject: s\n";

#[test]
fn lines_that_end_in_every_way_are_read() {
    let raw = "From: a@x.test\nSubject: s\n folded\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\ntwo\n--b--\n";
    let mut ends = ["\r\n", "\n"].into_iter().cycle();
    let mixed: String = raw.lines().flat_map(|line| [line, ends.next().unwrap_or_default()]).collect();
    for raw in [raw.to_owned(), raw.replace('\n', "\r\n"), raw.replace('\n', "\r"), mixed] {
        assert_eq!(read(&raw), ("a@x.test".into(), "s folded".into(), "one\ntwo".into()), "{raw:?}");
    }
    // A CR too many, as programs write that take CRLF for two characters.
    let doubled = raw.replace('\n', "\r\r\n");
    assert_eq!(message(doubled.as_bytes()).from.unwrap().address.as_str(), "a@x.test");
}

#[test]
fn what_is_missing_or_too_much_keeps_nobody_from_reading_the_rest() {
    let long = "w ".repeat(512 << 10);
    let fields: String = (0..10_000).map(|n| format!("X-{n}: v\n")).collect();
    let comments = format!("{}{}", "(".repeat(10_000), ")".repeat(10_000));
    for (name, raw, expected) in [
        ("header without body", HEAD.to_owned(), ("a@x.test", "s", "")),
        ("header without its last line end", "From: a@x.test\nSubject: s".into(), ("a@x.test", "s", "")),
        ("body without header", "\nOnly words.\n".into(), ("", "", "Only words.")),
        ("words alone", "Only words, no header.\n".into(), ("", "", "Only words, no header.")),
        (
            "NUL everywhere",
            "From: a@x\0.test\nSubject: \0s\0\n\nwo\0rds\n".into(),
            ("a@x.test", "s", "words"),
        ),
        ("a header line of a megabyte", format!("X: {long}\n{HEAD}\nwords"), ("", "", "words")),
        ("the same behind what counts", format!("{HEAD}X: {long}\n\nwords"), ("a@x.test", "s", "words")),
        ("10,000 fields", format!("{HEAD}{fields}\nwords"), ("a@x.test", "s", "words")),
        (
            "nested comments",
            format!("From: {comments} a@x.test\nSubject: s\n\nwords"),
            ("a@x.test", "s", "words"),
        ),
        (
            "comments that stay open",
            format!("Subject: s\nFrom: a@x.test {}\n\nwords", "(".repeat(50_000)),
            ("a@x.test", "s", "words"),
        ),
        (
            "no boundary ever comes",
            format!("{HEAD}Content-Type: multipart/mixed; boundary=b\n\nwords\n"),
            ("a@x.test", "s", "words"),
        ),
        (
            "a boundary that begins another",
            format!(
                "{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b-b\n\n--b-b\n\none\n--b-b--\n--b\n\ntwo\n--b--\n"
            ),
            ("a@x.test", "s", "one\n\ntwo"),
        ),
        (
            "base64 that breaks off",
            format!("{HEAD}Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybG"),
            ("a@x.test", "s", "hello worl"),
        ),
        (
            "an encoding that is none",
            format!("{HEAD}Content-Transfer-Encoding: 8-bits-or-so\n\nwords"),
            ("a@x.test", "s", "words"),
        ),
        (
            "quoted-printable that breaks off",
            format!("{HEAD}Content-Transfer-Encoding: quoted-printable\n\nwords=\n="),
            ("a@x.test", "s", "words"),
        ),
        (
            "a quote that stays open",
            format!("{HEAD}Content-Type: text/plain; charset=\"utf-8\n\nwords"),
            ("a@x.test", "s", "words"),
        ),
    ] {
        let (from, subject, text) = read(&raw);
        assert_eq!((from.as_str(), subject.as_str(), text.as_str()), expected, "{name}");
    }
}

#[test]
fn a_hundred_thousand_addresses_are_bounded() {
    let list: String = (0..100_000).map(|n| format!("<a{n}@x.test>,\n ")).collect();
    let message = message(format!("{HEAD}To: {list}b@x.test\n\nwords").as_bytes());
    assert_eq!((message.text.as_str(), message.subject.as_str()), ("words", "s"));
    assert!(message.to.len() <= 1000, "{}", message.to.len());
}

#[test]
fn a_line_of_megabytes_is_shown_in_part() {
    let message = message(format!("{HEAD}\n{}", "w".repeat(3 << 20)).as_bytes());
    assert!(message.text_truncated && message.text.len() <= TEXT_LIMIT);
    assert_eq!(message.attachments[0].size, 3 << 20);
}

#[test]
fn an_attachment_that_breaks_off_is_there_as_far_as_it_came() {
    let raw = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nwords\n--b\nContent-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\naGVsbG8g\nd29y"
    );
    let message = message(raw.as_bytes());
    let [file] = message.attachments.as_slice() else { panic!("{:?}", message.attachments) };
    assert_eq!((message.text.as_str(), file.name.as_str(), file.size), ("words", "a.png", 9));
    assert_eq!(decode_span(file.span.of(raw.as_bytes()), file.span.encoding), b"hello wor");
}
