//! The process dies while a message is between what DNS said of its sender and its decision: DNS is asked once.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use maildesk::crash;

use super::{handed_over, sections};
use crate::support::dns::{Dns, Mood};
use crate::support::program::{Desk, Store};
use crate::support::signer::Signer;
use crate::support::trial::Letter;
use crate::support::{long_tier, skipped};

const DEADLINE: Duration = Duration::from_secs(60);
/// SIGABRT, by which a crash point ends the process.
const ABORTED: i32 = 6;

#[test]
fn dns_is_asked_once_whatever_dies_between_sqlite() {
    die_at_each_point(Store::Sqlite);
}

#[test]
fn dns_is_asked_once_whatever_dies_between_postgres() {
    die_at_each_point(Store::Postgres);
}

fn die_at_each_point(store: Store) {
    if !cfg!(feature = "crash-points") {
        skipped("built without the feature crash-points, which scripts/test gives");
        return;
    }
    // What was found out is committed before the first of them.
    let points = crash::POINTS.iter().filter(|point| point.starts_with("decide."));
    for point in points.take(if long_tier() { usize::MAX } else { 1 }) {
        if die_at(store, point).is_none() {
            return;
        }
    }
}

/// A proven sender who is answered, a forged one, and one of whom nothing is known.
fn lay_three(desk: &Desk, dns: &Dns, signer: &Signer) {
    for (domain, policy) in [("proven.test", "reject"), ("forged.test", "quarantine")] {
        dns.txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; p={policy}"));
    }
    signer.publish(dns, "proven.test");
    for domain in ["proven.test", "forged.test", "unknown.test"] {
        let from = format!("jo@{domain}");
        let letter = Letter::new(domain).from(&from).bytes();
        let sent = if domain == "proven.test" { signer.signed(domain, &letter) } else { letter };
        desk.lay(domain, handed_over(&from, &sent));
    }
}

fn die_at(store: Store, point: &str) -> Option<()> {
    let (dns, signer) = (Dns::start(), Signer::new());
    let desk = Desk::on_maildir(store, &sections(&dns, ""))?;
    lay_three(&desk, &dns, &signer);
    let mut dying = desk.spawn_with(&["poll"], &[("MAILDESK_CRASH_AT", point)]);
    assert_eq!(dying.wait(DEADLINE).signal(), Some(ABORTED), "{point}: {}", dying.log());
    let asked = dns.asked();
    assert!(
        ["_dmarc.proven.test", "s._domainkey.proven.test", "_dmarc.forged.test", "unknown.test"]
            .iter()
            .all(|name| asked.iter().any(|asked| asked == name)),
        "{asked:?}"
    );

    // Who asked now would hear nothing, and all three would be unproven.
    for name in &asked {
        dns.be(name, Mood::Silent);
    }
    for _ in 0..2 {
        desk.run(&["poll"]).ok();
    }
    assert_eq!(dns.asked(), asked, "{point}: DNS was asked again");
    let mut codes: Vec<String> =
        desk.journal().iter().map(|row| format!("{} {}", row.state, row.code)).collect();
    codes.sort();
    assert_eq!(codes, ["acked new_ticket", "acked new_ticket", "acked trust_failed"], "{point}");
    for (domain, grade) in [("proven.test", "pass"), ("forged.test", "fail"), ("unknown.test", "neutral")] {
        let id = format!("<{domain}@x.test>");
        let explained = desk.json(&["explain", "--message-id", &id, "--json"]);
        assert_eq!(explained["trust"]["grade"], grade, "{point}: {explained:#}");
    }
    assert_eq!(desk.tickets().len(), 2, "{point}");
    let mut mails: Vec<String> = desk.queue().into_iter().map(|mail| mail.purpose).collect();
    mails.sort();
    assert_eq!(mails, ["auto_answer", "notification", "notification"], "{point}: the proven one is answered");
    assert!(desk.balance().values().all(|difference| *difference == 0), "{point}: {:?}", desk.balance());
    Some(())
}
