//! The explanation's shape is a contract: its keys, their order, and null where one does not apply.

use super::*;
use crate::clock::Micros;
use crate::mail::{Attachment, Encoding, Span};
use crate::triage::{Explanation, Place};

/// Keys as they stand in DESIGN.md.
const KEYS: &[&str] = &[
    "file",
    "kind",
    "act",
    "code",
    "reason",
    "type",
    "ticket",
    "log_entry",
    "from",
    "to",
    "cc",
    "subject",
    "subject_read",
    "message_id",
    "date",
    "text",
    "text_truncated",
    "visible_text",
    "signature",
    "attachments",
    "bounces",
    "trust",
    "trace",
];

#[test]
fn keys_come_in_the_order_of_the_contract() {
    let sample = mail(STRANGER);
    let json = serde_json::to_string(&Explanation::of(&sample.message, &sample.decide(), &Place::default()));
    let json = json.unwrap();
    let mut from = 0;
    for key in KEYS {
        let at = json[from..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in {json}"));
        from += at;
    }
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value.as_object().unwrap().len(), KEYS.len());
}

#[test]
fn a_mail_is_explained() {
    let sample = mail(STRANGER).with(|s| {
        s.message.date = Some(Micros::from_seconds(1_793_613_600));
        s.message.text = "Yes\n-- \nBob\n".into();
        s.message.attachments = vec![Attachment {
            name: "a.pdf".into(),
            content_type: "application/pdf".into(),
            size: 3,
            is_inline: false,
            content_id: String::new(),
            span: Span { offset: 0, length: 4, encoding: Encoding::Base64 },
        }];
    });
    let place = Place { file: Some("a.eml"), type_name: Some("Support"), ..Place::default() };
    let value = serde_json::to_value(Explanation::of(&sample.message, &sample.decide(), &place)).unwrap();
    for (key, expected) in [
        ("file", serde_json::json!("a.eml")),
        ("kind", serde_json::json!("person")),
        ("act", serde_json::json!("open")),
        ("code", serde_json::json!("new_ticket")),
        ("type", serde_json::json!("Support")),
        ("ticket", serde_json::Value::Null),
        ("from", serde_json::json!({"address": STRANGER, "name": ""})),
        ("to", serde_json::json!(["support@desk.test"])),
        ("message_id", serde_json::json!("m1@customer.test")),
        ("date", serde_json::json!("2026-11-02T10:00:00Z")),
        ("visible_text", serde_json::json!("Yes")),
        ("signature", serde_json::json!("Bob")),
        (
            "attachments",
            serde_json::json!([{"name": "a.pdf", "content_type": "application/pdf", "size": 3, "inline": false}]),
        ),
        ("bounces", serde_json::json!([])),
        ("trust", serde_json::json!({"grade": "neutral", "spf": null, "dkim": null, "dmarc": null})),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
}

#[test]
fn a_bounce_is_explained() {
    let sample = mail("mailer-daemon@mx.test").bounce(vec![failed(CONTACT, "5.1.1")]);
    let value = serde_json::to_value(Explanation::of(&sample.message, &sample.decide(), &Place::default()));
    let expected = serde_json::json!([{
        "recipient": CONTACT, "status": "5.1.1", "status_stated": true, "class": "user_unknown", "hard": true,
        "action": "failed", "diagnostic": "", "original_message_id": null,
        "reply_code": null,
    }]);
    assert_eq!(value.unwrap()["bounces"], expected);
}

#[test]
fn a_guess_at_raw_bytes_is_told_from_what_is_certain() {
    let sample = mail(STRANGER).with(|s| {
        s.message.subject = "Fr\u{f6}sche".into();
        s.message.subject_as_sent = Some("Fr\u{fffd}sche".into());
    });
    let explained = Explanation::of(&sample.message, &sample.decide(), &Place::default());
    assert_eq!(explained.subject, "Fr\u{fffd}sche");
    assert_eq!(explained.subject_read.as_deref(), Some("Fr\u{f6}sche"));
    let step = explained.trace.iter().find(|step| step.rule == "raw_header").unwrap();
    assert_eq!(step.verdict, "read as Fr\u{f6}sche");
    let certain = mail(STRANGER);
    let explained = Explanation::of(&certain.message, &certain.decide(), &Place::default());
    assert_eq!(explained.subject_read, None);
}

#[test]
fn an_invalid_mail_stands_on_no_ticket() {
    let sample = mail(STRANGER).tag(TICKET, TagVerdict::Holds);
    let explained = Explanation::of(&sample.message, &sample.decide(), &Place::default());
    assert_eq!((explained.code, explained.ticket), (Code::StrangerOnTicket, None));
}
