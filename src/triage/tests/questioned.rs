//! What is asked of the store.

use super::*;
use crate::mail::{MailKeys, OurToken};
use crate::triage::{Questions, questions};

fn keys() -> MailKeys {
    MailKeys::new(vec![(1, [7; 32])], [9; 32])
}

fn ours(outbox: i64) -> MessageId {
    keys().message_id(OutboxId(outbox), "desk.test")
}

fn token(outbox: i64) -> OurToken {
    OurToken { outbox: OutboxId(outbox) }
}

fn ask(sample: &Sample) -> Questions {
    questions(&sample.message, &sample.rules, &keys())
}

#[test]
fn ids_are_asked_nearest_first_without_doubles() {
    let asked = ask(&mail(CONTACT).with(|s| {
        s.message.in_reply_to = vec![ours(3), id("parent@x.test")];
        s.message.references =
            vec![id("root@x.test"), ours(1), ours(3), id("parent@x.test"), id("m1@customer.test")];
    }));
    assert_eq!(asked.ours, [token(3), token(1)]);
    assert_eq!(asked.foreign, [id("parent@x.test"), id("root@x.test")]);
    assert_eq!(asked.from, Some(at(CONTACT)));
    assert_eq!(asked.echo, None);
}

#[test]
fn endless_references_cost_a_bounded_number_of_look_ups() {
    let asked = ask(&mail(CONTACT).with(|s| {
        s.message.references = (0..10_000).map(|n| id(&format!("{n}@x.test"))).collect();
    }));
    assert_eq!(asked.foreign.len(), 50);
    assert_eq!(asked.foreign[0], id("9999@x.test"));
}

#[test]
fn our_own_message_id_is_an_echo() {
    assert_eq!(ask(&mail(CONTACT).with(|s| s.message.message_id = Some(ours(4)))).echo, Some(token(4)));
}

#[test]
fn a_report_is_asked_by_return_path_and_original() {
    let path = keys().return_path(OutboxId(8), "bounce", "desk.test");
    let sample = mail("mailer-daemon@mx.test").bounce(vec![]).with(|s| {
        s.message.report.as_mut().unwrap().original_message_id = Some(ours(7));
        s.message.report.as_mut().unwrap().original_subject = "Re: [Support #5-50] printer".into();
        s.message.subject = "Undeliverable: [Support #1-1]".into();
        s.message.envelope_to = vec![path.clone()];
    });
    let asked = ask(&sample);
    assert_eq!((asked.verp, asked.original), (Some(token(8)), Some(token(7))));
    assert_eq!(asked.tag.unwrap().ticket, TICKET);
    let by_to = ask(&mail(CONTACT).to(&[path.as_str()]));
    assert_eq!(by_to.verp, Some(token(8)));
    let headless = sample.with(|s| s.message.report.as_mut().unwrap().original_subject.clear());
    assert_eq!(ask(&headless).tag.unwrap().ticket, TicketId(1));
}

#[test]
fn of_several_tags_that_of_a_current_type_is_asked() {
    let tag = |subject: &str| {
        ask(&mail(CONTACT).with(|s| s.message.subject = subject.into())).tag.map(|t| t.ticket.0)
    };
    assert_eq!(tag("[support #1-1] [RT #2-2]"), Some(1));
    assert_eq!(tag("[Support #1-1] Re: [Support #2-2]"), Some(2));
    assert_eq!(tag("[Old #3-3] printer"), Some(3));
    assert_eq!(tag("printer"), None);
}
