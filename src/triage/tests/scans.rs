//! The virus scanner's word (B12): a virus gets past nothing, and what is clean or was not looked at goes on.

use super::*;

fn infected(sample: Sample) -> Sample {
    sample.scanned(Scan::Found("Eicar-Signature".into()))
}

#[test]
fn a_virus_comes_onto_no_ticket_by_any_way() {
    let first = Copy { is_same_body: false, ..copy(Act::Open, Some(TICKET)) };
    let bounce = mail(STRANGER).bounce(vec![failed(CONTACT, "5.1.1")]).about(our_mail(), true);
    for sample in [
        mail(STRANGER),
        mail(CONTACT).our_id().belongs("contact"),
        mail(CONTACT).belongs("contact").tag(TICKET, TagVerdict::Holds),
        mail(STRANGER).copies(vec![first]),
        mail(AGENT),
        bounce,
    ] {
        let decision = assert_code(&infected(sample), Act::Invalid, Code::VirusFound);
        assert!(decision.reason.ends_with(": Eicar-Signature"), "{}", decision.reason);
    }
}

#[test]
fn a_virus_that_comes_again_stands_in_the_queue_once() {
    let again = infected(mail(STRANGER).copies(vec![copy(Act::Invalid, None)]));
    assert_code(&again, Act::Discard, Code::Duplicate);
}

#[test]
fn what_is_clean_or_was_not_looked_at_goes_on_and_the_trace_says_so() {
    for (scan, said) in [
        (Scan::Clean, "nothing was found"),
        (Scan::Skipped("the scanner could not be asked".into()), "the scanner could not be asked"),
    ] {
        let decision = assert_code(&mail(STRANGER).scanned(scan), Act::Open, Code::NewTicket);
        let step = decision.trace.iter().find(|step| step.rule == "virus_scan").expect("a step");
        assert_eq!(step.evidence, said);
    }
    let without = mail(STRANGER).decide();
    assert!(without.trace.iter().all(|step| step.rule != "virus_scan"), "{without:?}");
}
