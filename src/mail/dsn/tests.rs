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

/// From, subject and words of a report without a machine-readable part.
fn in_words(from: &str, subject: &str, text: &str) -> String {
    format!("Return-Path: <>\nFrom: {from}\nTo: me@desk.test\nSubject: {subject}\n\n{text}\n")
}

const DAEMON: &str = "MAILER-DAEMON@mx.test";
const ORIGINAL: &str = "Return-Path: <me@desk.test>\nReceived: from here by there; now\nFrom: me@desk.test\n\
    To: To One <to1@x.test>\nSubject: [Support #1-2] hello\nMessage-ID: <1@y>\n\nhello";

/// `address action status code` of each recipient.
fn told(report: &Report) -> String {
    let one = |r: &Recipient| {
        let address = r.address.as_ref().map_or("-", |a| a.as_str());
        let code = r.reply_code.map_or("-".into(), |c| c.to_string());
        format!("{address} {} {} {code}", r.action, if r.status.is_empty() { "-" } else { &r.status })
    };
    report.recipients.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn reports_of_many_servers_are_read_in_their_own_words() {
    for (reader, text, expected) in [
        (
            "qmail",
            "Hi. This is the qmail-send program at mx.test.\nI'm afraid I wasn't able to deliver your message.\n\n\
             <a@x.test>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 unknown\nGiving up.\n\n\
             <b@x.test>:\nSorry, no mailbox here by that name. (#5.1.2)\n\n--- Below this line is a copy of the message.\n\n",
            "a@x.test failed 5.1.1 550, b@x.test failed 5.1.2 -",
        ),
        (
            "Exim",
            "This message was created automatically by mail delivery software.\n\nA message that you sent could not be \
             delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  \
             a@x.test\n    SMTP error from remote mail server after RCPT TO:<a@x.test>:\n    host mx.x.test [192.0.2.2]: \
             452 4.2.2 over quota\n\n------ This is a copy of the message, including all the headers. ------\n\n",
            "a@x.test failed 4.2.2 452",
        ),
        (
            "Postfix",
            "This is the mail system at host mx.test.\n\nI'm sorry to have to inform you\n\n<a@x.test>: host \
             mx.x.test[192.0.2.3] said: 550 5.7.1 <a@x.test>:\n    no (in reply to RCPT TO command)\n\n",
            "a@x.test failed 5.7.1 550",
        ),
        (
            "sendmail",
            "   ----- The following addresses had permanent fatal errors -----\n<a@x.test>\n\n   ----- Transcript of session \
             follows -----\n... while talking to mx.x.test.:\n>>> RCPT To:<a@x.test>\n<<< 553 5.3.0 <a@x.test>... gone\n\n   \
             ----- Original message follows -----\n\n",
            "a@x.test failed 5.3.0 553",
        ),
        (
            "Exchange 5.5 and 2003",
            "Your message\n\n  To:  A\n  Subject: hello\n\ndid not reach the following recipient(s):\n\na@x.test on Mon, 2 Nov \
             2026 10:00:00 +0100\n    The recipient name is not recognized\n    MSEXCH:IMS:x 0 (000C05A6) Unknown Recipient\n\n",
            "a@x.test failed - -",
        ),
        (
            "Lotus Domino",
            "Your message\n\n  Subject: hello\n\nwas not delivered to:\n\n  a@x.test\n\nbecause:\n\n  User a (a@x.test) not \
             listed in public Name & Address Book\n\n",
            "a@x.test failed - -",
        ),
        (
            "GroupWise",
            "The message that you sent was undeliverable to the following:\n\ta@x.test (mailbox is full)\n\n",
            "a@x.test failed - -",
        ),
        (
            "MailEnable",
            "Message could not be delivered to some recipients.\nThe following recipient(s) could not be reached:\n\n\t\
             Recipient: [SMTP:a@x.test]\n\tReason: no such user\n\n",
            "a@x.test failed - -",
        ),
        ("XMail", "[<00>] XMail bounce: Rcpt=[a@x.test];Error=[550 unknown]\n\n", "a@x.test failed - 550"),
        (
            "Google",
            "Delivery to the following recipient has been delayed:\n\n     a@x.test\n\nMessage will be retried for 2 more \
             day(s)\n\n----- Original message -----\n\n",
            "a@x.test delayed - -",
        ),
        (
            "general",
            "Nobody took what you sent.\nThe mail to a@x.test could not be delivered: the house is empty.\n\n",
            "a@x.test failed - -",
        ),
        // It says nothing of whom: the To of what it returns.
        ("general", "Undeliverable, sorry.\n\n", "to1@x.test failed - -"),
    ] {
        let report = report(&in_words(DAEMON, "Undelivered mail", &format!("{text}{ORIGINAL}"))).unwrap();
        assert_eq!((report.reader.as_str(), told(&report).as_str()), (reader, expected), "{text}");
        assert_eq!(report.original_message_id.as_ref().map(MessageId::as_str), Some("1@y"), "{text}");
        assert_eq!(report.original_subject, "[Support #1-2] hello", "{text}");
    }
}

#[test]
fn what_stands_below_an_address_further_down_is_about_him() {
    let listed = |a: &str, b: &str| {
        format!(
            "Delivery has failed to these recipients or groups:\n\n{a}\nThe address you entered couldn't be found.\n\n\
             {b}\nThe recipient's mailbox is full.\n\nDiagnostic information for administrators:\n\nGenerating server: \
             x.test\n\na@x.test\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\nb@x.test\n#554 5.2.2 mailbox \
             full ##\n\n{ORIGINAL}"
        )
    };
    for (a, b) in [
        ("a@x.test<mailto:a@x.test>", "b@x.test"),
        ("Ann Other (a@x.test)", "B. (b@x.test)"),
        ("a@x.test", "Bob (b@x.test)"),
    ] {
        let report = report(&in_words("postmaster@x.test", "Undeliverable: hello", &listed(a, b))).unwrap();
        assert_eq!(told(&report), "a@x.test failed 5.1.1 550, b@x.test failed 5.2.2 554", "{a}");
        let about_the_other = |n: usize, word: &str| report.recipients[n].diagnostic.contains(word);
        assert!(!about_the_other(0, "full") && !about_the_other(1, "not found"), "{report:?}");
    }
}

#[test]
fn what_is_returned_may_be_indented_and_written_tightly() {
    let text = "This message was created automatically by mail delivery software.\n\na@x.test, ERROR CODE :550 - 5.4.1 gone\n\n \
        Received:from mail.x.test by mx.x.test\n\twith SMTP id 1.1; Mon, 2 Mar 2026 10:00:00 +0100\n \
        Message-ID:<1@y>\n Date:Mon, 02 Mar 2026 10:00:00 +0100\n Subject:hello\n";
    let report = report(&in_words(DAEMON, "Undelivered mail", text)).unwrap();
    assert_eq!(report.original_message_id.as_ref().map(MessageId::as_str), Some("1@y"));
    assert_eq!(
        (told(&report).as_str(), report.original_subject.as_str()),
        ("a@x.test failed 5.4.1 550", "hello")
    );
}

#[test]
fn who_writes_like_a_person_writes_no_report() {
    let words = "A message that you sent could not be delivered to one or more of its recipients. \
        The following address(es) failed:\n\n  a@x.test\n    550 no\n";
    for raw in [
        format!("From: Ann <ann@x.test>\nSubject: Undelivered mail\n\n{words}"),
        format!("From: Ann <ann@x.test>\nSubject: Fwd: Mail delivery failed\n\n{words}{ORIGINAL}"),
        "From: shop@x.test\nSubject: Your parcel\n\nYour parcel could not be delivered to ann@x.test.\n".to_owned(),
        "Return-Path: <>\nFrom: Ann <ann@x.test>\nSubject: away\n\nI am away; ask bob@x.test.\n".to_owned(),
        "From: postmaster@x.test\nList-Id: <news.x.test>\nSubject: News\n\nWhat bounced: a@x.test and b@x.test\n".to_owned(),
    ] {
        assert_eq!(report(&raw), None, "{raw}");
    }
}

#[test]
fn a_report_in_a_report_is_read() {
    let inner = dsn(REPORT, &[WORDS, STATUS]);
    let outer = format!(
        "Return-Path: <>\nFrom: {DAEMON}\nSubject: Undelivered mail\nContent-Type: multipart/mixed; boundary=o\n\n\
         --o\n\nA relay had trouble.\n\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    );
    assert_eq!(report(&outer).unwrap().recipients.len(), 2);
}

#[test]
fn complaints_are_known_whatever_their_part_is_called() {
    let fields = "Feedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\nOriginal-Rcpt-To: a@x.test";
    for raw in [
        dsn("multipart/mixed", &[WORDS, &format!("Content-Type: text/plain\n\n{fields}"), RETURNED]),
        dsn("multipart/report", &[WORDS, &format!("Content-Type: application/octet-stream\n\n{fields}")]),
        format!("From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.1\n\n{ORIGINAL}"),
        "From: x@y.amazonaws.com\n\n{\"notificationType\":\"Complaint\",\"mail\":{},\"complaint\":\
         {\"complainedRecipients\":[{\"emailAddress\":\"a@x.test\"}]}}\n"
            .to_owned(),
    ] {
        assert_eq!(report(&raw).map(|r| r.kind).as_deref(), Some("feedback-report"), "{raw}");
    }
}

#[test]
fn codes_stand_alone() {
    for (words, status, reply) in [
        ("host 192.0.2.5 said: 550 5.1.1 no", Some("5.1.1"), Some(550)),
        ("mx [10.5.1.1] 5.1.10.2", None, None),
        ("smtp; 5.0.0 then 5.7.1", Some("5.7.1"), None),
        ("(#4.4.1)", Some("4.4.1"), None),
        ("SIZE=550 reason: 452-full", None, Some(452)),
        ("room 512, really: 421 later", None, Some(421)),
        ("version 5.1.1-beta", None, None),
    ] {
        assert_eq!(code::status_in(words).as_deref(), status, "{words}");
        assert_eq!(code::reply_in(words), reply, "{words}");
    }
}

/// Recipients of a report in words from a mail system.
fn said(body: &str) -> Vec<String> {
    let raw = format!("From: MAILER-DAEMON@mx.test\nSubject: Undelivered Mail Returned to Sender\n{body}");
    let recipients = report(&raw).expect("a report").recipients;
    recipients.into_iter().filter_map(|r| r.address).map(|a| a.to_string()).collect()
}

#[test]
fn a_report_that_has_lost_the_label_of_its_parts_is_read_by_them() {
    let parts = format!("--b\n{WORDS}\n--b\n{STATUS}\n--b--\n");
    let html = "--b\nContent-Type: text/html\nContent-Transfer-Encoding: base64\n\n\
        PHA+RGVsaXZlcnkgaGFzIGZhaWxlZCB0byB0aGVzZSByZWNpcGllbnRzOjxicj5hQHgudGVzdDwvcD4=\n--b--\n";
    assert_eq!(said(&format!("\n{parts}")), ["a@x.test", "b@x.test"]);
    assert_eq!(said(&format!("\n\n{html}")), ["a@x.test"]);
    // A label that says otherwise is believed.
    assert_eq!(said(&format!("Content-Type: text/plain\n\n{html}")), [""; 0]);
}

#[test]
fn a_postmaster_whose_server_answered_is_a_recipient() {
    let words =
        "\nThis is the mail system at host mx.test.\n\nAsk <postmaster@mx.test>\nor\n<postmaster@z.test>\n\n";
    let failed = "<postmaster@y.test>: host y.test said: 550 no (in reply to RCPT TO command)\n";
    assert_eq!(said(&format!("{words}{failed}")), ["postmaster@y.test"]);
    let of_its_own = "<mailer-daemon@mx.test>: host y.test said: 550 no\n<a@y.test>: 550 no\n";
    assert_eq!(said(&format!("{words}{of_its_own}")), ["a@y.test"]);
    assert_eq!(said(&format!("{words}550 <#c@y.test>... User unknown\n")), ["c@y.test"]);
    let transcript = "\n   ----- Transcript of session follows -----\n>>> RCPT To:<a@y.test>\n<<< 550 5.1.1 no\n\
        550 5.1.1 <a@y.test>... User unknown\n<b@y.test>... Deferred: 450 4.7.1 later\n";
    assert_eq!(said(transcript), ["a@y.test", "b@y.test"]);
}

#[test]
fn names_without_a_domain_are_of_the_server_that_reports() {
    let listed = "\nThe message that you sent was undeliverable to the following:\n\tjsmith (user not found)\n\tann.b\n\nBye";
    assert_eq!(said(listed), ["jsmith@mx.test", "ann.b@mx.test"]);
    let sentence =
        "\nThe message that you sent was undeliverable to the following:\n\nAsk your administrator.\n";
    assert_eq!(said(sentence), [""; 0]);
}

#[test]
fn a_shop_and_a_postmaster_who_answers_send_no_reports() {
    let shop = "From: noreply@shop.test\nSubject: Your delivery notification\n\n\
        Your parcel could not be delivered to the recipient jo@x.test.\n";
    let answer =
        "From: Postmaster <postmaster@x.test>\nSubject: Re: blocked mail\n\nWe have unblocked jo@x.test.\n";
    let code = "From: noreply@mx.test\nSubject: Delivery failure\n\n\
        Your mail could not be delivered to the recipient jo@x.test: 550 5.1.1 unknown\n";
    for (raw, is_report) in [(shop, false), (answer, false), (code, true)] {
        assert_eq!(report(raw).is_some(), is_report, "{raw}");
    }
}

#[test]
fn a_block_that_is_torn_or_swallowed_is_read_whole() {
    let torn = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.test\n\n\
        Action: delayed\n\nStatus: 4.4.1\n\nFinal-Recipient: rfc822; b@x.test\n\nAction: failed\nStatus: 5.2.2\n";
    let swallowed = "Content-Type: message/delivery-status\nReporting-MTA: dns; x\n\
        Final-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 5.1.1\n";
    let escaped = "Content-Type: message/global-delivery-status\n\nFinal-Recipient: utf-8; jo\\x{17E}e@x.test\nAction: failed\n\n\
        Final-Recipient: utf-8; b\\x{110000}@x.test\nAction: failed\n";
    for (status, expected) in [
        (torn, "a@x.test delayed 4.4.1 -, b@x.test failed 5.2.2 -"),
        (swallowed, "a@x.test failed 5.1.1 -"),
        (escaped, "jože@x.test failed - -, x{110000}@x.test failed - -"),
    ] {
        assert_eq!(told(&report(&dsn(REPORT, &[WORDS, status])).unwrap()), expected, "{status}");
    }
}

#[test]
fn the_machine_part_is_read_whatever_its_type() {
    let fields =
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.test\nAction: delayed\nStatus: 4.4.1\n";
    for kind in ["text/plain; name=\"details.txt\"", "application/octet-stream"] {
        let part = format!("Content-Type: {kind}\nContent-Disposition: attachment\n\n{fields}");
        for container in ["multipart/mixed", REPORT] {
            let raw = dsn(container, &[WORDS, &part, RETURNED]);
            let raw = format!("Return-Path: <>\nFrom: {DAEMON}\nSubject: Undelivered mail\n{raw}");
            let report = report(&raw).unwrap();
            assert_eq!(told(&report), "a@x.test delayed 4.4.1 -", "{raw}");
            assert_eq!(report.original_message_id.unwrap().as_str(), "1@y", "{raw}");
        }
    }
}

#[test]
fn a_person_who_carries_a_report_along_writes_none() {
    let carried = dsn("multipart/mixed", &[WORDS, STATUS]);
    let in_a_report = dsn(REPORT, &[WORDS, STATUS]);
    for (top, body, is_report) in [
        ("From: Ann <ann@x.test>\nSubject: Fwd: failure notice", &carried, false),
        ("From: Ann <ann@x.test>\nSubject: help\nReferences: <1@y>", &carried, false),
        ("From: Ann <ann@x.test>\nSubject: Fwd: failure notice", &in_a_report, true),
        ("Return-Path: <>\nFrom: Ann <ann@x.test>\nSubject: help\nReferences: <1@y>", &carried, true),
        ("From: MAILER-DAEMON@x.test\nSubject: Re: hello\nIn-Reply-To: <1@y>", &carried, true),
        ("From: relay@x.test\nSubject: hello", &carried, true),
    ] {
        assert_eq!(report(&format!("{top}\n{body}")).is_some(), is_report, "{top}");
    }
}

#[test]
fn mail_systems_speak_many_languages() {
    for (subject, words) in [
        (
            "Ei voi toimittaa: tilaus",
            "Toimitus epäonnistui seuraaville vastaanottajille:\n\nEva (a@x.test)\nEi löydy.",
        ),
        ("배달되지 않음: 주문", "다음 받는 사람이나 그룹에 배달하지 못했습니다.\n\nEva (a@x.test)\n주소"),
        ("未送达: 订单", "未能向以下收件人或组传递邮件:\n\nEva (a@x.test)\n找不到"),
        (
            "Wiadomość nie została dostarczona",
            "Twoja wiadomość nie mogła zostać dostarczona do:\n\n<a@x.test>: brak",
        ),
        (
            "Kézbesíthetetlen: rendelés",
            "A kézbesítés nem sikerült a következő címzetteknek:\n\na@x.test\nnincs",
        ),
        ("Retardé : commande", "Le message à a@x.test a été retardé; de nouvelles tentatives suivent."),
    ] {
        let report = report(&in_words("postmaster@x.test", subject, words)).expect(subject);
        let action = if subject.starts_with("Retard") { "delayed" } else { "failed" };
        assert_eq!(told(&report), format!("a@x.test {action} - -"), "{subject}");
    }
}

#[test]
fn recipients_are_found_in_lists_of_any_kind() {
    let failed = "Your message could not be delivered to these addresses:\n\n";
    for (list, expected) in [
        ("1. a@x.test (gone)\n2. b@x.test (gone)", "a@x.test b@x.test"),
        ("(1) a@x.test\n(2) 4711@x.test", "a@x.test 4711@x.test"),
        ("12@x.test\n3.14@x.test", "12@x.test 3.14@x.test"),
        ("SMTP:a@x.test\n  gone\nsmtp:b@x.test\n  full", "a@x.test b@x.test"),
        ("[SMTP:a@x.test]\n<mailto:b@x.test>", "a@x.test b@x.test"),
        ("a@x.test\n  gone\npipe to |/usr/bin/f\n  generated by b@x.test\n  died", "a@x.test b@x.test"),
        ("<a@x.test>, <b@x.test>; c@x.test\n  gone", "a@x.test b@x.test c@x.test"),
        ("c=us;a= ;p=x;dda:smtp=a@x.test;", "a@x.test"),
        ("a@x.test\n  gone\nThis report was\ngenerated by robot@x.test", "a@x.test"),
    ] {
        assert_eq!(said(&format!("\n{failed}{list}\n")).join(" "), expected, "{list}");
    }
    let of_imail = "\nUser mailbox exceeds allowed size: a@x.test\nUnknown user: b@x.test\n\nOriginal message follows.\n";
    assert_eq!(said(of_imail), ["b@x.test", "a@x.test"]);
}

#[test]
fn an_address_in_the_subject_is_the_last_resort() {
    let of = |subject: &str, text: &str| {
        report(&in_words(DAEMON, subject, text)).map(|report| told(&report)).unwrap_or_default()
    };
    assert_eq!(of("Undeliverable: a@x.test", "It came back."), "a@x.test failed - -");
    assert_eq!(
        of("Undeliverable: a@x.test", &format!("It came back.\n\n{ORIGINAL}")),
        "to1@x.test failed - -"
    );
    assert_eq!(of("Undeliverable: me@desk.test", "It came back."), "");
    assert_eq!(of("Undeliverable: a@x.test, b@x.test", "It came back."), "");
}

#[test]
fn what_has_arrived_or_is_on_its_way_has_not_failed() {
    for (text, action) in [
        ("Your message to a@x.test was successfully relayed.", "relayed"),
        ("Your message was successfully delivered to a@x.test.", "delivered"),
        ("Successfully delivered to others. Your message to a@x.test could not be delivered.", "failed"),
        ("Your message to a@x.test could not be delivered for 4 hours. It will be retried.", "delayed"),
        ("Your message to a@x.test could not be delivered. No further attempts will be made.", "failed"),
        ("Your message to a@x.test could not be delivered. It will not be retried.", "failed"),
    ] {
        let report = report(&in_words(DAEMON, "Delivery status", text)).expect(text);
        assert_eq!(told(&report), format!("a@x.test {action} - -"), "{text}");
    }
}

#[test]
fn offices_postmasters_and_absent_people_send_no_reports() {
    for raw in [
        "Return-Path: <sysadmin@x.test>\nFrom: Mail System Administrator <sysadmin@x.test>\nSubject: Maintenance\n\n\
         Mail could not be delivered on Friday. Ask jo@x.test.\n",
        "Return-Path: <delivery-notification@x.test>\nFrom: delivery-notification@x.test\nSubject: Delivery notification\n\n\
         The parcel was not delivered: recipient not at home. Write to jo@x.test.\n",
        "Return-Path: <postmaster@x.test>\nFrom: postmaster@x.test\nSubject: Your SPF record\n\n\
         Your mail to jo@x.test was rejected yesterday. Please mend it.\n",
        "Return-Path: <>\nFrom: postmaster@x.test\nTo: me@desk.test\nSubject: Your mailbox is almost full\n\n\
         Your mailbox me@desk.test has reached its quota. No mail will be accepted when the mailbox is full.\n",
        "Return-Path: <>\nFrom: Monitor <monitor@x.test>\nSubject: Warning: disk full\n\nRelay timed out. Ask bob@x.test.\n",
        "Return-Path: <info@x.test>\nFrom: Mail Delivery Solutions <info@x.test>\nSubject: Our offer\n\n\
         Letters that could not be delivered? Write to bob@x.test.\n",
        "Return-Path: <news@x.test>\nFrom: Microsoft Outlook Team <news@x.test>\nSubject: Tips\n\n\
         Is your mailbox full? Write to bob@x.test.\n",
        "Return-Path: <>\nFrom: Jo <jo@x.test>\nSubject: Automatic reply: Undeliverable goods\n\n\
         I cannot be reached. Ask bob@x.test.\n",
        "Return-Path: <>\nFrom: Jo <jo@x.test>\nSubject: Abwesenheitsnotiz: Zustellung\n\n\
         Ihre Nachricht wird nicht weitergeleitet. Fragen Sie bob@x.test.\n",
    ] {
        assert_eq!(report(raw), None, "{raw}");
    }
}

#[test]
fn a_sentence_that_names_the_recipient_goes_before_a_signature() {
    let sentence = "We could not deliver your message to a@x.test.\n\nGone.\n\nThe team (team@mx.test)\n";
    assert_eq!(said(&format!("\n{sentence}")), ["a@x.test"]);
    let list = "Could not be delivered to these recipients: a@x.test,\n\nb@x.test\nc@x.test\n";
    assert_eq!(said(&format!("\n{list}")), ["a@x.test", "b@x.test", "c@x.test"]);
}

#[test]
fn an_address_that_nobody_reads_may_report_with_a_code() {
    let of = |words: &str| {
        let raw = format!(
            "From: noreply@mx.test\nSubject: Sorry, your message could not be delivered\n\n{words}\n"
        );
        report(&raw).map(|report| told(&report)).unwrap_or_default()
    };
    assert_eq!(of("It could not be delivered to <a@x.test>: 550 5.1.1 gone"), "a@x.test failed 5.1.1 550");
    assert_eq!(of("It could not be delivered to your mailbox, a@x.test."), "");
}

#[test]
fn recipients_without_words_that_lead_to_them_are_found_by_their_place() {
    for (words, expected) in [
        ("It bounced.\n\nRecipient......: <a@x.test>\nError: gone\n", "a@x.test"),
        ("To: a@x.test\nStatus: 550 user gone\n\nTo: b@x.test\nStatus: 550 user gone\n", "a@x.test b@x.test"),
        ("a@x.test\n    over quota\n\nb@x.test\n    gone\n", "a@x.test b@x.test"),
        ("<a@x.test>   552 full\nb@x.test -> 550 gone\n", "a@x.test b@x.test"),
        ("Failed recipients:\n  * a@x.test\n\nSuccessful recipients:\n  * b@x.test\n", "a@x.test"),
        ("What you sent to a@x.test and b@x.test was not delivered.\n", "a@x.test b@x.test"),
        (
            "The following recipients failed:\n\n  Ann Other <a@x.test>\n  \"Doe, Jo\" <b@x.test>\n",
            "a@x.test b@x.test",
        ),
    ] {
        assert_eq!(said(&format!("\n{words}")).join(" "), expected, "{words}");
    }
}
