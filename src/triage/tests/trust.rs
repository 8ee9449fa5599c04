//! Grades and what they set off (M6): whose word counts, where it must stand, and how far a mail of each grade reaches.

use super::*;
use crate::triage::Effects;
use crate::triage::trust::{Checks, Found, Grade, Outcome, Policy, Sealed};

const OURS: &str = "from out.test (out.test [192.0.2.9]) by mx.desk.test (Postfix) with ESMTPS; now";
const FOREIGN: &str = "from pc.test (pc.test [192.0.2.8]) by out.test with ESMTPSA; now";
const RESULTS: &str = "Authentication-Results";

/// Somebody is to look: at the word of mx.desk.test.
fn looked_at(sample: Sample) -> Sample {
    sample.with(|s| {
        s.rules.verdicts.relays = vec!["mx.desk.test".into()];
        s.rules.trust.authserv_id = "mx.desk.test".into();
    })
}

/// As our relay has graded it.
pub fn of_relay(sample: Sample, words: &str) -> Sample {
    looked_at(sample).header(RESULTS, &format!("mx.desk.test; {words}")).header("Received", OURS)
}

fn grade(sample: &Sample) -> Grade {
    let decision = sample.decide();
    let step = decision.trace.iter().find(|step| step.rule == "trust").expect("a step of the trace");
    let trust = decision.trust.expect("somebody looked");
    assert!(step.verdict.starts_with(trust.grade.as_str()), "{step:?}");
    trust.grade
}

#[test]
fn only_our_relays_word_counts_and_only_where_it_can_have_written_it() {
    let pass = "mx.desk.test; dmarc=pass header.from=customer.test";
    let ours = |value| (RESULTS, value);
    let received = |value| ("Received", value);
    for (fields, expected) in [
        (vec![ours(pass), received(OURS), received(FOREIGN)], Grade::Pass),
        // Another server's, whatever it says; also one that calls itself nearly so.
        (vec![ours("mx.evil.test; dmarc=pass"), received(OURS)], Grade::Neutral),
        (vec![ours("mx.desk.test.evil.test; dmarc=pass"), received(OURS)], Grade::Neutral),
        (vec![ours("dmarc=pass"), received(OURS)], Grade::Neutral),
        // Written by the sender: below our border, or above a border that he has made up.
        (vec![received(OURS), ours(pass), received(FOREIGN)], Grade::Neutral),
        (vec![received(OURS), ours(pass), received(OURS)], Grade::Neutral),
        (vec![ours(pass), received(FOREIGN), received(OURS)], Grade::Neutral),
        (vec![ours(pass)], Grade::Neutral),
        // Of several, ours; of two of ours, the one on top.
        (vec![ours("mx.evil.test; dmarc=fail (p=reject)"), ours(pass), received(OURS)], Grade::Pass),
        (
            vec![
                ours("mx.desk.test; dmarc=fail (p=reject)"),
                ours("mx.evil.test; dmarc=pass"),
                received(OURS),
            ],
            Grade::Fail,
        ),
        (vec![ours("mx.desk.test; dmarc=fail (p=reject)"), ours(pass), received(OURS)], Grade::Fail),
        (vec![ours("mx.desk.test; spf=pass"), ours(pass), received(OURS)], Grade::Pass),
        (vec![ours(pass), received(OURS), ours("mx.desk.test; dmarc=fail (p=reject)")], Grade::Pass),
    ] {
        let sample = fields.iter().fold(looked_at(mail(CONTACT)), |sample, (n, v)| sample.header(n, v));
        assert_eq!(grade(&sample), expected, "{fields:?}");
    }
}

#[test]
fn relays_that_strip_foreign_fields_may_write_below_their_received() {
    let below = |id: &str| {
        let sample = looked_at(mail(CONTACT)).header("Received", OURS);
        let sample = sample.header(RESULTS, &format!("{id}dmarc=pass header.from=customer.test"));
        sample.with(|s| s.rules.verdicts.strips_verdicts = true)
    };
    assert_eq!(grade(&below("mx.desk.test; ")), Grade::Pass);
    assert_eq!(grade(&below("")), Grade::Neutral);
    // Exchange Online names nobody.
    let nameless = below("").with(|s| s.rules.trust.authserv_id = "none".into());
    assert_eq!(grade(&nameless), Grade::Pass);
}

#[test]
fn words_become_grades() {
    for (words, expected) in [
        ("dmarc=pass header.from=customer.test", Grade::Pass),
        ("dmarc=pass", Grade::Pass),
        // About another From than the one that is shown.
        ("dmarc=pass header.from=other.test", Grade::Neutral),
        ("dmarc=fail (p=reject) header.from=other.test", Grade::Neutral),
        ("dkim=pass header.d=customer.test", Grade::Pass),
        ("dkim=pass header.d=customer.test; dmarc=none", Grade::Pass),
        ("dkim=pass header.d=mail.customer.test", Grade::Neutral),
        ("dkim=pass header.d=esp.test; spf=pass smtp.mailfrom=customer.test", Grade::Neutral),
        ("spf=pass smtp.mailfrom=a@customer.test", Grade::Neutral),
        ("dmarc=fail (p=reject) header.from=customer.test", Grade::Fail),
        ("dmarc=fail (p=QUARANTINE sp=NONE dis=NONE) header.from=customer.test", Grade::Fail),
        ("dmarc=fail action=oreject header.from=customer.test", Grade::Fail),
        ("dmarc=fail (p=none) header.from=customer.test", Grade::Neutral),
        ("dmarc=fail header.from=customer.test", Grade::Neutral),
        ("dmarc=temperror (p=reject)", Grade::Neutral),
        ("dmarc=permerror; spf=fail smtp.mailfrom=customer.test", Grade::Neutral),
        ("none", Grade::Neutral),
    ] {
        assert_eq!(grade(&of_relay(mail(CONTACT), words)), expected, "{words}");
    }
}

#[test]
fn seals_count_from_the_newest_down_to_the_first_stranger() {
    let found = |result| Found::new(result, "customer.test");
    let failed = Checks {
        dmarc: Some(found(Outcome::Fail)),
        policy: Policy::Reject,
        spf: Some(found(Outcome::Fail)),
        ..Checks::default()
    };
    let seal = |domain: &str, result| {
        let checks = Checks { dmarc: Some(found(result)), ..Checks::default() };
        Sealed { domain: domain.into(), checks }
    };
    let (pass, fail) = (Outcome::Pass, Outcome::Fail);
    for (chain, expected) in [
        (vec![], Grade::Fail),
        (vec![seal("lists.test", pass)], Grade::Pass),
        (vec![seal("a.lists.test", pass)], Grade::Pass),
        (vec![seal("evillists.test", pass)], Grade::Fail),
        (vec![seal("lists.test", fail)], Grade::Fail),
        (vec![seal("lists.test", fail), seal("forwarder.test", pass)], Grade::Pass),
        (vec![seal("lists.test", fail), seal("evil.test", pass)], Grade::Fail),
        (vec![seal("evil.test", pass), seal("lists.test", pass)], Grade::Fail),
    ] {
        let sample = mail(CONTACT).with(|s| {
            s.rules.trust.verifies = true;
            s.rules.trust.arc_sealers = vec!["lists.test".into(), "forwarder.test".into()];
            s.clues.trust = Some(Checks { chain: chain.clone(), ..failed.clone() });
        });
        assert_eq!(grade(&sample), expected, "{chain:?}");
    }
}

#[test]
fn what_is_verified_goes_before_the_relays_word_where_spf_was_judged() {
    let verified = |spf: Option<Found>| {
        of_relay(mail(CONTACT), "dmarc=fail (p=reject)").with(|s| {
            s.rules.trust.verifies = true;
            let dmarc = Some(Found::new(Outcome::Pass, "customer.test"));
            s.clues.trust = Some(Checks { spf, dmarc, ..Checks::default() });
        })
    };
    assert_eq!(grade(&verified(Some(Found::new(Outcome::None, "customer.test")))), Grade::Pass);
    assert_eq!(grade(&verified(None)), Grade::Fail);
    let nobody_asked = verified(None).with(|s| {
        s.clues.trust = None;
        s.rules.trust.authserv_id.clear();
    });
    assert_eq!(grade(&nobody_asked), Grade::Neutral);
    let off = nobody_asked.with(|s| s.rules.trust.verifies = false).decide();
    assert!(off.trust.is_none() && off.trace.iter().all(|step| step.rule != "trust"));
}

/// reopens, notifies, answers
fn effects(sample: &Sample) -> (bool, bool, bool) {
    let Effects { reopens, notifies, answers, .. } = sample.decide().effects;
    (reopens, notifies, answers)
}

#[test]
fn a_grade_limits_what_a_mail_sets_off() {
    let (pass, neutral, fail) = ("dmarc=pass", "dmarc=none", "dmarc=fail (p=reject)");
    let question = |words| of_relay(mail(CONTACT), words);
    let reply = |words| of_relay(mail(CONTACT).tag(TICKET, TagVerdict::Holds).belongs("contact"), words);
    let to_ours = |words| of_relay(mail(CONTACT).our_id().belongs("contact"), words);
    assert_eq!(effects(&question(pass)), (false, true, true));
    assert_eq!(effects(&question(neutral)), (false, true, false));
    assert_eq!(effects(&reply(pass)), (true, true, false));
    assert_eq!(effects(&reply(neutral)), (false, true, false));
    // Our Message-ID in it is proof enough, as long as nothing speaks against it.
    assert_eq!(effects(&to_ours(neutral)), (true, true, false));
    for sample in [question(fail), reply(fail), to_ours(fail)] {
        assert_eq!(effects(&sample), (false, false, false));
        let decision = assert_code(&sample, Act::Invalid, Code::TrustFailed);
        assert!(decision.trace.iter().any(|step| step.rule == "trust_limit"), "{:?}", decision.trace);
    }
    assert_eq!(reply(fail).decide().ticket, Some(TICKET), "an admin may accept it onto the ticket it names");
    let quiet = |sample: Sample| sample.with(|s| s.rules.trust.fail = Reach::Quiet);
    assert_eq!(effects(&quiet(to_ours(fail))), (false, false, false));
    assert_code(&quiet(to_ours(fail)), Act::Append, Code::ReplyByOurId);
    assert_code(&quiet(question(fail)), Act::Open, Code::NewTicket);
    let told = |sample: Sample| sample.with(|s| s.rules.trust.fail = Reach::Notify);
    assert_eq!(effects(&told(reply(fail))), (false, true, false));
    let full = |sample: Sample| sample.with(|s| s.rules.trust.neutral = Reach::Full);
    assert_eq!(effects(&full(reply(neutral))), (true, true, false));
    // A proven stranger is a stranger still; a report rests on our MAC.
    let stranger = of_relay(mail(STRANGER).tag(TICKET, TagVerdict::Holds), "dkim=pass header.d=else.test");
    assert_eq!(stranger.decide().act, Act::Invalid);
    let report = of_relay(mail(CONTACT).bounce(vec![failed(CONTACT, "5.1.1")]).about(our_mail(), true), fail);
    assert_code(&report, Act::Bounce, Code::BounceByVerp);
}

#[test]
fn a_forged_admin_is_set_aside_and_not_discarded() {
    let sample = || mail(ADMIN).with(|s| s.type_mut(SUPPORT).admin = Some(at(ADMIN)));
    assert_eq!(sample().decide().code, Code::AdminToHimself);
    assert_code(&of_relay(sample(), "dmarc=fail (p=reject)"), Act::Invalid, Code::TrustFailed);
}
