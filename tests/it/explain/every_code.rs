//! Each reason code by a mail that comes in, and as `explain --json` shows it: with the rules that looked, what each saw,
//! and what it made of that (M3, B11).

use std::collections::BTreeMap;

use maildesk::triage::Code;
use serde_json::Value;

use crate::support::clamd::{Clamd, signature};
use crate::support::program::{Desk, Store};
use crate::support::scripted_smtp::{ScriptedSmtp, Transaction};
use crate::support::trial::{Letter, make_maildir};

/// Shown by `explain` as what triage had said before an admin put the mail where it is now.
const OF_ADMINS: &[Code] = &[Code::AcceptedByAdmin, Code::ReassignedByAdmin];
/// By an IMAP server that will not give it, and by a message that the daemon dies of: `failures::scripts`, `identity::poison`.
const ELSEWHERE: &[Code] = &[Code::Refused, Code::Poison];

const TYPES: &str = r#"
[[relay]]
name = "out"
host = "127.0.0.1"
port = RELAY_PORT
tls = "plain"
sender = "desk@example.com"
verp = true
[[mailbox]]
name = "support"
protocol = "maildir"
path = "Maildir"
size_limit_mb = 2
[[mailbox]]
name = "other"
protocol = "maildir"
path = "Other"
[[type]]
name = "Support"
tag = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@example.net"
[[type]]
name = "Talk"
tag = "Talk"
mailbox = "support"
relay = "out"
addresses = ["talk@example.com"]
admin = "admin@example.net"
forward = ["one@copies.test", "two@copies.test"]
on_closed = "follow_up"
list_mail = "open"
[[type]]
name = "Sales"
mailbox = "other"
addresses = ["sales@example.com"]
[[type]]
name = "Bounces"
flow = "bounce"
mailbox = "support"
addresses = ["bounces@example.com"]
[predecessor]
tags = ["[Old#{number}]"]
"#;

struct Bench {
    desk: Desk,
    relay: ScriptedSmtp,
    /// The file of each mail, and the code that it is meant to get.
    expected: BTreeMap<String, Code>,
}

impl Bench {
    fn new() -> Bench {
        let desk = Desk::new(Store::usual()).expect("a store");
        for maildir in ["Maildir", "Other"] {
            make_maildir(&desk.folder.path().join(maildir));
        }
        let bench = Bench { desk, relay: ScriptedSmtp::start(), expected: BTreeMap::new() };
        bench.configure("[trust]\nrelays = [\"mx.example.com\"]\n");
        bench
    }

    fn configure(&self, more: &str) {
        let types = TYPES.replace("RELAY_PORT", &self.relay.port.to_string());
        self.desk.configure(&format!("{types}{more}"));
    }

    /// Lays a mail into the mailbox that is to get this code.
    fn lay(&mut self, code: Code, raw: impl AsRef<[u8]>) {
        let name = format!("{:03}.mail", self.expected.len());
        self.desk.lay(&name, raw);
        self.expected.insert(name, code);
    }

    fn letter(&mut self, code: Code, letter: Letter) {
        self.lay(code, letter.bytes());
    }

    fn poll(&self) {
        self.desk.run(&["poll", "--mailbox", "support"]).ok();
    }

    /// The team answers; the mail that goes out, as the relay gets it.
    fn answer(&self, ticket: &str) -> Sent {
        let answer = ["ticket", "answer", ticket, "--text", "We look into it.", "--json"];
        let said = self.desk.json(&answer);
        self.desk.run(&["queue", "send"]).ok();
        let queued = self.desk.json(&["queue", "show", &said["mail"].to_string(), "--json"]);
        let message_id = queued["message_id"].as_str().expect("a Message-ID").to_owned();
        let is_it = |mail: &Transaction| String::from_utf8_lossy(&mail.bytes).contains(&message_id);
        let mail = self.relay.accepted().into_iter().rev().find(is_it).expect("it was sent");
        Sent {
            tag_line: said["tag_line"].as_str().expect("a tag line").to_owned(),
            return_path: mail.sender.clone(),
            raw: mail.bytes,
            message_id,
        }
    }
}

struct Sent {
    message_id: String,
    return_path: String,
    tag_line: String,
    raw: Vec<u8>,
}

/// A letter of jo, who has a ticket.
fn jo(id: &str) -> Letter {
    Letter::new(id)
}

fn stranger(id: &str) -> Letter {
    Letter::new(id).from("Eve <eve@else.test>")
}

/// A delivery report about whoever is named, which returns these header lines.
fn report(id: &str, to: &str, recipient: &str, returned: &str) -> Vec<u8> {
    let body = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n--b\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.x.test\r\n\r\n{recipient}\r\n--b\r\n\
         Content-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b--\r\n"
    );
    let letter = Letter::new(id).from("MAILER-DAEMON@mx.x.test").to(to).subject("Undelivered mail");
    letter
        .header("Return-Path", "<>")
        .header("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
        .body(&body)
        .bytes()
}

const FAILED_JO: &str = "Final-Recipient: rfc822; jo@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n";
const FAILED_ANOTHER: &str =
    "Final-Recipient: rfc822; who@nowhere.test\r\nAction: failed\r\nStatus: 5.1.1\r\n";

fn threads(bench: &mut Bench) -> Sent {
    bench.letter(Code::NewTicket, jo("open"));
    bench.letter(Code::NewTicket, jo("other").subject("another"));
    bench.letter(Code::NewTicket, jo("talk").to("talk@example.com").subject("talk"));
    bench.letter(Code::NewTicket, jo("old").subject("[Old#77] of the system before"));
    bench.letter(
        Code::ListOpened,
        stranger("list").to("talk@example.com").header("List-Id", "<talk.else.test>"),
    );
    bench.letter(Code::NewTicket, jo("gone").subject("to be deleted"));
    bench.poll();
    let sent = bench.answer("1");
    let of_talk = bench.answer("3");
    let of_gone = bench.answer("6");
    bench.desk.run(&["ticket", "close", "3"]).ok();
    bench.desk.run(&["ticket", "delete", "6"]).ok();
    let other_tag = bench.answer("2").tag_line;

    bench.letter(Code::ReplyByOurId, jo("r1").answering(&sent.message_id));
    let against = jo("r2").answering(&sent.message_id).subject(&format!("Re: {other_tag} printer"));
    bench.letter(Code::ReplyByOurIdNotTag, against);
    bench.letter(Code::ReplyByTag, jo("r3").subject(&format!("Re: {} printer", sent.tag_line)));
    bench.letter(Code::ReplyByForeignId, jo("r4").answering("open@x.test"));
    bench.letter(Code::ReplyByPredecessorTag, jo("r5").subject("Re: [Old#77] of the system before"));
    let by_admin = jo("r6").from("admin@example.net").subject(&format!("Re: {} printer", sent.tag_line));
    bench.letter(Code::AgentReplyNotSent, by_admin);
    let away = jo("r7").answering(&sent.message_id).header("Auto-Submitted", "auto-replied");
    bench.letter(Code::AutoReplyNoted, away);
    bench.letter(Code::ListNoted, jo("r8").answering("open@x.test").header("Precedence", "list"));
    bench.letter(Code::FollowUp, jo("r9").to("talk@example.com").answering(&of_talk.message_id));
    bench.letter(Code::DeletedTicket, jo("r10").answering(&of_gone.message_id));
    bench.letter(Code::StrangerOnTicket, stranger("s1").subject(&format!("Re: {}", sent.tag_line)));
    bench.letter(Code::StrangerOnThread, stranger("s2").answering("open@x.test"));
    bench.lay(Code::OwnEcho, &sent.raw);
    sent
}

fn reports(bench: &mut Bench, sent: &Sent) {
    let ours = format!("Message-ID: <{}>\r\nSubject: Re: printer\r\n", sent.message_id);
    let tagged = format!("Message-ID: <1@x.test>\r\nSubject: {} printer\r\n", sent.tag_line);
    let foreign = "Message-ID: <1@x.test>\r\nSubject: something\r\n";
    bench.lay(Code::BounceByVerp, report("b1", &sent.return_path, FAILED_JO, foreign));
    bench.lay(Code::BounceByOurId, report("b2", "desk@example.com", FAILED_JO, &ours));
    bench.lay(Code::BounceByTag, report("b3", "desk@example.com", FAILED_JO, &tagged));
    bench.lay(Code::BounceUnmatched, report("b4", "desk@example.com", FAILED_JO, foreign));
    // About a mail with two recipients, and neither is named.
    let copies = bench.relay.accepted().into_iter().find(|mail| mail.recipients.len() == 2);
    let copies = copies.expect("a copy for both forward addresses");
    bench.lay(Code::BounceUnattributed, report("b5", &copies.sender, FAILED_ANOTHER, foreign));
    let complaint = report("b6", "desk@example.com", "Feedback-Type: abuse\r\nVersion: 1\r\n", &ours);
    let complaint = String::from_utf8(complaint)
        .expect("ASCII")
        .replace("report-type=delivery-status", "report-type=feedback-report");
    let complaint = complaint
        .replace("message/delivery-status", "message/feedback-report")
        .replace("Reporting-MTA: dns; mx.x.test\r\n\r\n", "");
    bench.lay(Code::Complaint, complaint);
}

fn refused(bench: &mut Bench) {
    let received = "from x.test by mx.example.com (Postfix) with ESMTPS; Mon, 2 Nov 2026 10:00:00 +0000";
    let spam = stranger("i1").header("X-Spam-Flag", "YES").header("Received", received);
    bench.letter(Code::SpamVerdict, spam);
    bench.letter(Code::NoType, stranger("i2").to("nobody@example.com"));
    bench.letter(Code::ForeignMailbox, stranger("i3").to("sales@example.com"));
    bench.letter(Code::AutoReplyUnplaced, stranger("i4").header("Auto-Submitted", "auto-replied"));
    bench.letter(Code::ListMail, stranger("i5").header("Precedence", "bulk"));
    bench.letter(Code::AdminToHimself, stranger("i6").from("admin@example.net"));
    let nobody = String::from_utf8(stranger("i7").bytes()).expect("ASCII");
    bench.lay(Code::NoSender, nobody.replace("From: Eve <eve@else.test>\r\n", ""));
    bench.lay(Code::Unreadable, b"X-Broken: yes\r\n\r\n");
    bench.letter(Code::Duplicate, jo("open"));
    bench.letter(Code::DuplicateDiffers, jo("open").body("Other words."));
    bench.letter(Code::TooBig, stranger("big").body(&"words ".repeat(500_000)));
    bench.poll();
    // Who is blocked.
    let open = bench.desk.rows(&["invalid", "list", "--json"]);
    let no_type = open.iter().find(|row| row["code"] == "no_type").expect("an invalid ticket");
    bench.desk.run(&["invalid", "block", &no_type["id"].to_string()]).ok();
    bench.letter(Code::BlockedSender, stranger("i8"));
    bench.poll();
}

/// Under settings of their own.
fn judged(bench: &mut Bench, clamd: &Clamd) {
    let stated = |id: &str, dmarc: &str| {
        let letter = Letter::new(id).from("al@graded.test");
        let received =
            "from out.test (out.test [192.0.2.9]) by mx.example.com; Mon, 2 Nov 2026 10:00:00 +0000";
        let results = format!("mx.example.com; dmarc={dmarc} header.from=graded.test");
        letter.header("Authentication-Results", &results).header("Received", received)
    };
    let trust =
        "[trust]\nrelays = [\"mx.example.com\"]\nauthserv_id = \"mx.example.com\"\nneutral = \"invalid\"\n";
    bench.configure(trust);
    bench.letter(Code::TrustFailed, stated("t1", "fail (p=reject)"));
    bench.letter(Code::TrustUnproven, stated("t2", "none"));
    bench.poll();

    bench.configure("[loops]\nmessages_from_sender = 1\njournalled_beyond = 2\n");
    for (id, code) in [("f1", Code::NewTicket), ("f2", Code::FloodSender), ("f3", Code::FloodJournalled)] {
        bench.letter(code, Letter::new(id).from("shop@flood.test"));
    }
    bench.poll();

    bench.configure(&format!("[virus_scanner]\naddress = \"{}\"\nsize_limit_mb = 1\n", clamd.address));
    bench.letter(Code::VirusFound, Letter::new("v1").from("al@ill.test").body(&signature()));
    bench.letter(Code::NotScanned, Letter::new("v2").from("al@ill.test").body(&"words ".repeat(200_000)));
    bench.poll();
}

#[test]
fn each_code_is_met_and_shown_with_its_evidence() {
    let mut bench = Bench::new();
    let sent = threads(&mut bench);
    reports(&mut bench, &sent);
    refused(&mut bench);
    let clamd = Clamd::on_socket(&bench.desk.folder.path().join("clamd"));
    judged(&mut bench, &clamd);

    let mut met = vec![];
    let mut wrong = vec![];
    for row in bench.desk.journal() {
        let identity = row.identity.as_str().expect("of a Maildir");
        let file = identity.rsplit('/').next().unwrap_or_default().to_owned();
        let explained = bench.desk.json(&["explain", "--arrival", &row.arrival.to_string(), "--json"]);
        let code = explained["code"].as_str().and_then(Code::parse).expect("a code");
        met.push(code);
        if bench.expected.get(&file) != Some(&code) {
            wrong.push(format!("{file}: {:?} expected, {explained:#}", bench.expected.get(&file)));
        }
        assert!(explained["reason"].as_str().unwrap().starts_with(code.words()), "{explained:#}");
        let trace = explained["trace"].as_array().expect("a trace");
        assert!(!trace.is_empty(), "{explained:#}");
        for step in trace {
            let is_said = |key: &str| step[key].as_str().is_some_and(|words| !words.trim().is_empty());
            assert!(["rule", "evidence", "verdict"].iter().all(|key| is_said(key)), "{step}: {explained:#}");
        }
        let names_it = |step: &Value| step["verdict"].as_str().unwrap().contains(code.as_str());
        assert!(trace.iter().any(names_it), "no step says {code:?}: {explained:#}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_here = |code: &&Code| !OF_ADMINS.contains(code) && !ELSEWHERE.contains(code);
    let missing: Vec<&Code> = Code::ALL.iter().filter(is_here).filter(|code| !met.contains(code)).collect();
    assert!(missing.is_empty(), "no mail for {missing:?}");
}
