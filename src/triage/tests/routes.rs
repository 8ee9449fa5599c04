//! Which type a mail is for (B3).

use super::*;

#[track_caller]
fn routes_to(sample: &Sample, expected: TypeId) -> Decision {
    let decision = assert_code(sample, Act::Open, Code::NewTicket);
    assert_eq!(decision.type_id, Some(expected), "{decision:#?}");
    decision
}

fn envelope(sample: Sample, addresses: &[&str]) -> Sample {
    sample.with(|s| s.message.envelope_to = addresses.iter().map(|a| at(a)).collect())
}

#[test]
fn the_first_match_in_to_cc_bcc_and_envelope_decides() {
    let cc = |s: &mut Sample| s.message.cc = vec![named("support@desk.test")];
    routes_to(&mail(STRANGER).to(&["x@y.test", "support@desk.test", "sales@desk.test"]), SUPPORT);
    // Sales is read elsewhere, but Support's mailbox has it by right, so the first match decides.
    let noted = routes_to(&mail(STRANGER).to(&["sales@desk.test"]).with(cc), SALES);
    assert!(noted.trace.iter().any(|step| step.evidence == "Cc: support@desk.test"));
    let bcc = mail(STRANGER).to(&[]).with(|s| s.message.bcc = vec![named("support@desk.test")]);
    routes_to(&bcc, SUPPORT);
    routes_to(&envelope(mail(STRANGER).to(&["list@y.test"]), &["support@desk.test"]), SUPPORT);
}

#[test]
fn a_detail_and_a_pattern_name_a_type() {
    routes_to(&mail(STRANGER).to(&["Support+urgent@DESK.test"]), SUPPORT);
    let pattern = |s: &mut Sample| s.type_mut(SUPPORT).patterns = vec!["*@desk.test".into()];
    routes_to(&mail(STRANGER).to(&["anything@desk.test"]).with(pattern), SUPPORT);
}

#[test]
fn the_more_precise_pattern_wins_for_one_address() {
    let sample = mail(STRANGER).to(&["sales@desk.test"]).with(|s| {
        s.type_mut(SUPPORT).patterns = vec!["*@desk.test".into()];
        s.type_mut(SALES).mailbox = None;
    });
    routes_to(&sample, SALES);
}

#[test]
fn a_types_own_address_is_its_own_without_a_pattern() {
    let sample = mail(STRANGER).with(|s| s.type_mut(SUPPORT).patterns.clear());
    routes_to(&sample, SUPPORT);
    let claimed = sample.with(|s| {
        s.type_mut(SALES).patterns = vec!["s*@desk.test".into()];
        s.type_mut(SALES).mailbox = Some(HERE);
    });
    routes_to(&claimed, SALES);
}

#[test]
fn mail_for_another_mailbox_needs_the_envelope() {
    let dragged = mail(STRANGER).to(&["sales@desk.test"]);
    assert_code(&dragged, Act::Invalid, Code::ForeignMailbox);
    routes_to(&envelope(dragged.clone(), &["sales+eu@desk.test"]), SALES);
    assert_code(&envelope(dragged, &["someone@desk.test"]), Act::Invalid, Code::ForeignMailbox);
    let of_no_mailbox = |s: &mut Sample| s.type_mut(SALES).mailbox = None;
    routes_to(&mail(STRANGER).to(&["sales@desk.test"]).with(of_no_mailbox), SALES);
}

#[test]
fn a_catch_all_takes_what_nobody_else_has() {
    let catch_all = |s: &mut Sample| s.type_mut(SUPPORT).is_catch_all = true;
    routes_to(&mail(STRANGER).to(&["x@y.test"]).with(catch_all), SUPPORT);
    routes_to(&mail(STRANGER).to(&["sales@desk.test"]).with(catch_all), SUPPORT);
    let elsewhere = |s: &mut Sample| s.clues.mailbox = Some(ELSEWHERE);
    assert_code(
        &mail(STRANGER).to(&["x@y.test"]).with(catch_all).with(elsewhere),
        Act::Invalid,
        Code::NoType,
    );
}

#[test]
fn a_bounce_type_opens_nothing_and_hides_nobody() {
    let sample = mail(STRANGER).to(&["bounce+x@desk.test", "support@desk.test"]);
    routes_to(&sample, SUPPORT);
    let only = assert_code(&mail(STRANGER).to(&["bounce@desk.test"]), Act::Invalid, Code::NoType);
    assert!(only.reason.contains("reports only"), "{}", only.reason);
}

#[test]
fn without_rules_nothing_has_a_type() {
    let sample = mail(STRANGER).with(|s| {
        s.rules = Rules::default();
        s.clues = Clues::none();
    });
    assert_code(&sample, Act::Invalid, Code::NoType);
}
