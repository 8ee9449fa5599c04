//! Who forges a customer's address does not bring that customer's own mail into the invalid queue.

use maildesk::intake::replay::Grounds;
use maildesk::store::arrival::Of;

use super::{SMALL, count, mails, sections, word};
use crate::support::dns::Dns;
use crate::support::trial::{Letter, Trial, by_hand, on_both_stores};

on_both_stores!(
    a_storm_of_forged_mail_spares_whom_it_names,
    forged_mail_that_is_told_of_is_held_by_its_subject,
    where_nobody_looks_a_name_is_all_that_is_known,
);

/// Whence jo's own mail comes, and whence the forged mail.
const OWN: &str = "192.0.2.9";
const FOREIGN: &str = "203.0.113.7";
const JO: &str = "jo@victim.test";

/// jo's domain says whence its mail comes, and to reject the rest.
fn zone() -> Dns {
    let dns = Dns::start();
    dns.txt("_dmarc.victim.test", "v=DMARC1; p=reject");
    dns.txt("victim.test", &format!("v=spf1 ip4:{OWN} -all"));
    dns
}

fn trusting(dns: &Dns, more: &str) -> String {
    let trust = "[trust]\nrelays = [\"mx.example.com\"]\nverify = true\n";
    format!("{}{trust}resolver = \"{}\"\n{more}", sections(SMALL), dns.address)
}

fn lay(trial: &Trial, from: &str, letter: &Letter, name: &str) {
    let letter = letter.clone().from(JO).bytes();
    let handed_over = String::from_utf8(crate::trust::handed_over(JO, &letter)).expect("ASCII");
    trial.deliver(name, handed_over.replace(OWN, from).as_bytes());
}

async fn storm_from(trial: &Trial, from: &str, letters: impl IntoIterator<Item = Letter>) {
    for (n, letter) in letters.into_iter().enumerate() {
        lay(trial, from, &letter, &format!("{n:06}.{from}"));
    }
    trial.poll().await;
}

fn different(name: &str, n: usize) -> impl Iterator<Item = Letter> {
    (0..n).map(move |n| Letter::new(&format!("{name}{n}")).subject(&format!("{name} {}", word(n))))
}

async fn a_storm_of_forged_mail_spares_whom_it_names(url: String) {
    let dns = zone();
    let trial = Trial::with(&url, &trusting(&dns, "")).await;
    storm_from(&trial, FOREIGN, different("forged", 22)).await;
    let fates = async |code: &str| count(&trial, code).await;
    let stopped = (fates("invalid flood_sender").await, fates("discard flood_journalled").await);
    assert_eq!((fates("invalid trust_failed").await, stopped), (10, (5, 7)), "{:?}", trial.fates().await);
    assert!(trial.owed().await.is_empty(), "nobody is told of any");
    let storms = trial.works.store.read().await.unwrap().storms().await.expect("storms");
    let storms: Vec<String> =
        storms.iter().map(|s| format!("{}:{} {} of {}", s.kind, s.name, s.stopped, s.cap)).collect();
    assert_eq!(storms, ["client:203.0.113.7 12 of 10"]);
    let alerts = trial.works.store.read().await.unwrap().list_alerts(false, 10).await.expect("alerts");
    assert!(alerts.len() == 1 && alerts[0].name.starts_with("loop:client:"), "{alerts:?}");

    // jo himself has all of his limit, within the same window, and mixed with more of the other's.
    for (n, letter) in different("own", 11).enumerate() {
        lay(&trial, OWN, &letter, &format!("{n:06}.a"));
        let forged = Letter::new(&format!("more{n}")).subject(&format!("more {}", word(n)));
        lay(&trial, FOREIGN, &forged, &format!("{n:06}.b"));
    }
    trial.poll().await;
    assert_eq!(fates("open new_ticket").await, 10, "{:?}", trial.fates().await);
    assert_eq!(fates("invalid flood_sender").await, 5 + 1, "the eleventh of his own meets his own limit");
    assert_eq!(fates("discard flood_journalled").await, 7 + 11);
    let (told, waiting) = mails(&trial, "notification", "").await;
    assert_eq!((told, waiting), (10, 0));

    // Made again, each decision is the same.
    for line in trial.journal().await {
        for grounds in [Grounds::Stored, Grounds::AsOfThen] {
            let again = trial.works.intake.decide_again(line.arrival, grounds).await.expect("decided again");
            assert_eq!(again.decision.code.as_str(), again.row.code, "arrival {}, {grounds:?}", line.arrival);
        }
    }
    // What was suspended is recovered by the name that it bears: jo's own opens, the rest is forged all the same.
    let ids = trial.works.store.read().await.unwrap().suspended("flood_sender", JO).await.expect("ids");
    trial.works.desk.let_through(&ids, &by_hand()).await.expect("pending again");
    trial.works.intake.decide_pending(Of::All, false).await.expect("decided");
    assert_eq!((fates("open new_ticket").await, fates("invalid trust_failed").await), (11, 15));
    let key = trial.works.desk.reset_loop(&format!("client:{FOREIGN}"), &by_hand()).await;
    assert_eq!(key.expect("reset"), "client:203.0.113.7");
    storm_from(&trial, FOREIGN, different("after", 1)).await;
    assert_eq!(trial.fates().await.pop().as_deref(), Some("invalid trust_failed"));
    trial.assert_balanced().await;
}

async fn forged_mail_that_is_told_of_is_held_by_its_subject(url: String) {
    let dns = zone();
    let trial = Trial::with(&url, &trusting(&dns, "fail = \"notify\"\n")).await;
    let alike = (0..10).map(|n| Letter::new(&format!("f{n}")).subject(&format!("Invoice {n}")));
    storm_from(&trial, FOREIGN, alike).await;
    assert_eq!(mails(&trial, "notification", "subject").await, (8, 2));
    storm_from(&trial, OWN, different("own", 3)).await;
    assert_eq!(count(&trial, "open new_ticket").await, 13);
    assert_eq!(mails(&trial, "notification", "subject").await, (11, 2), "the team is told of jo's own");
    assert_eq!(mails(&trial, "auto_answer", "").await, (3, 0), "and jo is answered");
}

async fn where_nobody_looks_a_name_is_all_that_is_known(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    storm_from(&trial, FOREIGN, different("forged", 10)).await;
    storm_from(&trial, OWN, different("own", 1)).await;
    assert_eq!(trial.fates().await.pop().as_deref(), Some("invalid flood_sender"));
}
