//! Whatever is thrown at it, `decide` answers, answers the same again, and keeps its promises.

use proptest::prelude::*;

use super::*;
use crate::mail::ReturnPath;
use crate::triage::Kind;

const SENDERS: &[&str] =
    &[CONTACT, STRANGER, AGENT, ADMIN, "mailer-daemon@mx.test", "x@spammer.test", "support@desk.test"];
const HEADERS: &[(&str, &str)] = &[
    ("Auto-Submitted", "auto-replied"),
    ("Precedence", "bulk"),
    ("List-Id", "<x>"),
    ("X-Maildesk-Loop", "desk-1"),
    ("X-Auto-Response-Suppress", "All"),
    ("X-MS-Exchange-Inbox-Rules-Loop", "carla@customer.test"),
];
const TO: &[&str] =
    &["support@desk.test", "sales@desk.test", "bounce@desk.test", "x@y.test", "support+a@desk.test"];
const REPORTS: &[&str] = &["delivery-status", "feedback-report", "disposition-notification", "", "what"];
const STATUSES: &[&str] = &["5.1.1", "4.4.7", "", "5", "9.9.9", "5.7.1 (no)"];
const ACTIONS: &[&str] = &["failed", "delayed", "delivered", "", "odd"];
const ACTS: &[Act] = &[Act::Open, Act::Append, Act::Bounce, Act::Invalid, Act::Error, Act::Discard];
const VERDICTS: &[TagVerdict] =
    &[TagVerdict::Holds, TagVerdict::NoSuchTicket, TagVerdict::OtherEntry, TagVerdict::OtherWord];

fn one_of<T: Clone + std::fmt::Debug + 'static>(list: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(list)
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(list: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(one_of(list), 0..3)
}

fn ticket_id() -> impl Strategy<Value = TicketId> {
    (4..8i64).prop_map(TicketId)
}

fn ours() -> impl Strategy<Value = OurMail> {
    (proptest::option::of(ticket_id()), some_of(SENDERS), any::<bool>()).prop_map(
        |(ticket, to, is_to_team)| OurMail {
            ticket,
            recipients: to.into_iter().map(at).collect(),
            is_to_team,
            ..our_mail()
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let report = (one_of(REPORTS), proptest::collection::vec(recipient(), 0..3));
    (
        proptest::option::of(one_of(SENDERS)),
        (some_of(TO), some_of(TO), some_of(TO)),
        some_of(HEADERS),
        (any::<bool>(), ".{0,20}"),
        proptest::option::of(report),
    )
        .prop_map(|(from, (to, cc, envelope), headers, (is_null, text), report)| Message {
            from: from.map(named),
            to: to.into_iter().map(named).collect(),
            cc: cc.into_iter().map(named).collect(),
            envelope_to: envelope.into_iter().map(at).collect(),
            headers: headers.iter().map(|(n, v)| Header { name: (*n).into(), value: (*v).into() }).collect(),
            return_path: if is_null { ReturnPath::Null } else { ReturnPath::Absent },
            text,
            report: report.map(|(kind, recipients)| Report {
                kind: kind.into(),
                recipients,
                ..Report::default()
            }),
            ..Message::default()
        })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let address = || proptest::option::of(one_of(SENDERS)).prop_map(|a| a.map(at));
    (address(), address(), one_of(STATUSES), one_of(ACTIONS), ".{0,20}").prop_map(
        |(address, original_address, status, action, diagnostic)| Recipient {
            address,
            original_address,
            status: status.into(),
            action: action.into(),
            diagnostic,
            ..Recipient::default()
        },
    )
}

fn clues() -> impl Strategy<Value = Clues> {
    let tag = (ticket_id(), one_of(VERDICTS)).prop_map(|(ticket, verdict)| TagClue {
        word: "Support".into(),
        ticket,
        log_entry: LogEntryId(1),
        verdict,
    });
    let foreign = ticket_id().prop_map(|ticket| ForeignEntry {
        message_id: id("old@x.test"),
        log_entry: LogEntryId(2),
        ticket,
    });
    let copied = (one_of(ACTS), proptest::option::of(ticket_id()), any::<bool>())
        .prop_map(|(act, ticket, is_same_body)| Copy { is_same_body, ..copy(act, ticket) });
    (
        (proptest::option::of(1..3i64), proptest::option::weighted(0.1, Just(OutboxId(1)))),
        proptest::collection::vec(ours(), 0..3),
        (proptest::option::of(ours()), any::<bool>()),
        (proptest::option::of(tag), proptest::collection::vec(foreign, 0..2)),
        (proptest::collection::vec(known_ticket(), 0..4), proptest::collection::vec(copied, 0..2)),
    )
        .prop_map(|((mailbox, echo), ours, (reported, by_verp), (tag, foreign), (tickets, copies))| {
            Clues {
                mailbox: mailbox.map(MailboxId),
                echo,
                ours,
                reported,
                reported_by_verp: by_verp,
                tag,
                foreign,
                tickets,
                copies,
                ..Clues::none()
            }
        })
}

fn known_ticket() -> impl Strategy<Value = TicketClue> {
    let how = proptest::option::of(one_of(&["contact", "cc", "receiver", "assignee"]));
    (ticket_id(), ticket_id(), 0..6usize, any::<bool>(), how).prop_map(
        |(id, resolved, status, is_deleted, how)| TicketClue {
            id,
            resolved,
            type_id: TypeId(status as i64),
            status: Status::all().nth(status).unwrap(),
            is_deleted,
            sender_is: how.map(str::to_owned),
        },
    )
}

proptest! {
    #[test]
    fn decide_always_answers_and_keeps_its_promises(message in message(), clues in clues()) {
        let sample = Sample { message, rules: rules(), clues };
        let d = sample.decide();
        prop_assert_eq!(&d, &sample.decide());
        prop_assert!(d.reason.starts_with(d.code.words()));
        prop_assert!(d.act != Act::Append || d.ticket.is_some());
        prop_assert!(d.act != Act::Open || d.type_id.is_some());
        prop_assert!(!d.effects.answers || d.act == Act::Open && d.kind == Kind::Person);
        prop_assert!(!d.effects.reopens || d.act == Act::Append && d.kind == Kind::Person);
        prop_assert!(!d.effects.marks_address || d.bounces.iter().any(|f| f.hard && f.is_attributed));
        prop_assert!(d.kind != Kind::AutoReply || !d.effects.notifies && d.act != Act::Open);
        prop_assert!(d.supersedes.is_empty() || matches!(d.act, Act::Open | Act::Append | Act::Bounce));
        prop_assert_eq!(d.original.is_some(), matches!(d.code, Code::Duplicate | Code::DuplicateDiffers));
        let stored: Decision = serde_json::from_str(&serde_json::to_string(&d).unwrap()).unwrap();
        prop_assert_eq!(stored, d);
    }

    #[test]
    fn split_never_panics(text in "(?s).{0,200}") {
        use crate::mail::quoting::{Relation, split};
        for relation in [Relation::Answer, Relation::Forward, Relation::Own] {
            split(&text, &[], relation);
        }
    }
}
