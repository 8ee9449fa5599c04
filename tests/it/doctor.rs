//! `doctor` against real servers: what it sees of rights and relays, and a mail that it sends round.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::dns::{Dns, Mood};
use crate::support::dovecot::{Account, PASSWORD, dovecot};
use crate::support::program::{Desk, Imap, Store, support_sections};
use crate::support::scripted_smtp::{Answer, Phase, ScriptedSmtp};
use crate::support::wait_until;

/// A desk on a real mailbox and a relay that can be told what to say.
struct Bench {
    account: Account,
    relay: ScriptedSmtp,
    desk: Desk,
}

impl Bench {
    fn new(change: impl Fn(String) -> String) -> Option<Bench> {
        let server = dovecot()?;
        let account = server.account();
        let relay = ScriptedSmtp::start();
        let imap = Imap { port: server.imap, username: account.user.clone(), password: PASSWORD.to_owned() };
        let desk = Desk::with_support(Store::usual(), &imap, relay.port)?;
        desk.configure(&change(support_sections(&imap, relay.port)));
        Some(Bench { account, relay, desk })
    }

    fn findings(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.desk.run(&[&["doctor", "--json"], arguments].concat());
        let findings = output.json().as_array().expect("a list").clone();
        let is_failed = findings.iter().any(|f| f["level"] == "fail");
        assert_eq!(output.code, Some(if is_failed { 69 } else { 0 }), "{findings:#?}");
        findings
    }
}

#[track_caller]
fn has(findings: &[Value], level: &str, about: &str, words: &str) {
    let said = |f: &Value| f["words"].as_str().unwrap().to_owned() + " | " + f["advice"].as_str().unwrap();
    let is_it = |f: &&Value| f["level"] == level && f["about"] == about && said(f).contains(words);
    assert!(findings.iter().any(|f| is_it(&f)), "{level} {about}: {words}: {findings:#?}");
}

/// What the relay has taken lands in the mailbox, as it does where both belong to one provider.
struct Bridge {
    account_maildir: PathBuf,
    given: usize,
}

impl Bridge {
    fn carry(&mut self, bench: &Bench) {
        for mail in bench.relay.accepted().into_iter().skip(self.given) {
            assert_eq!(mail.recipients, ["support@example.com"]);
            bench.account.deliver(&mail.bytes);
            self.given += 1;
        }
    }
}

#[test]
fn a_mail_goes_round_and_becomes_no_ticket_alone() {
    goes_round(false);
}

#[test]
fn a_mail_goes_round_and_becomes_no_ticket_beside_the_daemon() {
    goes_round(true);
}

fn goes_round(with_daemon: bool) {
    let Some(bench) = Bench::new(|sections| sections) else { return };
    let mut daemon = with_daemon.then(|| {
        let daemon = bench.desk.spawn(&["run"]);
        let socket = bench.desk.folder.path().join("maildesk.sock");
        wait_until("the daemon", Duration::from_secs(60), || socket.exists().then_some(()));
        daemon
    });
    let mut bridge = Bridge { account_maildir: bench.account.maildir.clone(), given: 0 };
    let mut doctor = bench.desk.command(&["doctor", "--mail", "--json"]);
    let mut doctor = doctor.stdout(std::process::Stdio::piped()).spawn().expect("maildesk starts");
    wait_until("doctor to end", Duration::from_secs(60), || {
        bridge.carry(&bench);
        doctor.try_wait().expect("our child").map(|_| ())
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut doctor.stdout.take().unwrap(), &mut said).unwrap();
    let findings: Vec<Value> = serde_json::from_str(&said).unwrap();
    has(&findings, "ok", "mail round Support", "relay out took a mail to support@example.com");
    has(&findings, "ok", "mail round Support", " s, was known as our own, and became no ticket");
    assert_eq!(bridge.given, 1);
    assert!(bridge.account_maildir.exists());
    assert!(bench.account.files("").is_empty(), "it was taken out of the mailbox");
    let journal = bench.desk.journal();
    assert_eq!((journal.len(), journal[0].code.as_str()), (1, "own_echo"));
    assert!(bench.desk.tickets().is_empty() && bench.desk.queue().is_empty());
    if let Some(daemon) = &mut daemon {
        assert!(daemon.stop().success());
    }
}

#[test]
fn a_mail_that_does_not_come_or_is_not_taken_is_told() {
    let Some(bench) = Bench::new(|sections| sections) else { return };
    let findings = bench.findings(&["--mail", "--within", "1"]);
    has(&findings, "fail", "mail round Support", "it did not arrive in mailbox support within 1 s");
    bench
        .relay
        .answer(Phase::Rcpt("support@example.com".into()), Answer::reply(550, "5.7.1 we relay for nobody"));
    let findings = bench.findings(&["--mail", "--within", "1"]);
    has(&findings, "fail", "mail round Support", "with 550 5.7.1 we relay for nobody");
}

#[test]
fn a_relay_that_takes_no_such_mail_says_why_and_nothing_is_sent() {
    let Some(bench) = Bench::new(|sections| sections) else { return };
    has(
        &bench.findings(&[]),
        "ok",
        "relay out",
        "it would take a mail from support@example.com to admin@example.net",
    );
    bench.relay.answer(Phase::Mail, Answer::reply(553, "5.7.1 not your address"));
    has(&bench.findings(&[]), "fail", "relay out", "553 5.7.1 not your address");
    assert!(bench.relay.transactions().is_empty());
    assert!(bench.relay.commands().iter().any(|c| c.ends_with("RSET")), "{:?}", bench.relay.commands());
}

#[test]
fn a_folder_for_handled_mail_is_looked_for() {
    let Some(bench) = Bench::new(|sections| {
        sections.replace("handled = \"delete\"", "handled = \"move\"\nmove_to = \"Done\"")
    }) else {
        return;
    };
    has(&bench.findings(&[]), "warn", "mailbox support", "folder Done, to which handled mail is moved");
    bench.account.make_folder("Done");
    has(&bench.findings(&[]), "ok", "mailbox support", "folder Done is there for handled mail");
}

#[test]
fn a_folder_that_may_only_be_read_is_told() {
    let Some(bench) = Bench::new(|sections| sections) else { return };
    let cur = bench.account.maildir.join("cur");
    fs::set_permissions(&cur, fs::Permissions::from_mode(0o555)).unwrap();
    has(&bench.findings(&[]), "fail", "mailbox support", "handled mail could not be taken away");
    fs::set_permissions(&cur, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn keys_and_passwords_that_others_can_read_are_told() {
    let Some(bench) = Bench::new(|sections| sections) else { return };
    has(&bench.findings(&[]), "ok", "key", "opens all 3 secrets");
    let key = bench.desk.folder.path().join("maildesk.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    has(&bench.findings(&[]), "fail", "key", "can be read by everybody");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    has(&bench.findings(&[]), "warn", "key", "can be read by its group");
    has(&bench.findings(&[]), "ok", "disk", "MB free");
    has(&bench.findings(&[]), "warn", "backups", "no daily backup was taken yet");
}

/// M6: whether anybody looks at senders, whether DNS answers him, and whether what he looks for is there.
#[test]
fn what_looks_at_senders_is_looked_at() {
    let dns = Dns::start();
    let Some(bench) = Bench::new(|sections| sections) else { return };
    let base = fs::read_to_string(bench.desk.config()).unwrap();
    let with_trust = |keys: &str| fs::write(bench.desk.config(), format!("{base}\n[trust]\n{keys}")).unwrap();
    has(&bench.findings(&[]), "ok", "senders", "nobody looks whether a sender is who the mail says");
    assert_eq!(dns.asked(), Vec::<String>::new());

    // A resolver that answers, whatever it says.
    let resolver = format!("resolver = \"{}\"\n", dns.address);
    with_trust(&format!("verify = true\n{resolver}"));
    let findings = bench.findings(&[]);
    has(&findings, "ok", "senders", "DNS at 127.0.0.1 answers");
    has(
        &findings,
        "warn",
        "senders",
        "SPF cannot be judged: no server of ours is known that notes who connected",
    );
    assert!(dns.asked().contains(&"example.com".to_owned()), "{:?}", dns.asked());
    with_trust(&format!("verify = true\nrelays = [\"mx.example.com\"]\n{resolver}"));
    let findings = bench.findings(&[]);
    let about = findings.iter().filter(|f| f["about"] == "senders").count();
    assert_eq!(about, 1, "with a server in front there is nothing to warn of: {findings:#?}");

    // One that fails, and one that says nothing.
    dns.be("example.com", Mood::ServFail);
    has(&bench.findings(&[]), "fail", "senders", "DNS at 127.0.0.1 fails");
    dns.be("example.com", Mood::Silent);
    with_trust(&format!("verify = true\ntimeout_s = 1\n{resolver}"));
    let advice = "check `[trust] resolver`, or the resolver of this machine";
    has(&bench.findings(&[]), "fail", "senders", advice);
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = nobody.local_addr().unwrap();
    with_trust(&format!("verify = true\ntimeout_s = 1\nresolver = \"{nobody}\"\n"));
    has(&bench.findings(&[]), "fail", "senders", advice);
}

#[test]
fn a_relay_whose_word_is_never_found_is_told() {
    let Some(bench) = Bench::new(|sections| {
        sections + "\n[trust]\nrelays = [\"mx.example.com\"]\nauthserv_id = \"mx.example.com\"\n"
    }) else {
        return;
    };
    has(
        &bench.findings(&[]),
        "ok",
        "senders",
        "no mail was decided yet with Authentication-Results of mx.example.com",
    );
    let deliver = |id: &str, results: &str| {
        let mail = format!(
            "{results}Received: from out.example.org (out.example.org [192.0.2.9]) by mx.example.com; \
             Sun, 22 Nov 2026 10:00:00 +0000\r\nFrom: jo@example.org\r\nTo: support@example.com\r\n\
             Message-ID: <{id}@example.org>\r\nSubject: {id}\r\n\r\nHello\r\n"
        );
        bench.account.deliver(mail.as_bytes());
        bench.desk.run(&["poll"]).ok();
    };
    deliver("bare", "");
    // Somebody else's word is none.
    deliver("other", "Authentication-Results: mx.other.test; dmarc=pass header.from=example.org\r\n");
    has(
        &bench.findings(&[]),
        "warn",
        "senders",
        "none of the last 2 messages bears Authentication-Results of mx.example.com that can be ours",
    );
    deliver("stated", "Authentication-Results: mx.example.com; dmarc=pass header.from=example.org\r\n");
    has(
        &bench.findings(&[]),
        "ok",
        "senders",
        "1 of the last 3 messages bear Authentication-Results of mx.example.com",
    );
}
