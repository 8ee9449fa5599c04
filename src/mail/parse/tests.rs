use super::*;
use crate::clock::Micros;
use crate::mail::scan;

fn message(raw: impl AsRef<[u8]>) -> Message {
    parse(&scan(&mut raw.as_ref()).expect("a slice has no read errors"))
}

fn joined<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_field_of_a_good_mail_is_read() {
    let m = message(
        "Return-Path: <Bounce@x.test>\r\n\
         Delivered-To: support@y.test\r\n\
         Received: from a by b (for nobody) with SMTP id 1\r\n\tfor <Alias@y.test>; Fri, 13 Feb 2009 23:31:30 +0000\r\n\
         X-Original-To: alias@y.test\r\n\
         From: =?utf-8?Q?J=C3=B6?= <jo@x.test>\r\n\
         Sender: desk@x.test\r\n\
         Reply-To: list@x.test\r\n\
         To: Support <support@y.test>, b@y.test\r\n\
         Cc: Team: c@y.test, d@y.test;\r\n\
         Bcc: e@y.test\r\n\
         Subject: =?utf-8?B?w6k=?=\r\n =?utf-8?B?w6k=?= rest\r\n\
         Message-ID: <1@x.test>\r\n\
         In-Reply-To: <0@x.test>\r\n\
         References: <a@x.test>\r\n\t<0@x.test>\r\n\
         Date: Fri, 13 Feb 2009 23:31:30 +0000\r\n\
         X-Thing: one\r\n two\r\n\
         \r\n\
         words\r\n",
    );
    assert_eq!(m.return_path, ReturnPath::Address(Address::parse("bounce@x.test").unwrap()));
    assert_eq!(joined(&m.envelope_to), "support@y.test alias@y.test");
    let from = m.from.as_ref().unwrap();
    assert_eq!((from.name.as_str(), from.address.as_str()), ("Jö", "jo@x.test"));
    assert_eq!(m.sender.as_ref().unwrap().address.as_str(), "desk@x.test");
    assert_eq!(joined(m.reply_to.iter().map(|a| &a.address)), "list@x.test");
    assert_eq!(joined(m.to.iter().map(|a| &a.address)), "support@y.test b@y.test");
    assert_eq!(joined(m.cc.iter().map(|a| &a.address)), "c@y.test d@y.test");
    assert_eq!(joined(m.bcc.iter().map(|a| &a.address)), "e@y.test");
    assert_eq!(m.subject, "éé rest");
    assert_eq!(m.message_id.as_ref().unwrap().as_str(), "1@x.test");
    assert_eq!(joined(&m.in_reply_to), "0@x.test");
    assert_eq!(joined(&m.references), "a@x.test 0@x.test");
    assert_eq!(m.date, Some(Micros::from_seconds(1_234_567_890)));
    assert_eq!(m.header("x-thing"), Some("one two"));
    assert_eq!(m.text, "words");
    assert!(m.defects.is_empty() && m.attachments.is_empty() && m.report.is_none(), "{:?}", m.defects);
}

#[test]
fn the_first_of_two_single_fields_counts() {
    let m = message("Subject: one\nFrom: a@x.test\nSubject: two\nFrom: b@x.test\n\ntext\n");
    assert_eq!((m.subject.as_str(), m.from.unwrap().address.as_str()), ("one", "a@x.test"));
    assert_eq!(m.defects, [Defect::DuplicateHeader]);
}

#[test]
fn the_author_is_the_one_who_sent() {
    for (head, expected) in [
        ("From: a@x.test, b@x.test\nSender: b@x.test", Some("b@x.test")),
        ("From: a@x.test, b@x.test\nSender: c@x.test", Some("a@x.test")),
        ("From: a@x.test, b@x.test", Some("a@x.test")),
        ("From: nobody\nFrom: b@x.test", Some("b@x.test")),
        ("From: Mail Delivery Subsystem <MAILER-DAEMON>", None),
        ("Sender: a@x.test", None),
    ] {
        let m = message(format!("{head}\n\n"));
        assert_eq!(m.from.as_ref().map(|f| f.address.as_str()), expected, "{head}");
        assert_eq!(m.defects.contains(&Defect::NoFrom), expected.is_none(), "{head}");
    }
}

#[test]
fn return_paths_are_absent_null_or_an_address() {
    for (head, expected) in [
        ("X: y", ReturnPath::Absent),
        ("Return-Path:", ReturnPath::Absent),
        ("Return-Path: <>", ReturnPath::Null),
        ("Return-Path: < >", ReturnPath::Null),
        ("Return-Path: <MAILER-DAEMON>", ReturnPath::Null),
        ("Return-Path: a@x.test", ReturnPath::Address(Address::parse("a@x.test").unwrap())),
    ] {
        assert_eq!(message(format!("{head}\n\n")).return_path, expected, "{head}");
    }
}

#[test]
fn references_are_found_and_bounded() {
    for (value, expected) in [
        ("<a@x> <b@x>", "a@x b@x"),
        ("<a@x><b@x>", "a@x b@x"),
        ("Your message of Monday <a@x> \"words\"", "a@x"),
        ("a@x b@x", "a@x b@x"),
        ("<a\n @x>", "a@x"),
        ("<a@x> <a@x>", "a@x"),
        ("<open@x", ""),
        ("none", ""),
    ] {
        assert_eq!(joined(message(format!("References: {value}\n\n")).references), expected, "{value}");
    }
    let many: String = (0..500).map(|i| format!("<{i}@x>\n ")).collect();
    let found = message(format!("References: {many}\n\n")).references;
    assert_eq!((found.len(), found[0].as_str(), found[199].as_str()), (200, "300@x", "499@x"));
}

#[test]
fn nothing_a_database_or_a_page_would_choke_on_comes_through() {
    let m = message(
        "Subject: a\0b\x07c\nFrom: \"J\0o\x1b\" <a@x.test>\nX-\0: y\0\nMessage-ID: <a\0@x>\n\na\0b\r\nc\rd\n",
    );
    assert_eq!((m.subject.as_str(), m.text.as_str()), ("ab c", "ab\nc\nd"));
    assert_eq!(m.from.unwrap().name, "Jo");
    assert_eq!(m.message_id.unwrap().as_str(), "a@x");
    assert!(m.headers.iter().all(|h| !h.name.contains('\0') && !h.value.contains('\0')));
}

#[test]
fn what_the_reader_cannot_do_is_read_plainly() {
    let raw = "From: Jo <a@x.test>\nSubject: s\nMessage-ID: <1@x>\n\nwo\0rds\n";
    let m = plainly(&scan(&mut raw.as_bytes()).unwrap());
    assert_eq!((m.subject.as_str(), m.text.as_str()), ("s", "words"));
    assert_eq!(m.from.unwrap().address.as_str(), "a@x.test");
    assert_eq!(m.message_id.unwrap().as_str(), "1@x");
    assert_eq!(m.defects, [Defect::ParserPanicked]);
}

/// The kinds of broken mail that the benchmark sends, each with what must be read all the same.
#[test]
fn broken_mails_are_read() {
    use Defect::*;
    let nested = (0..60).fold("Content-Type: text/plain\n\nhello\n".to_owned(), |inner, i| {
        format!("Content-Type: multipart/mixed; boundary=n{i}\n\n--n{i}\n{inner}\n--n{i}--\n")
    });
    let plain = |cs: &str| format!("Content-Type: text/plain; charset={cs}\n\n");
    let alternative =
        "--b\nContent-Type: text/plain\n\nhello\n--b\nContent-Type: text/html\n\n<p>hello</p>\n";
    let cases: Vec<(&str, Vec<u8>, &str, &[Defect])> = vec![
        (
            "unknown charset",
            [plain("x-made-up-99").as_bytes(), "hällo".as_bytes()].concat(),
            "hällo",
            &[UnknownCharset],
        ),
        ("not the UTF-8 it says", [plain("utf-8").as_bytes(), b"h\xe4llo"].concat(), "hällo", &[BadEncoding]),
        (
            "no closing boundary",
            format!("Content-Type: multipart/alternative; boundary=b\n\n{alternative}").into(),
            "hello",
            &[UnclosedMultipart],
        ),
        (
            "no boundary stated",
            format!("Content-Type: multipart/alternative\n\n{alternative}--b--\n").into(),
            "hello",
            &[NoBoundary],
        ),
        (
            "words in base64",
            b"Content-Transfer-Encoding: base64\n\naGVsbG8g\n*** no base64 ***\nd29ybGQ\n".to_vec(),
            "hello world",
            &[BadEncoding],
        ),
        ("koi8-r", [plain("koi8-r").as_bytes(), b"\xf0\xd2\xc9"].concat(), "При", &[]),
        ("iso-2022-jp", [plain("iso-2022-jp").as_bytes(), b"\x1b$B$3$s\x1b(B"].concat(), "こん", &[]),
        ("gb18030", [plain("gb18030").as_bytes(), b"\xc4\xe3"].concat(), "你", &[]),
        ("cp1252", [plain("cp1252").as_bytes(), b"\x93x\x94"].concat(), "“x”", &[]),
        ("NUL bytes", [plain("utf-8").as_bytes(), b"hel\0lo"].concat(), "hello", &[]),
        ("no body", b"\n".to_vec(), "", &[]),
        ("no blank line and no body", Vec::new(), "", &[]),
        ("no MIME, 8 bits", b"\nh\xe4llo".to_vec(), "hällo", &[]),
        ("deep nesting", nested.into(), "hello", &[]),
        ("bad date", b"Date: Foo, 99 Bar 20x6 77:88:99 -9999\n\nhello".to_vec(), "hello", &[BadDate]),
    ];
    for (name, tail, expected, defects) in cases {
        let m = message([b"From: a@x.test\n", tail.as_slice()].concat());
        assert_eq!((m.text.trim_end(), m.defects.as_slice()), (expected, defects), "{name}");
        assert!(m.attachments.is_empty(), "{name}");
    }
}

#[test]
fn raw_bytes_in_headers_are_read() {
    let m = message(b"From: \"M\xfcller\" <a@x.test>\nSubject: caf\xe9 \xfc\n\n");
    assert_eq!((m.subject.as_str(), m.from.unwrap().name.as_str()), ("café ü", "Müller"));
}
