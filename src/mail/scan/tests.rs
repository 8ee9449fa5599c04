use std::io::{BufReader, Read};

use proptest::prelude::*;

use super::*;
use crate::mail::{Message, parse};

fn skeleton(raw: &[u8]) -> Skeleton {
    scan(&mut &raw[..]).expect("a slice has no read errors")
}

fn leaves(skeleton: &Skeleton) -> Vec<(&str, &[u8])> {
    let leaves = skeleton.parts.iter().filter(|p| !p.is_multipart);
    leaves.map(|p| (p.content_type.as_str(), &skeleton.bytes[p.body.clone()])).collect()
}

const MIXED: &str = "Subject: s\n\
    Content-Type: multipart/mixed; boundary=b\n\
    \n\
    preamble\n\
    --b\n\
    Content-Type: text/plain\n\
    \n\
    one\n\
    two\n\
    --b\n\
    Content-Type: application/pdf\n\
    Content-Transfer-Encoding: base64\n\
    \n\
    aGVsbG8g\n\
    d29ybGQ=\n\
    --b--\n\
    epilogue\n";

#[test]
fn text_is_kept_and_attachments_are_measured() {
    for raw in [MIXED.to_owned(), MIXED.replace('\n', "\r\n")] {
        let skeleton = skeleton(raw.as_bytes());
        let eol = if raw.contains('\r') { "\r\n" } else { "\n" };
        let text = format!("one{eol}two");
        assert_eq!(leaves(&skeleton), [("text/plain", text.as_bytes()), ("application/pdf", b"")]);
        let pdf = &skeleton.parts[2];
        assert_eq!(pdf.span.of(raw.as_bytes()), format!("aGVsbG8g{eol}d29ybGQ=").as_bytes());
        assert_eq!((pdf.size, pdf.is_whole), (11, false));
        assert_eq!((skeleton.size, skeleton.defects.as_slice()), (raw.len() as u64, [].as_slice()));
    }
}

#[test]
fn broken_structure_is_read_and_named() {
    use Defect::*;
    let part = "Content-Type: text/html\n\nx";
    for (raw, expected, defects) in [
        // A closing boundary that is missing.
        (
            format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{part}"),
            "text/html x",
            vec![UnclosedMultipart],
        ),
        // A boundary that nobody stated, and one that is stated and never comes.
        (format!("Content-Type: multipart/mixed\n\n--b\n{part}\n--b--\n"), "text/html x", vec![NoBoundary]),
        (
            "Content-Type: multipart/mixed; boundary=b\n\nwords\n".into(),
            "text/plain words",
            vec![UnclosedMultipart],
        ),
        // A signature and a ruler are no boundaries.
        (
            "Content-Type: multipart/mixed\n\na\n-- \nb\n----\n".into(),
            "text/plain a\n-- \nb\n----",
            vec![NoBoundary, UnclosedMultipart],
        ),
        // An inner multipart that the outer boundary ends.
        (
            format!(
                "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n{part}\n--o\n\ny\n--o--\n"
            ),
            "text/html x|text/plain y",
            vec![UnclosedMultipart],
        ),
        // Parts behind the closing boundary.
        (
            format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{part}\n--b--\n--b\n\ny\n--b--\n"),
            "text/html x|text/plain y",
            vec![],
        ),
        // One boundary on two levels.
        (
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{part}\n--b--\n--b--\n"
            ),
            "text/html x",
            vec![],
        ),
        // A boundary that begins like another.
        (
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n{part}\n--bb--\n--b--\n"
            ),
            "text/html x",
            vec![],
        ),
        // A part without header block and one without body.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nwords\n--b\nContent-Type: text/html\n--b--\n"
                .into(),
            "text/plain words|text/html ",
            vec![],
        ),
        // No blank line before the body.
        ("Subject: s\nHello there\n\nwords\n".into(), "text/plain Hello there\n\nwords", vec![]),
        (format!("Content-Type: multipart/mixed; boundary=b\n--b\n{part}\n--b--\n"), "text/html x", vec![]),
        // A folded line that lost its white space is no body.
        ("X: a\nlost fold here\nContent-Type: text/html\n\nwords\n".into(), "text/html words", vec![]),
        // No header at all, nothing at all, a separator of an mbox.
        ("Hello there\n".into(), "text/plain Hello there", vec![NoHeaders]),
        (String::new(), "text/plain ", vec![NoHeaders]),
        ("From a@x.test Mon Jan  1 00:00:00 2001\nSubject: s\n\nwords".into(), "text/plain words", vec![]),
    ] {
        let skeleton = skeleton(raw.as_bytes());
        let found: Vec<String> = leaves(&skeleton)
            .iter()
            .map(|(kind, body)| format!("{kind} {}", String::from_utf8_lossy(body)))
            .collect();
        assert_eq!(found.join("|"), expected, "{raw}");
        assert_eq!(skeleton.defects, defects, "{raw}");
    }
}

#[test]
fn a_forwarded_message_is_one_attachment_and_a_returned_one_is_kept_in_part() {
    let inner = "Subject: inner\n\nwords\n";
    let mixed = |kind: &str| {
        format!("Content-Type: {kind}; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n{inner}--b--\n")
    };
    let forwarded = mixed("multipart/mixed");
    let skeleton_of_forwarded = skeleton(forwarded.as_bytes());
    assert_eq!(leaves(&skeleton_of_forwarded), [("message/rfc822", &b""[..])]);
    assert_eq!(skeleton_of_forwarded.parts[1].span.of(forwarded.as_bytes()), inner.trim_end().as_bytes());
    let returned = skeleton(mixed("multipart/report").as_bytes());
    assert_eq!(leaves(&returned), [("message/rfc822", inner.trim_end().as_bytes())]);
}

/// Bytes made on the fly: a beginning, then a piece again and again.
fn endless(head: &str, piece: &str, size: u64) -> impl Read {
    struct Again(Vec<u8>, usize);
    impl Read for Again {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let rest = &self.0[self.1..];
            let count = rest.len().min(buf.len());
            buf[..count].copy_from_slice(&rest[..count]);
            self.1 = (self.1 + count) % self.0.len();
            Ok(count)
        }
    }
    let head = std::io::Cursor::new(head.as_bytes().to_vec());
    // Whole pages, so that the source is not what the test measures.
    head.chain(Again(piece.repeat(1 + 65536 / piece.len()).into_bytes(), 0)).take(size)
}

fn bytes_held(skeleton: &Skeleton, message: &Message) -> usize {
    let parts: usize = skeleton.parts.iter().map(|p| size_of::<Part>() + p.content_type.capacity()).sum();
    let headers: usize =
        message.headers.iter().map(|h| size_of_val(h) + h.name.capacity() + h.value.capacity()).sum();
    let attachments: usize = message.attachments.iter().map(|a| size_of_val(a) + a.name.capacity()).sum();
    skeleton.bytes.capacity() + parts + headers + attachments + message.text.capacity()
}

#[test]
fn a_message_of_any_weight_takes_little_memory() {
    let multipart = "Content-Type: multipart/mixed; boundary=b\n\n--b\n";
    let attachment = format!("{multipart}Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n");
    let part =
        format!("--b\nContent-Type: text/plain; name=\"{}\"\n\n{}\n", "n".repeat(3000), "x".repeat(20_000));
    let base64 = format!("{}\r\n", "QUJD".repeat(19));
    for (head, piece, defect) in [
        ("", "X-Header: a value of some length\n", Some(Defect::HeadersTruncated)),
        ("X: ", "endless ", Some(Defect::HeadersTruncated)),
        ("Subject: s\n\n", "a long line without an end", Some(Defect::TextTruncated)),
        ("Subject: s\n\n", "\n", None),
        (attachment.as_str(), base64.as_str(), Some(Defect::UnclosedMultipart)),
        (multipart, "\n--b\n", Some(Defect::TooManyParts)),
        (multipart, part.as_str(), Some(Defect::TooManyParts)),
        (multipart, "--b\nContent-Type: multipart/mixed; boundary=b\n\n", Some(Defect::TooDeep)),
        ("", "Content-Type: message/rfc822\n\n", None),
        ("", "--not-a-boundary\n", Some(Defect::NoHeaders)),
    ] {
        // Three times what may be held; a hundred megabytes are held no differently and take a debug build long.
        let size = 30_000_000;
        let skeleton = scan(&mut BufReader::with_capacity(1 << 16, endless(head, piece, size))).unwrap();
        let message = parse(&skeleton);
        assert_eq!(skeleton.size, size);
        let held = bytes_held(&skeleton, &message);
        assert!(held < 10_000_000, "{held} bytes for {:.40}", piece);
        assert!(defect.is_none_or(|d| message.defects.contains(&d)), "{:.40}: {:?}", piece, message.defects);
    }
}

#[test]
fn nesting_without_end_does_no_harm_on_a_small_stack() {
    let rfc822 = "Content-Type: message/rfc822\n\n".repeat(50_000);
    let report = format!("Content-Type: multipart/report; boundary=b\n\n--b\n{rfc822}");
    let digest = "Content-Type: multipart/digest; boundary=b\n\n--b\n\n".repeat(50_000);
    let nested: String = (0..50_000)
        .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"))
        .chain(["\nwords\n".to_owned()])
        .collect();
    let on_small_stack = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for raw in [rfc822, report, digest, nested] {
            parse(&skeleton(raw.as_bytes()));
        }
    });
    on_small_stack.unwrap().join().unwrap();
}

#[test]
fn depth_is_followed_to_its_limit() {
    for (depth, is_found) in [(60, true), (100, true), (101, false)] {
        let heads: String =
            (0..depth).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n")).collect();
        let message = parse(&skeleton(format!("{heads}\nwords\n").as_bytes()));
        assert_eq!(message.text == "words", is_found, "{depth}");
        assert_eq!(message.defects.contains(&Defect::TooDeep), !is_found, "{depth}");
        assert_eq!(message.attachments.len(), usize::from(!is_found), "{depth}");
    }
}

#[test]
fn a_text_that_is_too_big_is_shown_in_part_and_attached_whole() {
    let raw = format!("Subject: s\n\n{}", "some words ".repeat(200_000));
    let message = parse(&skeleton(raw.as_bytes()));
    assert!(message.text_truncated && message.text.starts_with("some words"));
    assert!(message.text.len() <= TEXT_LIMIT && message.text.len() > TEXT_LIMIT - 1000);
    let [attachment] = message.attachments.as_slice() else { panic!("{:?}", message.attachments) };
    assert_eq!((attachment.span.offset, attachment.size), (12, 2_200_000));
    assert!(message.defects.contains(&Defect::TextTruncated));
}

/// What was kept of a message with bare CRs has LFs in their place.
fn as_lines(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| if *b == b'\r' { b'\n' } else { *b }).collect()
}

#[test]
fn a_message_that_ends_its_lines_with_bare_returns_is_read_like_others() {
    for raw in [
        MIXED.to_owned(),
        MIXED.replace("--b--\nepilogue\n", ""),
        MIXED.replace("one\n", "begin 644 a\n#8V%T\n`\nend\n"),
        MIXED
            .replace("text/plain\n", "text/plain\nContent-Transfer-Encoding: quoted-printable\n")
            .replace("one", "o=\nne"),
        format!("{MIXED}{}", "word ".repeat(4000)),
    ] {
        let old = raw.replace('\n', "\r");
        let (as_usual, of_old) = (skeleton(raw.as_bytes()), skeleton(old.as_bytes()));
        assert_eq!(of_old, as_usual, "{raw}");
        let (as_usual, of_old) = (parse(&as_usual), parse(&of_old));
        assert_eq!((&of_old.subject, &of_old.text), (&as_usual.subject, &as_usual.text));
        assert_eq!(of_old.attachments, as_usual.attachments);
        for file in &of_old.attachments {
            let decoded = crate::mail::decode::decode_span(file.span.of(old.as_bytes()), file.span.encoding);
            assert_eq!(decoded.len() as u64, file.size, "{file:?}");
        }
    }
}

#[test]
fn the_first_line_says_how_lines_end() {
    for (raw, subject, text) in [
        ("Subject: s\rX: a\r\tb\r\rone\rtwo\r", "s", "one\ntwo"),
        // CRLF stays one line end among bare CRs.
        ("Subject: s\rX: a\r\n\r\none\r\n\rtwo\n", "s", "one\n\ntwo"),
        ("Subject: s\r\nX: a\n\none\rtwo\n", "s", "one\ntwo"),
        // Nobody hides a field behind a bare CR.
        ("X: y\r\nSubject: s\rFrom: a@b.test\r\n\r\none\r\n", "s From: a@b.test", "one"),
        ("Subject: s\r", "s", ""),
        ("\rone", "", "one"),
        ("\r", "", ""),
    ] {
        let message = parse(&skeleton(raw.as_bytes()));
        assert_eq!((message.subject.as_str(), message.text.as_str()), (subject, text), "{raw:?}");
        assert!(!message.headers.iter().any(|h| h.name == "From"), "{raw:?}");
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"-".to_vec()),
        Just(b"--b\n".to_vec()),
        Just(b"--b--\r\n".to_vec()),
        Just(b"\n--bb\n".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=b\n\n".to_vec()),
        Just(b"Content-Type: multipart/alternative; boundary=\"bb\"\r\n\r\n".to_vec()),
        Just(b"Content-Type: multipart/report; report-type=delivery-status\n\n".to_vec()),
        Just(b"Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; <a@x.test>\n".to_vec()),
        Just(b"Content-Type: text/html; charset=utf-16\n".to_vec()),
        Just(b"Content-Type: message/rfc822\n\n".to_vec()),
        Just(b"Content-Transfer-Encoding: base64\n".to_vec()),
        Just(b"Content-Transfer-Encoding: quoted-printable\n".to_vec()),
        Just(b"Content-Disposition: attachment; filename*0*=utf-8''%e4; filename*1=\"x\n".to_vec()),
        Just(b"From: \"=?utf-8?Q?=C3?= <a@x.test>, (b) c@d;\n".to_vec()),
        Just(b"Date: 99 -1 Feb 1:2:3 +99\nSubject: =?x?B?/?= =?\n".to_vec()),
        Just(b"Received: for <a@b> for\nReturn-Path: <>\nReferences: <a@b> <\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
        "[ -~]{0,20}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn where_the_reads_end_makes_no_difference(raw in pieces(), capacity in 1usize..40) {
        let whole = skeleton(&raw);
        prop_assert_eq!(&scan(&mut BufReader::with_capacity(capacity, raw.as_slice())).unwrap(), &whole);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(raw in pieces()) {
        let skeleton = skeleton(&raw);
        let message = parse(&skeleton);
        prop_assert!(!message.defects.contains(&Defect::ParserPanicked));
        prop_assert_eq!(skeleton.size, raw.len() as u64);
        for part in skeleton.parts.iter().filter(|p| !p.is_multipart) {
            prop_assert!(part.span.offset + part.span.length <= skeleton.size);
            let decoded = crate::mail::decode::decode_span(part.span.of(&raw), part.span.encoding);
            prop_assert_eq!(decoded.len() as u64, part.size);
            let kept = as_lines(&skeleton.bytes[part.body.clone()]);
            prop_assert!(as_lines(part.span.of(&raw)).starts_with(&kept));
        }
        let strings = message.headers.iter().map(|h| &h.value).chain([&message.subject, &message.text]);
        prop_assert!(strings.into_iter().all(|s| !s.contains('\0')));
    }
}
