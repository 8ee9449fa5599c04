//! What a decision asks: each look-up sees what was born at `as_of` or before, and nothing that happened later.

use maildesk::mail::subject::TagLine;
use maildesk::store::clue::TicketAsked;
use maildesk::store::journal::Fate;
use maildesk::store::outbox::{NewOutbox, NewRecipient, Purpose};
use maildesk::store::ticket::EntryKind;
use maildesk::store::{Cause, Counter, Event, Happened, Store, Tx};
use maildesk::ticket::{EventNumber, LogEntryId, OutboxId, Status, TicketId};
use maildesk::triage::clues::TagVerdict;
use maildesk::triage::{Act, Code};

use super::world::{
    Opened, address, arrive, at, composed, decide_as, decision, declared, digest, id_hash, key, keys,
    lay_down, mail_key, open_ticket, stamp, ticket_clue, write_entry,
};

on_both!(
    a_predecessors_tag_finds_its_ticket,
    copies_are_those_decided_before,
    a_copy_settled_later_stood_nowhere,
    our_mail_is_known_from_its_number_on,
    a_tag_line_holds_from_its_number_on,
    foreign_ids_find_their_entries,
    a_key_is_known_once_its_mail_is_decided,
    a_sender_is_a_contact_from_his_number_on,
    a_ticket_is_seen_as_it_was,
    an_assignee_belongs_while_he_is_it,
    a_merge_is_followed_from_its_number_on,
    many_are_asked_about_at_once,
    what_is_read_ahead_is_forgotten_with_a_change,
);

fn before(number: EventNumber) -> EventNumber {
    EventNumber(number.0 - 1)
}

async fn copies_are_those_decided_before(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let key = keys().hash(&[b"mail", b"the same"]);
    let mail_key = maildesk::store::journal::MailKey { message_id: None, key: key.clone(), id_hash: None };
    let mut copies = vec![];
    for n in 0..3 {
        let bytes: &[u8] = if n == 1 { b"other body" } else { b"body" };
        let id = arrive(&mut tx, laid.mailbox, &n.to_string(), bytes).await;
        let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
        let number = tx.draw_decision().await.unwrap();
        let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
        decide_as(&mut tx, id, &decision(Act::Open, Code::NewTicket), fate, number).await;
        tx.settle_arrival(id, &mail_key, true).await.unwrap();
        copies.push((id, fate, number));
    }
    let now = tx.draw_decision().await.unwrap();
    let body = digest(b"body");
    let found = tx.copies_of(&key, &body, copies[2].0, now).await.unwrap();
    assert_eq!(
        found.iter().map(|c| c.arrival).collect::<Vec<_>>(),
        [copies[0].0, copies[1].0],
        "oldest first"
    );
    assert_eq!(found.iter().map(|c| c.is_same_body).collect::<Vec<_>>(), [true, false]);
    assert_eq!(
        (found[0].ticket, found[0].log_entry, found[0].act),
        (copies[0].1.ticket, copies[0].1.log_entry, Act::Open)
    );
    let then = tx.copies_of(&key, &body, copies[2].0, before(copies[1].2)).await.unwrap();
    assert_eq!(then.len(), 1, "the second was not decided then");
    assert!(tx.copies_of(&key, &body, copies[2].0, before(copies[0].2)).await.unwrap().is_empty());
    assert!(tx.copies_of(b"another key", &body, copies[2].0, now).await.unwrap().is_empty());
}

async fn a_copy_settled_later_stood_nowhere(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let other = arrive(&mut tx, laid.mailbox, "2", b"x").await;
    let decided = tx.draw_decision().await.unwrap();
    decide_as(&mut tx, id, &decision(Act::Invalid, Code::StrangerOnTicket), Fate::default(), decided).await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let settled = tx.draw_decision().await.unwrap();
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    tx.settle_journal(id, fate, settled).await.unwrap();
    let key = mail_key(&format!("{id}@x.test")).key;
    let then = tx.copies_of(&key, b"", other, before(settled)).await.unwrap();
    assert_eq!((then[0].ticket, then[0].log_entry, then[0].act), (None, None, Act::Invalid));
    let now = tx.copies_of(&key, b"", other, settled).await.unwrap();
    assert_eq!((now[0].ticket, now[0].log_entry), (fate.ticket, fate.log_entry));
}

async fn our_mail_is_known_from_its_number_on(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    for (purpose, is_to_team) in [
        (Purpose::Notification, true),
        (Purpose::Forward, true),
        (Purpose::Answer, false),
        (Purpose::AutoAnswer, false),
        (Purpose::Notice, true),
        (Purpose::Alert, true),
    ] {
        let id = OutboxId(tx.draw(Counter::Outbox).await.unwrap());
        let number = tx.draw_decision().await.unwrap();
        let message_id = keys().message_id(id, "example.com");
        let recipients = ["zoe@x.test", "ann@x.test"].map(|a| NewRecipient {
            address: address(a),
            name: String::new(),
            contact: None,
        });
        let new = NewOutbox {
            id,
            purpose,
            ticket: Some(opened.ticket),
            log_entry: Some(opened.entry),
            relay: Some(laid.relay),
            message_id: &message_id,
            return_path: None,
            sender: &address("support@example.com"),
            subject: "s",
            composed: &composed("mail"),
            operation: purpose.as_str(),
            number,
            recipients: &recipients,
            held_by: None,
        };
        tx.enqueue(&new, at(1)).await.unwrap();
        assert_eq!(tx.our_mails(&[id], before(number)).await.unwrap().get(&id), None);
        let mail = tx.our_mails(&[OutboxId(99), id], number).await.unwrap().remove(&id).unwrap();
        assert_eq!((mail.outbox, &mail.message_id), (id, &message_id));
        assert_eq!((mail.ticket, mail.log_entry), (Some(opened.ticket), Some(opened.entry)));
        assert_eq!(mail.recipients, [address("ann@x.test"), address("zoe@x.test")]);
        assert_eq!(mail.is_to_team, is_to_team, "{purpose:?}");
    }
    assert!(tx.our_mails(&[OutboxId(99)], EventNumber(99)).await.unwrap().is_empty());
}

async fn a_tag_line_holds_from_its_number_on(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let other = open_ticket(&mut tx, &laid, "bob@x.test", "monitor").await;
    let second = tx.draw_decision().await.unwrap();
    let entry = write_entry(&mut tx, opened.ticket, EntryKind::Inbound, None, second).await;
    let renamed = tx.draw_decision().await.unwrap();
    for tag in ["Büro", "Support"] {
        tx.remember_tag(opened.ticket, tag, renamed).await.unwrap();
    }
    let mut verdict = async |word: &str, ticket: TicketId, log_entry: LogEntryId, as_of| {
        tx.tag_verdicts(&[&TagLine { word: word.into(), ticket, log_entry }], as_of).await.unwrap()[0]
    };
    assert_eq!(verdict("Support", opened.ticket, opened.entry, renamed).await, TagVerdict::Holds);
    assert_eq!(
        verdict("SUPPORT", opened.ticket, entry, renamed).await,
        TagVerdict::Holds,
        "case is no matter"
    );
    assert_eq!(verdict("BÜRO", opened.ticket, entry, renamed).await, TagVerdict::Holds, "beyond ASCII too");
    assert_eq!(verdict("Büro", opened.ticket, entry, before(renamed)).await, TagVerdict::OtherWord);
    assert_eq!(verdict("Sales", opened.ticket, entry, renamed).await, TagVerdict::OtherWord);
    assert_eq!(verdict("Support", opened.ticket, entry, before(second)).await, TagVerdict::OtherEntry);
    assert_eq!(verdict("Support", opened.ticket, other.entry, renamed).await, TagVerdict::OtherEntry);
    assert_eq!(verdict("Support", other.ticket, other.entry, opened.number).await, TagVerdict::NoSuchTicket);
    assert_eq!(verdict("Support", TicketId(99), entry, renamed).await, TagVerdict::NoSuchTicket);
}

async fn foreign_ids_find_their_entries(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let first = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let second = open_ticket(&mut tx, &laid, "bob@x.test", "monitor").await;
    let hash_of = |entry: LogEntryId| id_hash(&format!("entry{entry}@x.test"));
    let (one, other, nobody) = (hash_of(first.entry), hash_of(second.entry), id_hash("nobody@x.test"));
    // More than one statement asks for.
    let crowd: Vec<Vec<u8>> = (0..450).map(|n| id_hash(&n.to_string())).collect();
    let mut hashes: Vec<&[u8]> = crowd.iter().map(|h| &h[..]).collect();
    hashes.extend([&other[..], &one[..], &nobody[..]]);
    let found = tx.entries_of_hashes(&hashes, second.number).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[&one], [(first.entry, first.ticket)]);
    assert_eq!(found[&other], [(second.entry, second.ticket)]);
    let then = tx.entries_of_hashes(&hashes, before(second.number)).await.unwrap();
    assert_eq!(then.into_keys().collect::<Vec<_>>(), [one]);
    assert!(tx.entries_of_hashes(&[], second.number).await.unwrap().is_empty());
}

async fn a_key_is_known_once_its_mail_is_decided(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let (key, nobody): (Vec<u8>, Vec<u8>) = (mail_key(&format!("{id}@x.test")).key, mail_key("nobody").key);
    let mut asked: Vec<&[u8]> = vec![&nobody; 450];
    asked.push(&key);
    assert!(tx.known_mail_keys(&asked).await.unwrap().is_empty());
    decide_as(&mut tx, id, &decision(Act::Discard, Code::OwnEcho), Fate::default(), EventNumber(1)).await;
    let known = tx.known_mail_keys(&asked).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [key]);
    assert!(tx.known_mail_keys(&[]).await.unwrap().is_empty());
}

async fn a_sender_is_a_contact_from_his_number_on(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let ann = address("ann@x.test");
    let (eve, bob) = (address("eve@x.test"), address("bob@x.test"));
    let later = open_ticket(&mut tx, &laid, "bob@x.test", "monitor").await;
    let now = tx.contacts_as_of(&[&ann, &eve, &bob], later.number).await.unwrap();
    assert_eq!((now.get(&ann), now.get(&bob), now.len()), (Some(&opened.contact), Some(&later.contact), 2));
    let then = tx.contacts_as_of(&[&ann, &eve, &bob], opened.number).await.unwrap();
    assert_eq!((then.get(&ann), then.len()), (Some(&opened.contact), 1));
    assert!(tx.contacts_as_of(&[], later.number).await.unwrap().is_empty());
    // By another address of the same contact.
    let home = address("ann@home.test");
    let clue = ticket_clue(&mut tx, opened.ticket, Some(&home), Some(opened.contact), opened.number).await;
    assert_eq!(clue.unwrap().sender_is.as_deref(), Some("contact"));
    let clue = ticket_clue(&mut tx, opened.ticket, Some(&home), None, opened.number).await;
    assert_eq!(clue.unwrap().sender_is, None);
    let clue = ticket_clue(&mut tx, opened.ticket, None, None, opened.number).await;
    assert_eq!(clue.unwrap().sender_is, None);
}

/// Changes a ticket as the desk does: the row and its event.
async fn happens(tx: &mut Tx, opened: &Opened, happened: Happened, detail: String) -> EventNumber {
    let event = Event { ticket: Some(opened.ticket), log_entry: None, happened, detail };
    tx.append_event(&event, &Cause::system("test"), at(5)).await.unwrap()
}

async fn a_ticket_is_seen_as_it_was(store: &Store) {
    let laid = lay_down(store).await;
    let sales = add_type(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let id = opened.ticket;
    tx.set_status(id, Status::Closed, at(2)).await.unwrap();
    let closed = happens(&mut tx, &opened, Happened::StatusChanged, "new>closed".into()).await;
    tx.set_status(id, Status::Open, at(2)).await.unwrap();
    let reopened = happens(&mut tx, &opened, Happened::Reopened, "closed>open".into()).await;
    tx.set_type(id, sales, at(2)).await.unwrap();
    let retyped = happens(&mut tx, &opened, Happened::TypeChanged, format!("{}>{sales}", laid.support)).await;
    tx.set_deleted(id, true, at(2)).await.unwrap();
    let deleted = happens(&mut tx, &opened, Happened::Deleted, String::new()).await;
    tx.set_deleted(id, false, at(2)).await.unwrap();
    let restored = happens(&mut tx, &opened, Happened::Restored, String::new()).await;
    happens(&mut tx, &opened, Happened::EntryAdded, "reply_by_tag".into()).await;
    tx.commit().await.unwrap();
    let expected = [
        (opened.number, Status::New, laid.support, false),
        (before(closed), Status::New, laid.support, false),
        (closed, Status::Closed, laid.support, false),
        (reopened, Status::Open, laid.support, false),
        (retyped, Status::Open, sales, false),
        (deleted, Status::Open, sales, true),
        (restored, Status::Open, sales, false),
        (EventNumber(1000), Status::Open, sales, false),
    ];
    let mut tx = store.read().await.unwrap();
    for (as_of, status, of_type, is_deleted) in expected {
        let clue = ticket_clue(&mut tx, id, None, None, as_of).await.unwrap();
        assert_eq!(
            (clue.status, clue.type_id, clue.is_deleted),
            (status, of_type, is_deleted),
            "as of {as_of}"
        );
        assert_eq!((clue.id, clue.resolved), (id, id));
    }
    assert!(ticket_clue(&mut tx, id, None, None, before(opened.number)).await.is_none(), "not yet born");
    assert!(ticket_clue(&mut tx, TicketId(99), None, None, restored).await.is_none());
}

async fn add_type(store: &Store) -> maildesk::ticket::TypeId {
    let mut spec = declared(&super::world::CONFIG).types[0].clone();
    (spec.name, spec.tag, spec.patterns) = ("Sales".into(), "Sales".into(), vec!["sales@example.com".into()]);
    spec.address = address("sales@example.com");
    let key = key();
    let mut tx = store.write().await.unwrap();
    let id = tx.create_type(&spec, &stamp(&key)).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn an_assignee_belongs_while_he_is_it(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    tx.set_assignee(opened.ticket, Some(laid.agent), at(2)).await.unwrap();
    let assigned = happens(&mut tx, &opened, Happened::Assigned, format!(">{}", laid.agent)).await;
    tx.set_assignee(opened.ticket, None, at(2)).await.unwrap();
    let freed = happens(&mut tx, &opened, Happened::Assigned, format!("{}>", laid.agent)).await;
    let agent = address("agent@home.example");
    for (as_of, is) in [(before(assigned), None), (assigned, Some("assignee")), (freed, None)] {
        let clue = ticket_clue(&mut tx, opened.ticket, Some(&agent), None, as_of).await.unwrap();
        assert_eq!(clue.sender_is.as_deref(), is, "as of {as_of}");
    }
}

async fn a_merge_is_followed_from_its_number_on(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let from = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let into = open_ticket(&mut tx, &laid, "bob@x.test", "printer").await;
    let closed = happens(&mut tx, &from, Happened::StatusChanged, "new>closed".into()).await;
    let merged = happens(&mut tx, &from, Happened::Merged, format!("{}>{}", from.ticket, into.ticket)).await;
    tx.merge(from.ticket, into.ticket, merged, at(2)).await.unwrap();
    let ann = address("ann@x.test");
    let clue = ticket_clue(&mut tx, from.ticket, Some(&ann), None, merged).await.unwrap();
    assert_eq!((clue.id, clue.resolved, clue.status), (from.ticket, into.ticket, Status::New));
    assert_eq!(clue.sender_is.as_deref(), Some("contact"));
    let clue = ticket_clue(&mut tx, from.ticket, Some(&ann), None, before(closed)).await.unwrap();
    assert_eq!((clue.resolved, clue.status), (from.ticket, Status::New), "not merged then");
    let clue = ticket_clue(&mut tx, into.ticket, Some(&ann), None, before(closed)).await.unwrap();
    assert_eq!(clue.sender_is, None, "nor did she belong to the other");
}

async fn many_are_asked_about_at_once(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let (ann, bob) = (address("ann@x.test"), address("bob@x.test"));
    let of_ann = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let of_bob = open_ticket(&mut tx, &laid, "bob@x.test", "monitor").await;
    let unknown = TicketId(99);
    // More than one statement asks for, in an order of its own.
    let tickets = [of_bob.ticket, unknown, of_ann.ticket];
    let asked: Vec<TicketAsked<'_>> = (0..300)
        .map(|n| TicketAsked {
            ticket: tickets[n % 3],
            sender: Some(if n % 2 == 0 { &ann } else { &bob }),
            contact: None,
        })
        .collect();
    let clues = tx.ticket_clues(&asked, of_bob.number).await.unwrap();
    let tags: Vec<TagLine> = asked
        .iter()
        .map(|a| TagLine { word: "support".into(), ticket: a.ticket, log_entry: of_ann.entry })
        .collect();
    let verdicts = tx.tag_verdicts(&tags.iter().collect::<Vec<_>>(), of_bob.number).await.unwrap();
    for (n, (clue, verdict)) in clues.into_iter().zip(verdicts).enumerate() {
        let expected = match n % 3 {
            0 => (Some((of_bob.ticket, n % 2 == 1)), TagVerdict::OtherEntry),
            1 => (None, TagVerdict::NoSuchTicket),
            _ => (Some((of_ann.ticket, n % 2 == 0)), TagVerdict::Holds),
        };
        assert_eq!((clue.map(|c| (c.id, c.sender_is.is_some())), verdict), expected, "{n}");
    }
    assert!(tx.ticket_clues(&[], of_bob.number).await.unwrap().is_empty());
    assert!(tx.tag_verdicts(&[], of_bob.number).await.unwrap().is_empty());
}

async fn what_is_read_ahead_is_forgotten_with_a_change(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let id = opened.ticket;
    for status in [Status::Open, Status::Solved] {
        ticket_clue(&mut tx, id, None, None, opened.number).await.unwrap();
        tx.set_status(id, status, at(2)).await.unwrap();
        assert_eq!(tx.ticket(id).await.unwrap().status, status);
    }
    ticket_clue(&mut tx, id, None, None, opened.number).await.unwrap();
    assert!(tx.claim_auto_answer(id).await.unwrap());
    assert!(tx.ticket(id).await.unwrap().auto_answered);
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    tx.savepoint().await.unwrap();
    tx.set_deleted(id, true, at(3)).await.unwrap();
    assert!(ticket_clue(&mut tx, id, None, None, opened.number).await.unwrap().is_deleted);
    tx.rollback_to_savepoint().await.unwrap();
    assert!(!tx.ticket(id).await.unwrap().is_deleted, "what was read ahead went with the savepoint");
}

async fn a_predecessors_tag_finds_its_ticket(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let tag = "[Ticket#7]";
    tx.remember_tag(opened.ticket, tag, opened.number).await.unwrap();
    let before = EventNumber(opened.number.0 - 1);
    assert_eq!(tx.ticket_of_predecessor(tag, opened.number).await.unwrap(), Some(opened.ticket));
    assert_eq!(tx.ticket_of_predecessor(tag, before).await.unwrap(), None);
    assert_eq!(tx.ticket_of_predecessor("[Ticket#8]", opened.number).await.unwrap(), None);
}
