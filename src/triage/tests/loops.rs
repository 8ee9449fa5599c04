//! The loop breaker: what a count before the message makes of it.

use super::trust::of_relay;
use super::*;
use crate::mail::ReturnPath;
use crate::triage::loops::{cap_met, keys_asked, keys_met};
use crate::triage::{LoopKey, Pace};

const CAPS: LoopRule = LoopRule {
    window_s: 3600,
    sender: 10,
    sender_journalled: 20,
    address: 3,
    domain: 6,
    subject: 8,
    ticket: 4,
};

fn paced(sample: Sample, met: &[(LoopKey, u64)]) -> Sample {
    let pace = Pace { window_s: 3600, met: met.to_vec(), is_let_through: false };
    sample.with(|s| {
        s.rules.loops = CAPS;
        s.clues.pace = Some(pace);
    })
}

/// What the loop breaker has noted.
fn noted(decision: &Decision) -> Vec<String> {
    let steps = decision.trace.iter().filter(|step| step.rule == "loops");
    steps.map(|step| format!("{} -> {}", step.evidence, step.verdict)).collect()
}

#[test]
fn a_sender_is_taken_in_suspended_and_then_journalled() {
    for (before, act, code) in [
        (0, Act::Open, Code::NewTicket),
        (9, Act::Open, Code::NewTicket),
        (10, Act::Invalid, Code::FloodSender),
        (19, Act::Invalid, Code::FloodSender),
        (20, Act::Discard, Code::FloodJournalled),
        (100_000, Act::Discard, Code::FloodJournalled),
    ] {
        let decision = paced(mail(STRANGER), &[(LoopKey::Sender, before)]).decide();
        assert_eq!((decision.act, decision.code), (act, code), "{before}");
    }
    let decision = paced(mail(STRANGER), &[(LoopKey::Sender, 10)]).decide();
    assert_eq!(
        noted(&decision),
        [format!("sender {STRANGER}: 11 within 60 min, at most 10 -> flood_sender")]
    );
    assert_eq!(decision.effects, Effects::default());
}

#[test]
fn what_is_let_through_or_exempt_is_no_flood() {
    let flooded = |sample| paced(sample, &[(LoopKey::Sender, 1000)]);
    let let_through = flooded(mail(STRANGER)).with(|s| s.clues.pace.as_mut().unwrap().is_let_through = true);
    assert_code(&let_through, Act::Open, Code::NewTicket);
    assert_code(&flooded(mail(STRANGER)).with(|s| s.clues.pace = None), Act::Open, Code::NewTicket);
    let without = flooded(mail(STRANGER)).with(|s| {
        s.rules.loops.sender = 0;
        s.rules.loops.sender_journalled = 0;
    });
    assert_code(&without, Act::Open, Code::NewTicket);
    // RFC 5321 §4.5.5: whatever comes with the null return path is a report, or a machine's; it opens nothing.
    let null = flooded(mail(STRANGER)).with(|s| s.message.return_path = ReturnPath::Null);
    assert_code(&null, Act::Invalid, Code::AutoReplyUnplaced);
    let bounce =
        flooded(mail("mailer-daemon@x.test")).bounce(vec![failed(CONTACT, "5.1.1")]).about(our_mail(), true);
    assert_code(&bounce, Act::Bounce, Code::BounceByVerp);
    // And none of them counts.
    for sample in [let_through, null, bounce] {
        let met = keys_met(&sample.message, &sample.rules, &sample.clues, &sample.decide());
        assert!(!met.contains(&LoopKey::Sender), "{met:?}");
    }
}

#[test]
fn mails_wait_in_hold_where_their_cap_is_met() {
    let ticket = LoopKey::Ticket(TICKET);
    for (key, before, answer, mails) in [
        (LoopKey::Address, 2, None, None),
        (LoopKey::Address, 3, Some(LoopKey::Address), None),
        (LoopKey::Domain, 5, None, None),
        (LoopKey::Domain, 6, Some(LoopKey::Domain), None),
        (LoopKey::Subject, 7, None, None),
        (LoopKey::Subject, 8, None, Some(LoopKey::Subject)),
        // It opens a ticket: what is counted on others is nothing to it.
        (ticket, 100, None, None),
    ] {
        let decision = paced(mail(STRANGER), &[(key, before)]).decide();
        assert_eq!((decision.act, decision.effects.answers), (Act::Open, true));
        let held = (decision.effects.holds_answer, decision.effects.holds_mails);
        assert_eq!(held, (answer, mails), "{key:?} {before}");
    }
    let reply = |before| paced(mail(CONTACT).our_id().belongs("contact"), &[(ticket, before)]).decide();
    assert_eq!(reply(3).effects.holds_mails, None);
    let held = reply(4);
    assert_eq!((held.act, held.effects.holds_mails), (Act::Append, Some(ticket)));
    assert_eq!(
        noted(&held),
        [format!("ticket {TICKET}: 5 within 60 min, at most 4 -> its mails wait in hold")]
    );
}

#[test]
fn a_message_counts_for_what_it_sets_off() {
    let met = |sample: &Sample| {
        let decision = sample.decide();
        let mut met = keys_met(&sample.message, &sample.rules, &sample.clues, &decision);
        met.sort();
        // What counts must have been asked for.
        let asked = keys_asked(&sample.message, &sample.clues, &sample.rules);
        assert!(met.iter().all(|key| asked.contains(key)), "{met:?} {asked:?}");
        met
    };
    use LoopKey::{Address, Domain, Sender, Subject, Ticket};
    assert_eq!(met(&paced(mail(STRANGER), &[])), [Sender, Address, Domain, Subject]);
    let reply = mail(CONTACT).our_id().belongs("contact");
    assert_eq!(met(&paced(reply.clone(), &[])), [Sender, Subject, Ticket(TICKET)]);
    // A machine's mail sets nothing off, and counts all the same.
    assert_eq!(met(&paced(reply.header("Auto-Submitted", "auto-replied"), &[])), [Sender]);
    // What waits counts on: a storm has to pause before answers go out again.
    assert_eq!(met(&paced(mail(STRANGER), &[(Address, 3)])), [Sender, Address, Domain, Subject]);
    let again = paced(mail(STRANGER), &[]).copies(vec![copy(Act::Open, Some(TICKET))]);
    assert!(met(&again).is_empty());
}

#[test]
fn a_detail_does_not_change_who_writes() {
    for (from, sender, domain) in
        [("bot+17@x.test", "bot@x.test", "x.test"), ("bot@mail.x.test", "bot@mail.x.test", "mail.x.test")]
    {
        let message = mail(from).message;
        assert_eq!(LoopKey::Sender.name(&message).as_deref(), Some(sender));
        assert_eq!(LoopKey::Address.name(&message).as_deref(), Some(sender));
        assert_eq!(LoopKey::Domain.name(&message).as_deref(), Some(domain));
    }
    assert_eq!(
        LoopKey::Subject.name(&mail(STRANGER).with(|s| s.message.subject = "Re:".into()).message),
        None
    );
}

/// M6, M8: who forges a customer's address must not bring that customer's own mail into the invalid queue.
#[test]
fn forged_mail_counts_for_the_machine_that_brought_it() {
    let machine = LoopKey::Client("192.0.2.9".parse().unwrap());
    let forged = |met: &[(LoopKey, u64)]| paced(of_relay(mail(STRANGER), "dmarc=fail (p=reject)"), met);
    let own = |met: &[(LoopKey, u64)]| paced(of_relay(mail(STRANGER), "dmarc=pass"), met);
    let met = |sample: &Sample| {
        let (asked, decision) = (keys_asked(&sample.message, &sample.clues, &sample.rules), sample.decide());
        let met = keys_met(&sample.message, &sample.rules, &sample.clues, &decision);
        assert!(met.iter().all(|key| asked.contains(key)), "{met:?} {asked:?}");
        met
    };
    assert_eq!(met(&forged(&[])), [machine]);
    assert!(met(&own(&[])).contains(&LoopKey::Sender) && !met(&own(&[])).contains(&machine));
    // Where it is told of, it counts for its subject as well, and never for whom it names.
    let told = forged(&[]).with(|s| s.rules.trust.fail = Reach::Notify);
    assert_eq!(met(&told), [machine, LoopKey::Subject]);
    // What each has sent is held against nobody else.
    assert_code(&forged(&[(LoopKey::Sender, 100)]), Act::Invalid, Code::TrustFailed);
    assert_code(&own(&[(machine, 100)]), Act::Open, Code::NewTicket);
    assert_code(&own(&[(LoopKey::Sender, 10)]), Act::Invalid, Code::FloodSender);
    assert_code(&forged(&[(machine, 9)]), Act::Invalid, Code::TrustFailed);
    assert_code(&forged(&[(machine, 20)]), Act::Discard, Code::FloodJournalled);
    let flood = forged(&[(machine, 10)]);
    assert_code(&flood, Act::Invalid, Code::FloodSender);
    assert_eq!(noted(&flood.decide()), ["client 192.0.2.9: 11 within 60 min, at most 10 -> flood_sender"]);
    assert_eq!(cap_met(&flood.message, &flood.rules, &flood.decide()), Some(machine));
    // A machine that nobody has noted counts for nothing; one with many addresses of IPv6 is one.
    let unnoted = |s: &mut Sample| {
        s.message.headers.iter_mut().for_each(|h| h.value = h.value.replace("192.0.2.9", ""))
    };
    assert!(met(&forged(&[]).with(unnoted)).is_empty());
    let many = |s: &mut Sample| {
        let v6 = "IPv6:2001:db8:1:2:3:4:5:6";
        s.message.headers.iter_mut().for_each(|h| h.value = h.value.replace("192.0.2.9", v6));
    };
    assert_eq!(met(&forged(&[]).with(many)), [LoopKey::Client("2001:db8:1:2::".parse().unwrap())]);
    // Without anybody who looks, nothing of it.
    let unasked = forged(&[(machine, 100)]).with(|s| s.rules.trust = TrustRule::default());
    assert_eq!(met(&unasked), met(&paced(mail(STRANGER), &[])));
}
