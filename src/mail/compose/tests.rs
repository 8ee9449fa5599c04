use mail_parser::{MessageParser, MimeHeaders};

use super::*;
use crate::mail::Address;
use crate::mail::transfer::Recoder;

fn who(name: &str, address: &str) -> NamedAddress {
    NamedAddress { name: name.into(), address: Address::parse(address).unwrap() }
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn draft() -> Draft {
    Draft {
        from: who("Support", "support@example.com"),
        to: vec![who("Ada Lovelace", "ada@example.org"), who("", "boss@example.org")],
        reply_to: None,
        subject: "[Support #1-2] printer".into(),
        text: "Hello,\n\nwe look after it.\n.\n..x\n".into(),
        html: String::new(),
        message_id: id("<md.17.1.00ff@example.com>"),
        in_reply_to: Some(id("<b@example.org>")),
        references: vec![id("<a@example.org>"), id("<b@example.org>")],
        date: Micros::from_seconds(1_772_357_400),
        boundary_seed: [7; 16],
        auto: Auto::No,
        desk_mark: "desk-1".into(),
        attachments: Vec::new(),
    }
}

/// Raw mail that the spans below point into.
const RAW: &[u8] = b"xxQUJDREVG\nR0hJYY identity \x00\xff bytes zzcaf=C3=A9\n";

fn attached(name: &str, content_type: &str, at: (u64, u64), encoding: Encoding) -> AttachedSpan {
    AttachedSpan {
        name: name.into(),
        content_type: content_type.into(),
        is_inline: false,
        arrival: ArrivalId(3),
        span: Span { offset: at.0, length: at.1, encoding },
        size: 9,
    }
}

fn full() -> Draft {
    let identity = RAW.windows(2).position(|w| w == b"YY").unwrap() as u64 + 2;
    let quoted = RAW.windows(2).position(|w| w == b"zz").unwrap() as u64 + 2;
    Draft {
        subject: "[Support #1-2] Grüße aus Köln, und noch viele weitere Wörter über die Zeile hinaus".into(),
        text: "Grüße\n".into(),
        html: "<p>Grüße</p>\n".into(),
        reply_to: Some(who("Ünï \"quoted\"", "support+1@example.com")),
        auto: Auto::Replied,
        attachments: vec![
            attached("résumé \"1\".pdf", "application/pdf", (2, 13), Encoding::Base64),
            attached("", "message/rfc822", (identity, quoted - identity - 2), Encoding::Identity),
            attached("note.txt", "text/plain", (quoted, 10), Encoding::QuotedPrintable),
        ],
        ..draft()
    }
}

/// The bytes as the sender would write them, spans resolved in `RAW`.
fn bytes_of(composed: &Composed) -> Vec<u8> {
    let (mut out, mut literal) = (Vec::new(), composed.literal.as_slice());
    for segment in &composed.segments {
        match *segment {
            Segment::Literal(length) => {
                let (piece, rest) = literal.split_at(length as usize);
                out.extend_from_slice(piece);
                literal = rest;
            }
            Segment::Raw { offset, length, encoding, .. } => {
                let mut recoder = Recoder::new(encoding);
                recoder.push(&RAW[offset as usize..(offset + length) as usize], &mut out);
                recoder.finish(&mut out);
            }
        }
    }
    assert!(literal.is_empty());
    out
}

fn text_of(draft: &Draft) -> String {
    String::from_utf8(bytes_of(&compose(draft))).expect("7 bit").replace("\r\n", "\n")
}

#[test]
fn a_text_mail_as_it_goes_out() {
    insta::assert_snapshot!(text_of(&draft()));
}

#[test]
fn a_mail_with_everything_as_it_goes_out() {
    insta::assert_snapshot!(text_of(&full()));
}

#[test]
fn the_same_draft_gives_the_same_bytes() {
    let (a, b) = (compose(&full()), compose(&full()));
    assert_eq!(a, b);
    let other = compose(&Draft { boundary_seed: [8; 16], ..full() });
    assert_ne!(a.digest, other.digest);
}

#[test]
fn lines_end_in_crlf_and_are_7_bit_and_short() {
    let bytes = bytes_of(&compose(&full()));
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_ascii() && text.ends_with("\r\n"));
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
    }
}

#[test]
fn the_segments_are_what_the_outbox_says() {
    let json = serde_json::to_string(&compose(&full()).segments[..2]).unwrap();
    assert!(json.starts_with(r#"[{"literal":"#), "{json}");
    assert!(json.ends_with(r#"{"raw":{"arrival":3,"offset":2,"length":13,"encoding":"base64"}}]"#), "{json}");
}

#[test]
fn a_parser_reads_back_what_was_set() {
    let bytes = bytes_of(&compose(&full()));
    let mail = MessageParser::default().parse(&bytes).unwrap();
    let draft = full();
    assert_eq!(mail.subject(), Some(draft.subject.as_str()));
    assert_eq!(mail.message_id(), Some(draft.message_id.as_str()));
    assert_eq!(mail.date().unwrap().to_timestamp(), 1_772_357_400);
    assert_eq!(mail.from().unwrap().first().unwrap().address(), Some("support@example.com"));
    let to: Vec<_> = mail.to().unwrap().iter().filter_map(|a| a.address()).collect();
    assert_eq!(to, ["ada@example.org", "boss@example.org"]);
    assert_eq!(mail.reply_to().unwrap().first().unwrap().name(), Some("Ünï \"quoted\""));
    assert_eq!(mail.references().as_text_list().unwrap(), ["a@example.org", "b@example.org"]);
    assert_eq!(mail.in_reply_to().as_text(), Some("b@example.org"));
    assert_eq!(mail.body_text(0).unwrap().trim(), "Grüße");
    assert_eq!(mail.body_html(0).unwrap().trim(), "<p>Grüße</p>");
    let attachments: Vec<_> = mail.attachments().collect();
    assert_eq!(attachments.len(), 3);
    assert_eq!(attachments[0].attachment_name(), Some("résumé \"1\".pdf"));
    assert_eq!(attachments[0].contents(), b"ABCDEFGHI");
    assert_eq!(attachments[1].attachment_name(), Some("attachment-2.eml"));
    assert_eq!(attachments[1].contents(), b" identity \x00\xff bytes ");
    assert_eq!(attachments[2].contents(), "café\r\n".as_bytes());
}

#[test]
fn automatic_mail_says_so() {
    let header = |auto, name: &str| {
        let text = text_of(&Draft { auto, ..draft() });
        text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    for (auto, submitted, suppress, precedence) in [
        (Auto::No, None, None, None),
        (Auto::Generated, Some("auto-generated"), Some("All"), None),
        (Auto::Replied, Some("auto-replied"), Some("All"), Some("bulk")),
    ] {
        assert_eq!(header(auto, "Auto-Submitted").as_deref(), submitted);
        assert_eq!(header(auto, "X-Auto-Response-Suppress").as_deref(), suppress);
        assert_eq!(header(auto, "Precedence").as_deref(), precedence);
        assert_eq!(header(auto, "X-Maildesk-Loop").as_deref(), Some("desk-1"));
    }
}

#[test]
fn no_string_adds_a_header_or_a_line() {
    let evil = "x\r\nBcc: evil@y.test\r\n\r\nbody\u{2028}\u{85}";
    let mut draft = full();
    draft.subject = evil.into();
    draft.from.name = evil.into();
    draft.to = vec![who(evil, "a(b)..c@x_y.test"), who("ok", "ünï@bücher.test")];
    draft.reply_to = Some(who(evil, "r@x.test"));
    draft.desk_mark = evil.into();
    draft.attachments[0].name = evil.into();
    draft.attachments[0].content_type = format!("text/{evil}");
    draft.attachments[1].name = "a\"; filename=\"b.exe\\\"\r\n\r\n".into();
    draft.attachments[2].content_type = "multipart/mixed; boundary=x".into();
    let text = text_of(&draft);
    assert!(!text.lines().any(|l| l.starts_with("Bcc") || l.starts_with("body")), "{text}");
    assert!(
        text.is_ascii() && text.contains("a(b)..c@x_y.test") && !text.contains("multipart/mixed; boundary=x")
    );
    let bytes = bytes_of(&compose(&draft));
    assert_eq!(MessageParser::default().parse(&bytes).unwrap().attachment_count(), 3);
}

#[test]
fn a_mail_to_nobody_who_can_be_written_names_nobody() {
    let text = text_of(&Draft { to: Vec::new(), ..draft() });
    assert!(text.contains("\nTo: undisclosed-recipients:;\n"), "{text}");
}

#[test]
fn references_are_cut_in_the_middle() {
    let references: Vec<MessageId> = (0..1000).map(|n| id(&format!("<{n}@example.org>"))).collect();
    let bytes = bytes_of(&compose(&Draft { references, ..draft() }));
    let mail = MessageParser::default().parse(&bytes).unwrap();
    let kept = mail.references().as_text_list().unwrap();
    assert_eq!(kept.len(), 40);
    assert_eq!((kept[0].as_ref(), kept[19].as_ref()), ("0@example.org", "19@example.org"));
    assert_eq!((kept[20].as_ref(), kept[39].as_ref()), ("980@example.org", "999@example.org"));
}
