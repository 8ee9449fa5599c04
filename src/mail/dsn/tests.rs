use super::machine::status;
use super::*;
use crate::mail::{parse, scan};

fn report(raw: &str) -> Option<Report> {
    parse(&scan(&mut raw.as_bytes()).expect("a slice has no read errors")).report
}

fn dsn(container: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
    format!("Content-Type: {container}; boundary=b\n\n{parts}--b--\n")
}

const REPORT: &str = "multipart/report; report-type=delivery-status";
const WORDS: &str = "Content-Type: text/plain\n\nIt failed.";
const STATUS: &str = "Content-Type: message/delivery-status\n\n\
    Reporting-MTA: dns; mx.x.test\n\n\
    Original-Recipient: rfc822; alias@x.test\n\
    Final-Recipient: RFC822; <A@x.test>\n\
    Action: Failed (for good)\n\
    Status: 5.1.1 (no such user)\n\
    Diagnostic-Code: smtp; 550 5.1.1\n   user unknown\n\n\
    Final-Recipient: rfc822;b@x.test\n\
    Action: delayed\n\
    Status: 4.4.7\n";
const RETURNED: &str =
    "Content-Type: message/rfc822\n\nMessage-ID: <1@y>\nSubject: =?utf-8?Q?=C3=A9?=\n\nwords";
const HEADERS: &str = "Content-Type: text/rfc822-headers\n\nSubject: =?utf-8?Q?=C3=A9?=\nMessage-ID: <1@y>";
const ENCODED: &str = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n\
    TWVzc2FnZS1JRDogPDFAeT4KU3ViamVjdDogw6kKCndvcmRz";

#[test]
fn recipients_are_read_with_what_became_of_them() {
    let report = report(&dsn(REPORT, &[WORDS, STATUS])).unwrap();
    let at = |text| Address::parse(text);
    let failed = Recipient {
        address: at("a@x.test"),
        original_address: at("alias@x.test"),
        action: "failed".into(),
        status: "5.1.1".into(),
        reply_code: Some(550),
        diagnostic: "550 5.1.1 user unknown".into(),
        words: String::new(),
    };
    let delayed = Recipient {
        address: at("b@x.test"),
        action: "delayed".into(),
        status: "4.4.7".into(),
        ..Recipient::default()
    };
    assert_eq!((report.kind.as_str(), report.recipients), ("delivery-status", vec![failed, delayed]));
}

#[test]
fn the_mail_that_a_report_is_about_is_found_wherever_it_stands() {
    let in_mixed = dsn("multipart/mixed", &[WORDS, STATUS, RETURNED]);
    for (raw, id, subject) in [
        (dsn(REPORT, &[WORDS, STATUS, RETURNED]), Some("1@y"), "é"),
        (dsn(REPORT, &[WORDS, STATUS, HEADERS]), Some("1@y"), "é"),
        (dsn(REPORT, &[WORDS, STATUS, ENCODED]), Some("1@y"), "é"),
        (dsn("multipart/report", &[WORDS, STATUS, RETURNED]), Some("1@y"), "é"),
        (dsn(REPORT, &[WORDS, RETURNED]), Some("1@y"), "é"),
        (dsn(REPORT, &[WORDS, STATUS]), None, ""),
        (format!("Content-Type: multipart/mixed; boundary=o\n\n--o\n{in_mixed}--o--\n"), Some("1@y"), "é"),
        (in_mixed, Some("1@y"), "é"),
        (dsn(REPORT, &[WORDS, STATUS, RETURNED]).replace('\n', "\r\n"), Some("1@y"), "é"),
    ] {
        let report = report(&raw).unwrap();
        assert_eq!(report.kind, "delivery-status", "{raw}");
        assert_eq!(report.original_message_id.as_ref().map(MessageId::as_str), id, "{raw}");
        assert_eq!(report.original_subject, subject, "{raw}");
    }
}

#[test]
fn crooked_status_parts_are_read() {
    for (status, expected) in [
        // No blank line between blocks.
        (
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\nFinal-Recipient: a@x.test\nAction: failed\n\
             Final-Recipient: b@x.test\nAction: failed",
            "a@x.test b@x.test",
        ),
        ("Content-Type: text/plain\n\nFinal-Recipient: rfc822; a@x.test\nAction: failed", "a@x.test"),
        (
            "Content-Type: message/delivery-status\n\n\n\nOriginal-Recipient: rfc822; a@x.test\nAction: failed",
            "a@x.test",
        ),
        (
            "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n\
             RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGFAeC50ZXN0Cg==",
            "a@x.test",
        ),
        ("Content-Type: message/global-delivery-status\n\nFinal-Recipient: utf-8; a@x.test", "a@x.test"),
        ("Content-Type: message/delivery-status\n\nFinal-Recipient: x400; /C=x/", ""),
    ] {
        let report = report(&dsn(REPORT, &[WORDS, status])).unwrap();
        let found: Vec<String> =
            report.recipients.iter().filter_map(|r| r.address.as_ref().map(Address::to_string)).collect();
        assert_eq!(found.join(" "), expected, "{status}");
    }
}

#[test]
fn complaints_and_receipts_name_their_kind_and_the_original() {
    let complaint =
        "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: <a@x.test>";
    let found =
        report(&dsn("multipart/report; report-type=feedback-report", &[WORDS, complaint, RETURNED])).unwrap();
    assert_eq!(found.kind, "feedback-report");
    assert_eq!(found.original_message_id.unwrap().as_str(), "1@y");
    assert_eq!(found.recipients[0].address, Address::parse("a@x.test"));

    let receipt = "Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; a@x.test\nOriginal-Message-ID: <2@y>";
    let found =
        report(&dsn("multipart/report; report-type=disposition-notification", &[WORDS, receipt])).unwrap();
    assert_eq!(
        (found.kind.as_str(), found.original_message_id.unwrap().as_str()),
        ("disposition-notification", "2@y")
    );
}

#[test]
fn an_ordinary_mail_holds_no_report() {
    assert_eq!(report(&dsn("multipart/mixed", &[WORDS, RETURNED])), None);
    assert_eq!(report("Subject: s\n\nFinal-Recipient: rfc822; a@x.test\n"), None);
}

#[test]
fn a_status_is_three_numbers_or_none() {
    for (value, expected) in [
        ("5.1.1", "5.1.1"),
        ("4.2.2 (full)", "4.2.2"),
        ("5.7.606", "5.7.606"),
        ("5.1.1.", "5.1.1"),
        ("5.1", ""),
        ("550", ""),
        ("3.1.1", ""),
        ("5.x.1", ""),
        ("", ""),
    ] {
        assert_eq!(status(value), expected, "{value}");
    }
}
