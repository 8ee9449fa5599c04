//! Whom a report is about, and what it may set off (D1, D3).

use super::*;
use crate::triage::Finding;

fn report(recipients: Vec<Recipient>) -> Sample {
    mail("mailer-daemon@mx.test").bounce(recipients)
}

fn to_two() -> OurMail {
    OurMail { recipients: vec![at(CONTACT), at("cc@customer.test")], ..our_mail() }
}

#[track_caller]
fn only(decision: &Decision) -> &Finding {
    let [finding] = decision.bounces.as_slice() else { panic!("{decision:#?}") };
    finding
}

#[test]
fn a_hard_bounce_of_an_answer_is_told_and_marks_the_address() {
    let decision = report(vec![failed(CONTACT, "5.1.1")]).about(our_mail(), true).decide();
    let finding = only(&decision);
    assert_eq!(finding.recipient, Some(at(CONTACT)));
    assert_eq!((finding.class.as_str(), finding.hard), ("user_unknown", true));
    assert_eq!(finding.original_message_id, our_mail().message_id.as_str());
    assert!(decision.effects.notifies && decision.effects.marks_address && decision.effects.is_automatic);
}

#[test]
fn soft_and_delayed_are_not_hard() {
    let soft = report(vec![failed(CONTACT, "4.2.2")]).about(our_mail(), true).decide();
    assert!(!only(&soft).hard && soft.effects.notifies && !soft.effects.marks_address);
    let delayed = Recipient { action: "delayed".into(), ..failed(CONTACT, "4.4.1") };
    let delayed = report(vec![delayed]).about(our_mail(), true).decide();
    assert_eq!((delayed.act, delayed.code), (Act::Bounce, Code::BounceByVerp));
    assert!(!delayed.effects.notifies && !delayed.effects.marks_address);
}

#[test]
fn a_missing_status_is_assumed_and_said_to_be() {
    for (action, status, hard) in [
        ("failed", "5.0.0", true),
        ("", "5.0.0", true),
        ("delayed", "4.0.0", false),
        ("relayed", "2.0.0", false),
    ] {
        let block = Recipient { action: action.into(), ..failed(CONTACT, "") };
        let decision = report(vec![block]).about(our_mail(), true).decide();
        let finding = only(&decision);
        assert_eq!((finding.status.as_str(), finding.hard), (status, hard), "{action:?}");
        assert!(!finding.status_stated);
    }
}

#[test]
fn the_recipient_is_the_one_we_wrote_to() {
    let forwarded = Recipient { original_address: Some(at(CONTACT)), ..failed("hidden@isp.test", "5.1.1") };
    let decision = report(vec![forwarded]).about(to_two(), true).decide();
    assert_eq!(decision.code, Code::BounceByVerp);
    assert_eq!(only(&decision).recipient, Some(at(CONTACT)));
    // One recipient: the report can be about nobody else.
    let decision = report(vec![failed("hidden@isp.test", "5.1.1")]).about(our_mail(), true).decide();
    assert_eq!(only(&decision).recipient, Some(at(CONTACT)));
    assert!(decision.effects.marks_address);
}

#[test]
fn an_unattributed_report_marks_nobody() {
    let decision = report(vec![failed("hidden@isp.test", "5.1.1")]).about(to_two(), true).decide();
    assert_eq!(decision.code, Code::BounceUnattributed);
    assert!(!only(&decision).is_attributed && !decision.effects.marks_address);
    assert!(decision.effects.notifies, "an answer has failed for somebody");
}

#[test]
fn only_recipients_of_ours_may_be_marked() {
    let decision = report(vec![failed(CONTACT, "5.1.1"), failed("victim@else.test", "5.1.1")])
        .about(to_two(), true)
        .decide();
    let attributed: Vec<bool> = decision.bounces.iter().map(|f| f.is_attributed).collect();
    assert_eq!(attributed, [true, false]);
}

#[test]
fn a_report_that_names_nobody_is_soft() {
    let decision = report(vec![]).about(our_mail(), false).decide();
    let finding = only(&decision);
    assert_eq!(
        (finding.status.as_str(), finding.hard, &finding.recipient),
        ("4.0.0", false, &Some(at(CONTACT)))
    );
    assert!(decision.effects.notifies && !decision.effects.marks_address);
}

#[test]
fn a_bounced_notification_is_recorded_and_told_to_nobody() {
    let notification = OurMail { is_to_team: true, recipients: vec![at(ADMIN)], ..our_mail() };
    let decision = report(vec![failed(ADMIN, "5.1.1")]).about(notification, true).decide();
    assert_eq!((decision.code, decision.ticket), (Code::BounceByVerp, Some(TICKET)));
    assert!(!decision.effects.notifies && !decision.effects.marks_address);
}

#[test]
fn what_anybody_could_have_written_is_shown_and_does_nothing() {
    let decision = report(vec![failed(CONTACT, "5.1.1")]).tag(TICKET, TagVerdict::Holds).decide();
    assert_eq!((decision.code, decision.ticket), (Code::BounceByTag, Some(TICKET)));
    assert!(!decision.effects.notifies && !decision.effects.marks_address);
}

#[test]
fn a_read_receipt_is_noted_on_the_ticket_of_the_mail_it_is_about() {
    let receipt = mail(CONTACT).report("disposition-notification", vec![]).about(our_mail(), false);
    let decision = assert_code(&receipt, Act::Append, Code::AutoReplyNoted);
    assert_eq!(decision.ticket, Some(TICKET));
}

#[test]
fn a_complaint_neither_notifies_nor_marks() {
    let complaint = mail(STRANGER).report("feedback-report", vec![]).about(our_mail(), true);
    let decision = assert_code(&complaint, Act::Bounce, Code::Complaint);
    assert_eq!(only(&decision).class, "complaint");
    assert!(!decision.effects.notifies && !decision.effects.marks_address);
}

#[test]
fn a_report_is_heard_whoever_sent_it() {
    let blocked = mail("mailer-daemon@spammer.test").bounce(vec![failed(CONTACT, "5.1.1")]);
    assert_code(&blocked.about(our_mail(), true), Act::Bounce, Code::BounceByVerp);
}
