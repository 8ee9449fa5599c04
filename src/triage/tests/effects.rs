//! What a decision sets off: who may reopen, who is told, who is answered.

use super::*;
use crate::triage::Effects;

#[track_caller]
fn check(sample: &Sample, expected: Effects) {
    let decision = sample.decide();
    assert_eq!(decision.effects, expected, "{decision:#?}");
}

const TOLD: Effects = Effects {
    is_automatic: false,
    is_note: false,
    reopens: false,
    notifies: true,
    answers: false,
    tells_agent: false,
    marks_address: false,
    holds_answer: None,
    holds_mails: None,
};

#[test]
fn a_new_ticket_is_told_and_answered_as_its_type_says() {
    check(&mail(STRANGER), Effects { answers: true, ..TOLD });
    check(&mail(STRANGER).with(|s| s.type_mut(SUPPORT).answers_automatically = false), TOLD);
}

#[test]
fn who_asks_for_no_automatic_answer_gets_none_and_his_ticket() {
    for sample in [
        mail(STRANGER).header("X-Auto-Response-Suppress", "DR, OOF, AutoReply"),
        mail("noreply@else.test"),
        mail("news-bounces@else.test"),
        mail("sales@desk.test"),
    ] {
        let decision = assert_code(&sample, Act::Open, Code::NewTicket);
        assert_eq!(decision.effects, TOLD);
        assert!(decision.trace.iter().any(|step| step.rule == "automatic_answer"));
    }
    check(&mail(STRANGER).header("X-Auto-Response-Suppress", "None"), Effects { answers: true, ..TOLD });
}

#[test]
fn only_a_proven_reply_of_someone_known_reopens() {
    let closed = |sample: Sample| sample.status(Status::Closed);
    check(&closed(mail(CONTACT).our_id()), Effects { reopens: true, ..TOLD });
    check(&closed(mail(STRANGER).our_id().belongs("cc")), Effects { reopens: true, ..TOLD });
    // A waiting ticket is taken up by the same proof.
    check(&mail(CONTACT).our_id().status(Status::Pending), Effects { reopens: true, ..TOLD });
    check(&closed(mail(STRANGER).our_id()), TOLD);
    check(&closed(mail(CONTACT).tag(TICKET, TagVerdict::Holds).belongs("contact")), TOLD);
    check(&closed(mail(CONTACT).foreign().belongs("contact")), TOLD);
}

#[test]
fn an_unproven_reply_opens_no_follow_up() {
    let follow_up = |sample: Sample| {
        sample.status(Status::Solved).with(|s| s.type_mut(SUPPORT).on_closed = OnClosed::FollowUp)
    };
    let proven = assert_code(&follow_up(mail(CONTACT).our_id()), Act::Open, Code::FollowUp);
    assert_eq!((proven.follows, proven.type_id), (Some(TICKET), Some(SUPPORT)));
    assert_eq!(proven.effects, Effects { answers: true, ..TOLD });
    let by_tag = follow_up(mail(CONTACT).tag(TICKET, TagVerdict::Holds).belongs("contact"));
    assert_code(&by_tag, Act::Append, Code::ReplyByTag);
    assert_code(&follow_up(mail(STRANGER).our_id()), Act::Append, Code::ReplyByOurId);
}

#[test]
fn an_agents_reply_is_a_note_that_tells_him_alone() {
    let note = Effects { is_note: true, tells_agent: true, notifies: false, ..TOLD };
    check(&mail(AGENT).our_id_to_team().status(Status::Closed), note);
    check(&mail(AGENT).tag(TICKET, TagVerdict::Holds).belongs("assignee"), note);
    // Forwarded to him by the contact: still not the contact's words.
    check(&mail(AGENT).our_id(), note);
    let written_to = mail(AGENT).our_id().with(|s| s.clues.ours[0].recipients = vec![at(AGENT)]);
    assert_code(&written_to, Act::Append, Code::ReplyByOurId);
}

#[test]
fn a_notification_in_a_strangers_hand_proves_no_place() {
    let sample = mail(STRANGER).our_id_to_team().status(Status::Closed).with(|s| {
        s.clues.ours[0].recipients = vec![at(STRANGER)];
    });
    check(&sample, TOLD);
}

#[test]
fn list_mail_is_told_only_where_it_opens() {
    let list = |sample: Sample| sample.header("List-Unsubscribe", "<mailto:off@else.test>");
    let opens = list(mail(STRANGER)).with(|s| s.type_mut(SUPPORT).list_mail = ListMail::Open);
    check(&opens, TOLD);
    check(&list(mail(CONTACT).our_id()), Effects { is_automatic: true, notifies: false, ..TOLD });
}

#[test]
fn the_team_is_not_blocked() {
    let blocked = |from: &str| mail(from).with(|s| s.clues.sender.blocked_by = Some("@desk.test".into()));
    assert_code(&blocked(AGENT), Act::Open, Code::NewTicket);
    assert_code(&blocked(CONTACT), Act::Invalid, Code::BlockedSender);
}

#[test]
fn our_side_of_the_desk_is_known() {
    let rules = rules();
    for ours in [AGENT, ADMIN, "agnes+x@desk.test", "support+1@desk.test", "bounce+17.1.mac@desk.test"] {
        assert!(rules.is_ours(&at(ours)), "{ours}");
    }
    assert!(!rules.is_ours(&at(CONTACT)) && !rules.is_ours(&at("else@desk.test")));
    assert_eq!(rules.blocked_by(&at("x@SPAMMER.test")), Some("@spammer.test"));
    assert_eq!(rules.blocked_by(&at("x@not-spammer.test")), None);
}

#[test]
fn an_admin_writing_to_another_admins_type_opens_a_ticket() {
    let sample = mail(ADMIN).with(|s| s.type_mut(SUPPORT).admin = Some(at("other@desk.test")));
    assert_code(&sample, Act::Open, Code::NewTicket);
}
