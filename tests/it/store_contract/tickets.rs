//! Tickets, their entries, attachments, tags and who belongs to them.

use maildesk::mail::{Attachment, Encoding, Span};
use maildesk::store::journal::Fate;
use maildesk::store::listing::TicketFilter;
use maildesk::store::ticket::{EntryKind, NewEntry, NewTicket, Receiver, TicketEdit};
use maildesk::store::{Counter, Error, Store};
use maildesk::ticket::{LogEntryId, Status, TicketId};
use maildesk::triage::{Act, Code};

use super::world::{
    address, arrive, at, decide, decision, flushed, lay_down, mail_key, open_ticket, person, place,
    ticket_clue, write_entry,
};

on_both!(
    what_an_import_opened_is_settled,
    a_ticket_is_as_it_was_opened,
    each_change_is_a_version,
    a_merge_is_followed_to_its_end,
    entries_make_a_thread,
    attachments_are_spans_of_their_mail,
    who_belongs_stays_as_he_is,
    an_automatic_answer_is_claimed_once,
    words_are_kept_as_they_stand,
);

async fn a_ticket_is_as_it_was_opened(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    let follow_up = NewTicket {
        type_id: laid.support,
        tag: "Support",
        subject: "printer again",
        contact: None,
        follows: Some(opened.ticket),
        number,
    };
    let second = tx.insert_ticket(&follow_up, at(3)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let ticket = tx.ticket(opened.ticket).await.unwrap();
    assert_eq!((ticket.id, ticket.type_id, ticket.status), (opened.ticket, laid.support, Status::New));
    assert_eq!((ticket.subject.as_str(), ticket.contact), ("printer", Some(opened.contact)));
    assert_eq!((ticket.assignee, ticket.merged_into, ticket.number), (None, None, opened.number));
    assert_eq!((ticket.auto_answered, ticket.is_deleted, ticket.version), (false, false, 1));
    assert_eq!((second.0, tx.ticket(second).await.unwrap().contact), (opened.ticket.0 + 1, None));
    let said = tx.ticket(TicketId(99)).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
    assert_eq!(said.to_string(), "there is no ticket #99");
}

async fn each_change_is_a_version(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await.ticket;
    for status in Status::all() {
        tx.set_status(id, status, at(2)).await.unwrap();
        assert_eq!(tx.ticket(id).await.unwrap().status, status);
    }
    let edit = TicketEdit {
        subject: Some("the printer".into()),
        priority: Some("high".into()),
        due: Some(Some(at(99))),
        ..TicketEdit::default()
    };
    tx.edit_ticket(id, &edit, at(3)).await.unwrap();
    tx.set_assignee(id, Some(laid.agent), at(3)).await.unwrap();
    let version = tx.ticket(id).await.unwrap().version;
    tx.touch_ticket(id, at(4)).await.unwrap();
    let ticket = tx.ticket(id).await.unwrap();
    assert_eq!((ticket.version, version), (9, 9), "a touch is no change");
    assert_eq!((ticket.subject.as_str(), ticket.assignee), ("the printer", Some(laid.agent)));
    let kind = TicketEdit { kind: Some("task".into()), due: Some(None), ..TicketEdit::default() };
    tx.edit_ticket(id, &kind, at(4)).await.unwrap();
    let filter = TicketFilter { id: id.0, limit: 1, ..TicketFilter::default() };
    let line = tx.list_tickets(&filter).await.unwrap().remove(0);
    assert_eq!(
        (line.subject.as_str(), line.priority.as_str(), line.kind.as_str()),
        ("the printer", "high", "task")
    );
    tx.set_assignee(id, None, at(5)).await.unwrap();
    tx.set_deleted(id, true, at(5)).await.unwrap();
    tx.set_type(id, laid.support, at(5)).await.unwrap();
    let ticket = tx.ticket(id).await.unwrap();
    assert_eq!((ticket.assignee, ticket.is_deleted, ticket.version), (None, true, 13));
    tx.set_deleted(id, false, at(6)).await.unwrap();
    assert!(!tx.ticket(id).await.unwrap().is_deleted);
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    tx.set_type(id, maildesk::ticket::TypeId(99), at(6)).await.unwrap();
    let said = flushed(&mut tx).await.unwrap_err();
    assert!(matches!(said, Error::InUse(_)), "no such type: {said:?}");
}

async fn a_merge_is_followed_to_its_end(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut opened = vec![];
    for who in ["ann@x.test", "bob@x.test", "eve@x.test"] {
        opened.push(open_ticket(&mut tx, &laid, who, "printer").await);
    }
    let number = tx.draw_decision().await.unwrap();
    tx.merge(opened[0].ticket, opened[1].ticket, number, at(2)).await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    tx.merge(opened[1].ticket, opened[2].ticket, number, at(2)).await.unwrap();
    let merged = tx.ticket(opened[0].ticket).await.unwrap();
    assert_eq!((merged.status, merged.merged_into), (Status::Closed, Some(opened[1].ticket)));
    for one in &opened {
        assert_eq!(tx.resolved_ticket(one.ticket).await.unwrap().id, opened[2].ticket);
    }
    let last = tx.draw_decision().await.unwrap();
    for who in ["ann@x.test", "bob@x.test", "eve@x.test"] {
        let sender = address(who);
        let clue = ticket_clue(&mut tx, opened[2].ticket, Some(&sender), None, last).await.unwrap();
        assert_eq!(clue.sender_is.as_deref(), Some("contact"), "{who} belongs to the target");
    }
    let entries = tx.list_entries(opened[2].ticket).await.unwrap();
    let of: Vec<_> = entries.iter().map(|e| (e.id, e.ticket)).collect();
    assert_eq!(
        of,
        opened.iter().map(|o| (o.entry, o.ticket)).collect::<Vec<_>>(),
        "with all that was merged into it"
    );
    assert_eq!(tx.list_entries(opened[0].ticket).await.unwrap().len(), 1);
    assert_eq!(tx.list_participants(opened[2].ticket).await.unwrap().len(), 3);
}

async fn entries_make_a_thread(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    write_entry(&mut tx, opened.ticket, EntryKind::Inbound, None, number).await;
    let note = LogEntryId(tx.draw(Counter::LogEntry).await.unwrap());
    let receivers =
        [Receiver { address: address("ann@x.test"), name: "Ann".into(), contact: Some(opened.contact) }];
    let entry = NewEntry {
        id: note,
        ticket: opened.ticket,
        kind: EntryKind::Note,
        arrival: None,
        author: None,
        subject: "",
        body: "",
        body_truncated: true,
        pieces: &[],
        message_id: "",
        id_hash: None,
        receivers: &receivers,
        code: "",
        number,
        sent: None,
    };
    tx.insert_entry(&entry, at(2)).await.unwrap();
    for kind in [EntryKind::Automatic, EntryKind::Bounce, EntryKind::Outbound] {
        write_entry(&mut tx, opened.ticket, kind, None, number).await;
    }
    let thread = tx.thread_of(opened.ticket, 10).await.unwrap();
    let ids: Vec<String> = [1, 2, 4, 5, 6].iter().map(|n| format!("entry{n}@x.test")).collect();
    assert_eq!(thread, ids, "oldest first; what has no id is in no thread");
    assert_eq!(
        tx.thread_of(opened.ticket, 2).await.unwrap(),
        ids[3..],
        "the newest where there are too many"
    );
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    let nowhere = NewEntry { id: LogEntryId(50), ticket: TicketId(99), ..entry };
    tx.insert_entry(&nowhere, at(2)).await.unwrap();
    assert!(matches!(flushed(&mut tx).await, Err(Error::InUse(_))));
}

async fn attachments_are_spans_of_their_mail(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let arrival = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let encodings = [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable];
    // More than one statement takes.
    let attachments: Vec<Attachment> = (0..120)
        .map(|n| Attachment {
            name: format!("Rechnung ü {n}.pdf"),
            content_type: "application/pdf".into(),
            size: 3 << 30,
            is_inline: n % 2 == 0,
            content_id: format!("{n}@x"),
            span: Span { offset: n * 100, length: 100, encoding: encodings[n as usize % 3] },
        })
        .collect();
    tx.insert_attachments(opened.entry, arrival, &attachments).await.unwrap();
    tx.insert_attachments(opened.entry, arrival, &[]).await.unwrap();
    let last = tx.attachment(opened.entry, 119).await.unwrap();
    assert_eq!((last.name.as_str(), last.size, last.arrival), ("Rechnung ü 119.pdf", 3 << 30, arrival));
    assert_eq!(last.span, attachments[119].span);
    assert!(matches!(tx.attachment(opened.entry, 120).await, Err(Error::Missing(_))));
    let shown = &tx.list_entries(opened.ticket).await.unwrap()[0].attachments;
    assert_eq!((shown.len(), shown[7].position, shown[7].name.as_str()), (120, 7, "Rechnung ü 7.pdf"));
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    tx.insert_attachments(opened.entry, arrival, &attachments[119..]).await.unwrap();
    let said = flushed(&mut tx).await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "each position is given once: {said:?}");
}

async fn who_belongs_stays_as_he_is(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    let who = [
        (address("ann@x.test"), "cc", None),
        (address("bob@x.test"), "cc", None),
        (address("bob@x.test"), "receiver", None),
    ];
    tx.add_participants(opened.ticket, &who, number).await.unwrap();
    tx.add_participants(opened.ticket, &[], number).await.unwrap();
    let crowd: Vec<_> = (0..200).map(|n| (address(&format!("p{n}@x.test")), "cc", None)).collect();
    tx.add_participants(opened.ticket, &crowd, number).await.unwrap();
    let how = async |tx: &mut maildesk::store::Tx, who: &str| {
        let clue = ticket_clue(tx, opened.ticket, Some(&address(who)), None, number).await;
        clue.unwrap().sender_is
    };
    assert_eq!(how(&mut tx, "ann@x.test").await.as_deref(), Some("contact"));
    assert_eq!(how(&mut tx, "bob@x.test").await.as_deref(), Some("cc"));
    assert_eq!(how(&mut tx, "p199@x.test").await.as_deref(), Some("cc"));
    assert_eq!(how(&mut tx, "eve@x.test").await, None);
    let lines = tx.list_participants(opened.ticket).await.unwrap();
    let first = (lines[0].address.as_str(), lines[0].how.as_str(), lines[0].contact, lines[0].name.as_str());
    assert_eq!((lines.len(), first), (202, ("ann@x.test", "contact", Some(opened.contact), "Ann")));
    let (contact, id) = tx.contact_address_on(opened.ticket).await.unwrap().unwrap();
    assert_eq!((contact, id), (person("Ann", "ann@x.test"), opened.contact));
    let nobody = NewTicket {
        type_id: laid.support,
        tag: "Support",
        subject: "",
        contact: None,
        follows: None,
        number,
    };
    let nobody = tx.insert_ticket(&nobody, at(1)).await.unwrap();
    assert!(tx.contact_address_on(nobody).await.unwrap().is_none());
}

async fn an_automatic_answer_is_claimed_once(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await.ticket;
    assert!(tx.claim_auto_answer(id).await.unwrap());
    assert!(!tx.claim_auto_answer(id).await.unwrap());
    assert!(!tx.claim_auto_answer(TicketId(99)).await.unwrap());
    assert!(tx.ticket(id).await.unwrap().auto_answered);
}

/// Neither engine cuts, folds or refuses what a mail may say.
async fn words_are_kept_as_they_stand(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let odd = [
        "",
        " x ",
        "'; DROP TABLE ticket; --",
        "$1 ? %s",
        "Grüße 🙂 \u{202e}abc",
        "a\tb\nc\r\nd",
        "\u{1}\u{7f}",
    ];
    for subject in odd {
        let id = open_ticket(&mut tx, &laid, "ann@x.test", subject).await.ticket;
        assert_eq!(tx.ticket(id).await.unwrap().subject, subject);
    }
    let long = "ü".repeat(1 << 20);
    let id = open_ticket(&mut tx, &laid, "ann@x.test", &long).await.ticket;
    assert!(tx.ticket(id).await.unwrap().subject == long);
}

async fn what_an_import_opened_is_settled(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let first = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let second = arrive(&mut tx, laid.mailbox, "2", b"y").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    decide(&mut tx, first, &decision(Act::Open, Code::NewTicket), fate).await;
    decide(&mut tx, second, &decision(Act::Append, Code::ReplyByTag), fate).await;
    let key = mail_key(&format!("{first}@x.test")).key;
    let place = place(laid.mailbox);
    assert_eq!(tx.imported_by_key(&place, &key).await.unwrap(), Some(first));
    let elsewhere = maildesk::store::arrival::Place { epoch: 0, ..place };
    assert_eq!(tx.imported_by_key(&elsewhere, &key).await.unwrap(), None);
    assert_eq!(tx.new_tickets_of(&[first, second]).await.unwrap(), [opened.ticket]);
    assert!(tx.new_tickets_of(&[second]).await.unwrap().is_empty(), "it was opened by another");
    let before = tx.ticket(opened.ticket).await.unwrap().version;
    tx.set_old_status(opened.ticket, Status::Closed).await.unwrap();
    let row = tx.ticket(opened.ticket).await.unwrap();
    assert_eq!((row.status, row.version), (Status::Closed, before + 1));
    assert!(tx.new_tickets_of(&[first]).await.unwrap().is_empty());
}
