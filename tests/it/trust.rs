//! Is the sender who the mail says (M6): each case with its grade and what it sets off, against a DNS double, on both
//! stores; and through a real IMAP server.

mod imap;
mod kill;
mod online;

use std::time::{Duration, Instant};

use maildesk::intake::replay::Grounds;
use maildesk::ticket::{ArrivalId, Status};
use maildesk::triage::trust::Grade;

use crate::support::dns::{Dns, Mood};
use crate::support::signer::Signer;
use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

on_both_stores!(each_sender_has_his_grade_and_his_effect, what_dns_said_is_kept,);

/// Who handed a message to our server, as that notes it.
const OURS: &str = "192.0.2.9";

pub fn handed_over(sender: &str, message: &[u8]) -> Vec<u8> {
    let head = format!(
        "Return-Path: <{sender}>\r\n\
         Received: from out.test (out.test [{OURS}])\r\n\tby mx.example.com (Postfix) with ESMTPS id 1;\r\n\
         \tSun, 22 Nov 2026 10:00:00 +0000\r\n"
    );
    [head.as_bytes(), message].concat()
}

fn changed(message: Vec<u8>) -> Vec<u8> {
    String::from_utf8(message).unwrap().replace("It burns.", "It burns!").into_bytes()
}

/// A reply of jo at this domain to the mail that has opened his ticket.
fn reply(domain: &str) -> Letter {
    let letter = Letter::new(&format!("reply.{domain}")).from(&format!("Jo <jo@{domain}>"));
    letter.subject("Re: printer").body("It burns.").answering(&format!("open.{domain}@x.test"))
}

struct Case {
    domain: &'static str,
    raw: Vec<u8>,
    grade: Grade,
    /// spf, dkim, dmarc.
    words: &'static str,
}

/// Each domain is another case: what it publishes, and what comes in its name.
fn cases(dns: &Dns, signer: &Signer) -> Vec<Case> {
    let mut cases = vec![];
    let mut case = |domain: &'static str, raw: Vec<u8>, grade: Grade, words: &'static str| {
        cases.push(Case { domain, raw, grade, words });
    };
    let policy = |domain: &str, words: &str| {
        dns.txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; {words}"));
    };
    let from = |domain: &str| handed_over(&format!("jo@{domain}"), &reply(domain).bytes());
    let signed = |by: &str, domain: &str| {
        signer.publish(dns, by);
        handed_over(&format!("jo@{domain}"), &signer.signed(by, &reply(domain).bytes()))
    };

    policy("aligned.test", "p=reject");
    case("aligned.test", signed("aligned.test", "aligned.test"), Grade::Pass, "none pass pass");

    // A Maildir may hold another form than went over the wire.
    policy("unix.test", "p=reject");
    let unix = String::from_utf8(signed("unix.test", "unix.test")).unwrap().replace('\r', "");
    case("unix.test", unix.into_bytes(), Grade::Pass, "none pass pass");

    policy("spf.test", "p=reject");
    dns.txt("spf.test", "v=spf1 a:out.spf.test -all").a("out.spf.test", OURS);
    case("spf.test", from("spf.test"), Grade::Pass, "pass - pass");

    policy("unaligned.test", "p=none");
    dns.txt("bulk.test", "v=spf1 ip4:192.0.2.0/24 -all");
    let by_bulk = handed_over("jo@bulk.test", &reply("unaligned.test").bytes());
    case("unaligned.test", by_bulk, Grade::Neutral, "pass - fail");

    policy("reject.test", "p=reject");
    dns.txt("reject.test", "v=spf1 -all");
    case("reject.test", from("reject.test"), Grade::Fail, "fail - fail");

    policy("quarantine.test", "p=quarantine");
    case("quarantine.test", from("quarantine.test"), Grade::Fail, "none - fail");

    policy("lax.test", "p=none");
    case("lax.test", from("lax.test"), Grade::Neutral, "none - fail");

    case("norecord.test", from("norecord.test"), Grade::Neutral, "none - none");
    // A signature of the very domain proves it without a record, too.
    case("signed.test", signed("signed.test", "signed.test"), Grade::Pass, "none pass none");

    policy("modified.test", "p=reject");
    case("modified.test", changed(signed("modified.test", "modified.test")), Grade::Fail, "none fail fail");

    policy("expired.test", "p=quarantine");
    signer.publish(dns, "expired.test");
    let expired = signer.signed_long_ago("expired.test", &reply("expired.test").bytes());
    case("expired.test", handed_over("jo@expired.test", &expired), Grade::Fail, "none fail fail");

    // The policy for what is below a domain: its own word, where it gives one.
    policy("parent.test", "p=reject; sp=none");
    case("sub.parent.test", from("sub.parent.test"), Grade::Neutral, "none - fail");
    policy("stern.test", "p=none; sp=reject");
    case("sub.stern.test", from("sub.stern.test"), Grade::Fail, "none - fail");

    policy("relaxed.test", "p=reject");
    case("relaxed.test", signed("mail.relaxed.test", "relaxed.test"), Grade::Pass, "none pass pass");
    policy("strict.test", "p=reject; adkim=s");
    case("strict.test", signed("mail.strict.test", "strict.test"), Grade::Fail, "none pass fail");

    // A list has changed the body; what it found before stands under its seal.
    let through = |sealer: &str, domain: &str| {
        policy(domain, "p=reject");
        signer.publish(dns, sealer);
        let listed = changed(signer.signed(domain, &reply(domain).bytes()));
        handed_over(&format!("owner@{sealer}"), &signer.sealed(sealer, domain, &listed))
    };
    case("listed.test", through("lists.test", "listed.test"), Grade::Pass, "none fail fail");
    case("stranger.test", through("lists.evil.test", "stranger.test"), Grade::Fail, "none fail fail");
    let broken = String::from_utf8(through("lists.test", "broken.test")).unwrap();
    let broken = broken.replace("It burns!", "It burns no more.").into_bytes();
    case("broken.test", broken, Grade::Fail, "none fail fail");

    // DNS at its worst.
    policy("silent.test", "p=reject");
    dns.be("_dmarc.silent.test", Mood::Silent);
    case("silent.test", from("silent.test"), Grade::Neutral, "none - temperror");
    policy("keyless.test", "p=reject");
    dns.be("s._domainkey.keyless.test", Mood::Silent);
    case("keyless.test", signed("keyless.test", "keyless.test"), Grade::Neutral, "none temperror temperror");
    policy("servfail.test", "p=reject");
    dns.be("_dmarc.servfail.test", Mood::ServFail);
    case("servfail.test", from("servfail.test"), Grade::Neutral, "none - temperror");
    policy("long.test", "p=reject");
    dns.be("s._domainkey.long.test", Mood::Truncated);
    case("long.test", signed("long.test", "long.test"), Grade::Pass, "none pass pass");
    cases
}

fn sections(dns: &Dns, more: &str) -> String {
    format!(
        "{SUPPORT}auto_answer = true\n[trust]\nrelays = [\"mx.example.com\"]\nverify = true\nresolver = \"{}\"\n\
         arc_sealers = [\"lists.test\"]\n{more}",
        dns.address
    )
}

/// Each of these has a closed ticket, opened before anybody looked.
async fn with_closed_tickets(url: &str, domains: &[&str]) -> Trial {
    let trial = Trial::new(url).await;
    for (n, domain) in domains.iter().enumerate() {
        let opening = Letter::new(&format!("open.{domain}")).from(&format!("Jo <jo@{domain}>"));
        trial.deliver(&format!("{:03}.open", n + 1), &opening.bytes());
    }
    trial.poll().await;
    for n in 1..=domains.len() {
        trial.set_status(n as i64, Status::Closed).await;
    }
    trial
}

async fn each_sender_has_his_grade_and_his_effect(url: String) {
    let (dns, signer) = (Dns::start(), Signer::new());
    let cases = cases(&dns, &signer);
    let domains: Vec<&str> = cases.iter().map(|case| case.domain).collect();
    let mut trial = with_closed_tickets(&url, &domains).await;
    trial.configure(&sections(&dns, "")).await;
    for (n, case) in cases.iter().enumerate() {
        trial.deliver(&format!("{:03}.reply", n + 501), &case.raw);
    }
    let told_before = trial.owed().await.len();
    let begun = Instant::now();
    trial.poll().await;
    // All at once: three that time out take no longer than one; the rest is for slow machines.
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(dns.asked_by_tcp() > 0, "the answer that was cut is asked for by TCP");
    let fates = trial.fates().await;
    let owed = trial.owed().await.split_off(told_before);
    for (n, case) in cases.iter().enumerate() {
        let arrival = ArrivalId((cases.len() + n + 1) as i64);
        let again = trial.works.intake.decide_again(arrival, Grounds::Stored).await.unwrap();
        let trust = again.decision.trust.expect("somebody looked");
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".into());
        let words = format!("{} {} {}", word(&trust.spf), word(&trust.dkim), word(&trust.dmarc));
        let step = again.decision.trace.iter().find(|step| step.rule == "trust").expect("a step");
        assert_eq!((trust.grade, words.as_str()), (case.grade, case.words), "{}: {step:?}", case.domain);
        let ticket = n as i64 + 1;
        let notified = owed.contains(&format!("notification #{ticket} admin@example.net"));
        let status = trial.ticket(ticket).await.status;
        let (fate, becomes, is_told) = match case.grade {
            Grade::Pass => (format!("append reply_by_foreign_id #{ticket}"), "open", true),
            Grade::Neutral => (format!("append reply_by_foreign_id #{ticket}"), "closed", true),
            Grade::Fail => ("invalid trust_failed".to_owned(), "closed", false),
        };
        assert_eq!(fates[cases.len() + n], fate, "{}", case.domain);
        assert_eq!((status.to_string().as_str(), notified), (becomes, is_told), "{}: {owed:?}", case.domain);
    }
    trial.assert_balanced().await;
}

async fn what_dns_said_is_kept(url: String) {
    let (dns, signer) = (Dns::start(), Signer::new());
    let mut trial = with_closed_tickets(&url, &["aligned.test"]).await;
    trial.configure(&sections(&dns, "")).await;
    dns.txt("_dmarc.aligned.test", "v=DMARC1; p=reject");
    signer.publish(&dns, "aligned.test");
    let signed =
        |letter: Letter| handed_over("jo@aligned.test", &signer.signed("aligned.test", &letter.bytes()));
    // A question of a proven sender is answered; one that is not proven is only told of.
    let question = |id: &str| Letter::new(id).from("jo@aligned.test");
    trial.deliver("501.question", &signed(question("question")));
    trial.deliver(
        "502.unproven",
        &handed_over("al@norecord.test", &Letter::new("u").from("al@norecord.test").bytes()),
    );
    trial.deliver("503.reply", &signed(reply("aligned.test")));
    trial.poll().await;
    let owed = trial.owed().await;
    let answers: Vec<&String> = owed.iter().filter(|mail| !mail.starts_with("notification")).collect();
    assert!(answers.len() == 1 && answers[0].ends_with("#2 jo@aligned.test"), "{owed:?}");
    assert_eq!(trial.ticket(1).await.status.to_string(), "open");
    let asked = dns.asked().len();
    assert!(asked > 0);

    for arrival in 2..=4 {
        for grounds in [Grounds::Stored, Grounds::AsOfThen] {
            let again = trial.works.intake.decide_again(ArrivalId(arrival), grounds).await.unwrap();
            assert_eq!(again.decision.code.as_str(), again.row.code, "{grounds:?}");
            assert!(again.clues.trust.is_some(), "{grounds:?}");
        }
    }
    assert_eq!(dns.asked().len(), asked, "replay asks nobody");
    // Other rules, same evidence: nothing but the rules is asked.
    trial.configure(&sections(&dns, "neutral = \"invalid\"\n")).await;
    let again = trial.works.intake.decide_again(ArrivalId(3), Grounds::Stored).await.unwrap();
    assert_eq!(again.decision.code.as_str(), "trust_unproven");
    trial.configure(SUPPORT).await;
    let again = trial.works.intake.decide_again(ArrivalId(4), Grounds::Stored).await.unwrap();
    assert!(again.decision.trust.is_none() && !again.decision.effects.reopens, "nobody is to look");
    assert_eq!(dns.asked().len(), asked);
}
