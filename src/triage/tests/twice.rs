//! The same mail twice (B10).

use super::*;

fn numbered(arrival: i64, act: Act, ticket: Option<TicketId>) -> Copy {
    Copy { arrival: ArrivalId(arrival), ..copy(act, ticket) }
}

#[test]
fn a_fate_that_stands_is_inherited() {
    for (act, ticket) in [
        (Act::Open, Some(TICKET)),
        (Act::Append, Some(TICKET)),
        (Act::Bounce, Some(TICKET)),
        (Act::Bounce, None),
    ] {
        let decision =
            assert_code(&mail(STRANGER).copies(vec![copy(act, ticket)]), Act::Discard, Code::Duplicate);
        assert_eq!((decision.original, decision.ticket), (Some(ArrivalId(100)), ticket), "{act:?}");
    }
}

#[test]
fn a_mail_that_finds_its_place_supersedes_its_first_copies() {
    let copies = vec![
        numbered(1, Act::Invalid, Some(TICKET)),
        numbered(2, Act::Discard, Some(TICKET)),
        numbered(3, Act::Error, None),
    ];
    let decision = assert_code(&mail(STRANGER).copies(copies), Act::Open, Code::NewTicket);
    assert_eq!(decision.supersedes, [ArrivalId(1), ArrivalId(2), ArrivalId(3)]);
}

#[test]
fn no_mail_stands_twice_in_a_queue() {
    let copies = || vec![numbered(1, Act::Discard, None), numbered(2, Act::Invalid, None)];
    let nowhere = mail(STRANGER).to(&["x@y.test"]).copies(copies());
    let decision = assert_code(&nowhere, Act::Discard, Code::Duplicate);
    assert_eq!((decision.original, decision.ticket), (Some(ArrivalId(2)), None));
    assert!(decision.supersedes.is_empty());
    let unreadable = nowhere.with(|s| s.message = Message::default());
    assert_code(&unreadable.copies(vec![numbered(2, Act::Error, None)]), Act::Discard, Code::Duplicate);
}

#[test]
fn a_discarded_copy_keeps_nobody_from_the_queue() {
    let sample = mail(STRANGER).to(&["x@y.test"]).copies(vec![numbered(1, Act::Discard, None)]);
    assert_code(&sample, Act::Invalid, Code::NoType);
}

#[test]
fn what_an_admin_has_put_on_a_ticket_stands() {
    let accepted = Copy { log_entry: Some(LogEntryId(9)), ..copy(Act::Invalid, Some(TICKET)) };
    assert_code(&mail(STRANGER).copies(vec![accepted]), Act::Discard, Code::Duplicate);
}

#[test]
fn a_copy_whose_ticket_is_gone_does_not_stand_and_is_not_superseded() {
    let decision =
        assert_code(&mail(STRANGER).copies(vec![copy(Act::Open, None)]), Act::Open, Code::NewTicket);
    assert!(decision.supersedes.is_empty());
}
