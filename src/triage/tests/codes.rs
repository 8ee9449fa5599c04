//! Every code that triage gives, by at least one mail.

use std::collections::HashSet;

use super::trust::of_relay;
use super::*;
use crate::triage::{Kind, Step};

/// Codes that intake gives before there is a message to decide on.
const OF_INTAKE: &[Code] =
    &[Code::TooBig, Code::Refused, Code::Poison, Code::AcceptedByAdmin, Code::ReassignedByAdmin];

struct Case {
    what: &'static str,
    sample: Sample,
    act: Act,
    code: Code,
    ticket: Option<TicketId>,
}

fn case(what: &'static str, sample: Sample, act: Act, code: Code, ticket: Option<TicketId>) -> Case {
    Case { what, sample, act, code, ticket }
}

fn opened() -> Vec<Case> {
    use Act::Open;
    let follow_up = |s: &mut Sample| s.type_mut(SUPPORT).on_closed = OnClosed::FollowUp;
    let opens_lists = |s: &mut Sample| s.type_mut(SUPPORT).list_mail = ListMail::Open;
    let forged = mail(STRANGER).tag(TicketId(404), TagVerdict::NoSuchTicket);
    vec![
        case("a first mail", mail(STRANGER), Open, Code::NewTicket, None),
        case("a forged tag line", forged, Open, Code::NewTicket, None),
        case(
            "a tag line of another entry",
            mail(CONTACT).belongs("contact").tag(TICKET, TagVerdict::OtherEntry),
            Open,
            Code::NewTicket,
            None,
        ),
        case(
            "a reply to a closed ticket whose type follows up",
            mail(CONTACT).our_id().belongs("contact").status(Status::Closed).with(follow_up),
            Open,
            Code::FollowUp,
            None,
        ),
        case(
            "a list whose type opens tickets",
            mail(STRANGER).header("List-Id", "<talk.else.test>").with(opens_lists),
            Open,
            Code::ListOpened,
            None,
        ),
    ]
}

fn appended() -> Vec<Case> {
    use Act::Append;
    let holds = TagVerdict::Holds;
    let on = Some(TICKET);
    vec![
        case(
            "our id, the contact",
            mail(CONTACT).our_id().belongs("contact"),
            Append,
            Code::ReplyByOurId,
            on,
        ),
        case("our id, a stranger", mail(STRANGER).our_id(), Append, Code::ReplyByOurId, on),
        case("our return path", mail(CONTACT).about(our_mail(), true), Append, Code::ReplyByOurId, on),
        case(
            "our id against the tag line",
            mail(CONTACT).our_id().tag(OTHER_TICKET, holds),
            Append,
            Code::ReplyByOurIdNotTag,
            on,
        ),
        case(
            "our id with its own tag line",
            mail(CONTACT).our_id().tag(TICKET, holds),
            Append,
            Code::ReplyByOurId,
            on,
        ),
        case("tag line", mail(CONTACT).tag(TICKET, holds).belongs("cc"), Append, Code::ReplyByTag, on),
        case("foreign id", mail(CONTACT).foreign().belongs("contact"), Append, Code::ReplyByForeignId, on),
        case(
            "a predecessor's tag",
            mail(CONTACT).predecessor().belongs("contact"),
            Append,
            Code::ReplyByPredecessorTag,
            on,
        ),
        case(
            "tag line against foreign id",
            mail(CONTACT).foreign().tag(OTHER_TICKET, holds).with(|s| {
                s.clues.tickets[1].sender_is = Some("contact".into());
            }),
            Append,
            Code::ReplyByTag,
            Some(OTHER_TICKET),
        ),
        case(
            "a merged ticket",
            mail(STRANGER).our_id().with(|s| s.clues.tickets[0].resolved = OTHER_TICKET),
            Append,
            Code::ReplyByOurId,
            Some(OTHER_TICKET),
        ),
        case("an agent", mail(AGENT).our_id_to_team(), Append, Code::AgentReplyNotSent, on),
        case("an admin by tag", mail(ADMIN).tag(TICKET, holds), Append, Code::AgentReplyNotSent, on),
        case(
            "an agent who is the contact",
            mail(AGENT).our_id().belongs("contact"),
            Append,
            Code::ReplyByOurId,
            on,
        ),
        case(
            "out of office",
            mail(CONTACT).our_id().header("Auto-Submitted", "auto-replied"),
            Append,
            Code::AutoReplyNoted,
            on,
        ),
        case(
            "a list that answers",
            mail(CONTACT).foreign().belongs("contact").header("Precedence", "list"),
            Append,
            Code::ListNoted,
            on,
        ),
    ]
}

fn bounced() -> Vec<Case> {
    use Act::Bounce;
    let report = || mail("mailer-daemon@mx.test").bounce(vec![failed(CONTACT, "5.1.1")]);
    let about_two = || OurMail { recipients: vec![at(CONTACT), at(STRANGER)], ..our_mail() };
    let on = Some(TICKET);
    vec![
        case("verp", report().about(our_mail(), true), Bounce, Code::BounceByVerp, on),
        case("our id", report().about(our_mail(), false), Bounce, Code::BounceByOurId, on),
        case("tag line", report().tag(TICKET, TagVerdict::Holds), Bounce, Code::BounceByTag, on),
        case(
            "a forged tag line",
            report().tag(TICKET, TagVerdict::OtherWord),
            Bounce,
            Code::BounceUnmatched,
            None,
        ),
        case("backscatter", report(), Bounce, Code::BounceUnmatched, None),
        case(
            "none of two recipients",
            mail(STRANGER).bounce(vec![failed("x@y.test", "5.1.1")]).about(about_two(), true),
            Bounce,
            Code::BounceUnattributed,
            on,
        ),
        case(
            "on a deleted ticket",
            report().about(our_mail(), true).deleted(),
            Bounce,
            Code::BounceByVerp,
            None,
        ),
        case(
            "a complaint",
            mail(STRANGER).report("feedback-report", vec![]).about(our_mail(), false),
            Bounce,
            Code::Complaint,
            on,
        ),
    ]
}

fn refused() -> Vec<Case> {
    use Act::Invalid;
    let holds = TagVerdict::Holds;
    let on = Some(TICKET);
    vec![
        case("another address", mail(STRANGER).to(&["x@y.test"]), Invalid, Code::NoType, None),
        case(
            "marked as spam",
            mail(STRANGER).header("X-Spam-Flag", "YES").header("Received", "by mx.desk.test; now").with(
                |s| {
                    s.rules.verdicts.relays = vec!["mx.desk.test".into()];
                },
            ),
            Invalid,
            Code::SpamVerdict,
            None,
        ),
        case(
            "one more than the limit from a sender",
            mail(STRANGER).with(|s| s.clues.pace = paced(LoopRule::default().sender)),
            Invalid,
            Code::FloodSender,
            None,
        ),
        case(
            "far more than the limit from a sender",
            mail(STRANGER).with(|s| s.clues.pace = paced(LoopRule::default().sender_journalled)),
            Act::Discard,
            Code::FloodJournalled,
            None,
        ),
        case(
            "a virus in a reply",
            mail(CONTACT).our_id().belongs("contact").scanned(Scan::Found("Eicar-Signature".into())),
            Invalid,
            Code::VirusFound,
            None,
        ),
        case("too big to scan", mail(STRANGER).scanned(Scan::TooBig), Invalid, Code::NotScanned, None),
        case(
            "DMARC fails",
            of_relay(mail(CONTACT).our_id().belongs("contact"), "dmarc=fail (p=reject)"),
            Invalid,
            Code::TrustFailed,
            on,
        ),
        case(
            "nobody vouches",
            of_relay(mail(STRANGER), "dmarc=none").with(|s| s.rules.trust.neutral = Reach::Invalid),
            Invalid,
            Code::TrustUnproven,
            None,
        ),
        case("the bounce type", mail(STRANGER).to(&["bounce@desk.test"]), Invalid, Code::NoType, None),
        case("dragged over", mail(STRANGER).to(&["sales@desk.test"]), Invalid, Code::ForeignMailbox, None),
        case("a stranger's tag", mail(STRANGER).tag(TICKET, holds), Invalid, Code::StrangerOnTicket, on),
        case("a stranger's thread", mail(STRANGER).foreign(), Invalid, Code::StrangerOnThread, on),
        case("a deleted ticket", mail(CONTACT).our_id().deleted(), Invalid, Code::DeletedTicket, on),
        case(
            "a machine",
            mail(STRANGER).header("X-Autoreply", "yes"),
            Invalid,
            Code::AutoReplyUnplaced,
            None,
        ),
        case(
            "a strange machine on a ticket",
            mail(STRANGER).tag(TICKET, holds).header("X-Autoreply", "yes"),
            Invalid,
            Code::AutoReplyUnplaced,
            on,
        ),
        case("bulk mail", mail(STRANGER).header("Precedence", "bulk"), Invalid, Code::ListMail, None),
        case("a blocked domain", mail("x@spammer.test"), Invalid, Code::BlockedSender, None),
        case("no From", mail(STRANGER).with(|s| s.message.from = None), Invalid, Code::NoSender, None),
    ]
}

fn set_aside() -> Vec<Case> {
    let copied = |is_same_body| {
        let first = Copy { is_same_body, ..copy(Act::Open, Some(TICKET)) };
        mail(STRANGER).copies(vec![first])
    };
    let on = Some(TICKET);
    vec![
        case(
            "nothing to read",
            mail(STRANGER).with(|s| s.message = Message::default()),
            Act::Error,
            Code::Unreadable,
            None,
        ),
        case("the same again", copied(true), Act::Discard, Code::Duplicate, on),
        case("the same with another body", copied(false), Act::Discard, Code::DuplicateDiffers, on),
        case(
            "our own Message-ID",
            mail(STRANGER).with(|s| s.clues.echo = Some(OutboxId(17))),
            Act::Discard,
            Code::OwnEcho,
            None,
        ),
        case(
            "our own mark",
            mail(STRANGER).header("X-Maildesk-Loop", "desk-1; 1"),
            Act::Discard,
            Code::OwnEcho,
            None,
        ),
        case("an admin to himself", mail(ADMIN), Act::Discard, Code::AdminToHimself, None),
    ]
}

fn cases() -> Vec<Case> {
    [opened(), appended(), bounced(), refused(), set_aside()].into_iter().flatten().collect()
}

/// So many messages of the sender came just before.
fn paced(count: u64) -> Option<crate::triage::Pace> {
    let met = vec![(crate::triage::LoopKey::Sender, count)];
    Some(crate::triage::Pace { window_s: 3600, met, is_let_through: false })
}

#[test]
fn every_mail_gets_its_code() {
    for case in cases() {
        let decision = case.sample.decide();
        let said = (decision.act, decision.code, decision.ticket);
        assert_eq!(said, (case.act, case.code, case.ticket), "{}: {decision:#?}", case.what);
        assert!(decision.reason.starts_with(case.code.words()), "{}: {}", case.what, decision.reason);
        assert!(!decision.trace.is_empty(), "{}", case.what);
    }
}

/// B11: from the kind to the decision each step names its rule, what it saw, and what it made of that.
#[test]
fn every_step_of_a_trace_has_its_evidence() {
    for case in cases() {
        let trace = case.sample.decide().trace;
        let is_said =
            |step: &Step| ![&step.rule, &step.evidence, &step.verdict].iter().any(|w| w.trim().is_empty());
        assert!(trace.iter().all(is_said), "{}: {trace:#?}", case.what);
        let (first, last) = (trace.first().unwrap(), trace.last().unwrap());
        assert_eq!(first.rule, "kind", "{}", case.what);
        assert_eq!(
            (last.rule.as_str(), last.verdict.as_str()),
            ("decision", case.code.as_str()),
            "{}",
            case.what
        );
    }
}

#[test]
fn every_code_of_triage_has_a_mail() {
    let seen: HashSet<Code> = cases().iter().map(|case| case.code).collect();
    let expected: HashSet<Code> =
        Code::ALL.iter().copied().filter(|code| !OF_INTAKE.contains(code)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_same_clues_give_the_same_decision_also_from_the_store() {
    for case in cases() {
        let Sample { message, rules, clues } = &case.sample;
        let stored: Clues = serde_json::from_str(&serde_json::to_string(clues).unwrap()).unwrap();
        assert_eq!(&stored, clues, "{}", case.what);
        let decision = case.sample.decide();
        assert_eq!(decide(message, rules, &stored), decision, "{}", case.what);
        let read: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        assert_eq!(read, decision, "{}", case.what);
    }
}

/// B8: machine mail never opens a ticket, reopens one, is told of or is answered.
#[test]
fn automatic_mail_sets_nothing_off() {
    for case in cases() {
        let decision = case.sample.decide();
        let effects = decision.effects;
        if decision.kind == Kind::AutoReply {
            assert_ne!(decision.act, Act::Open, "{}", case.what);
            assert!(!effects.reopens && !effects.notifies && !effects.answers, "{}", case.what);
        }
        assert!(
            !effects.answers || decision.act == Act::Open && decision.kind == Kind::Person,
            "{}",
            case.what
        );
        assert!(!effects.marks_address || decision.act == Act::Bounce, "{}", case.what);
    }
}
