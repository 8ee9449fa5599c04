//! What listings show: newest last, filtered by what is asked.

use maildesk::failure::Kind;
use maildesk::store::Store;
use maildesk::store::journal::Fate;
use maildesk::store::listing::{ALL, JournalFilter, TicketFilter};
use maildesk::ticket::Status;
use maildesk::triage::{Act, Code};

use super::world::{arrive, at, decide, decision, lay_down, open_ticket};

on_both!(tickets_are_listed, the_journal_is_listed, mailboxes_are_listed_with_their_state);

async fn tickets_are_listed(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut opened = vec![];
    for who in ["ann@x.test", "bob@x.test", "ann@x.test"] {
        opened.push(open_ticket(&mut tx, &laid, who, "printer").await);
    }
    tx.set_status(opened[1].ticket, Status::OnHold, at(5)).await.unwrap();
    tx.set_assignee(opened[1].ticket, Some(laid.agent), at(5)).await.unwrap();
    tx.set_deleted(opened[2].ticket, true, at(5)).await.unwrap();
    let mut list = async |filter: TicketFilter| {
        let limit = if filter.limit > 0 { filter.limit } else { ALL };
        let filter = TicketFilter { limit, ..filter };
        tx.list_tickets(&filter).await.unwrap()
    };
    let ids = |lines: &[maildesk::store::listing::TicketLine]| lines.iter().map(|l| l.id).collect::<Vec<_>>();
    let all = list(TicketFilter::default()).await;
    assert_eq!(ids(&all), [opened[0].ticket, opened[1].ticket], "what is deleted is not shown");
    let line = &all[0];
    assert_eq!((line.of_type.as_str(), line.status.as_str(), line.entries), ("Support", "new", 1));
    assert_eq!((line.contact.as_deref(), line.contact_name.as_str()), (Some("ann@x.test"), "Ann"));
    let tag = format!("[Support #{}-{}]", opened[0].ticket, opened[0].entry);
    assert_eq!((line.tag_line.as_deref(), line.assignee.as_deref()), (Some(tag.as_str()), None));
    assert_eq!((all[1].status.as_str(), all[1].assignee.as_deref()), ("on_hold", Some("agent")));
    let statuses = |of: &[&str]| of.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let filters = [
        (TicketFilter { statuses: statuses(&["on_hold", "closed"]), ..Default::default() }, 1),
        (TicketFilter { statuses: statuses(&["hold"]), ..Default::default() }, 0),
        (TicketFilter { of_type: "Support".into(), ..Default::default() }, 2),
        (TicketFilter { of_type: "Sales".into(), ..Default::default() }, 0),
        (TicketFilter { assignee: "agent".into(), ..Default::default() }, 1),
        (TicketFilter { contact: "Bob@x.test".into(), ..Default::default() }, 1),
        (TicketFilter { id: opened[0].ticket.0, ..Default::default() }, 1),
        (TicketFilter { limit: 1, ..Default::default() }, 1),
    ];
    for (filter, count) in filters {
        assert_eq!(list(filter.clone()).await.len(), count, "{filter:?}");
    }
    assert_eq!(
        ids(&list(TicketFilter { limit: 1, ..Default::default() }).await),
        [opened[1].ticket],
        "the newest"
    );
}

async fn the_journal_is_listed(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for n in 0..3 {
        ids.push(arrive(&mut tx, laid.mailbox, &n.to_string(), b"x").await);
    }
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    decide(&mut tx, ids[0], &decision(Act::Open, Code::NewTicket), fate).await;
    decide(&mut tx, ids[1], &decision(Act::Discard, Code::OwnEcho), Fate::default()).await;
    let all = tx.list_journal(&JournalFilter { limit: ALL, ..Default::default() }).await.unwrap();
    assert_eq!(all.iter().map(|l| l.arrival).collect::<Vec<_>>(), ids);
    assert_eq!((all[0].identity.as_str(), all[0].act.as_deref()), ("1/INBOX/7/0", Some("open")));
    assert_eq!((all[0].ticket, all[0].log_entry), (fate.ticket, fate.log_entry));
    assert_eq!(
        (all[2].act.as_deref(), all[2].message_id.as_deref(), all[2].state.as_str()),
        (None, None, "kept")
    );
    let filters = [
        JournalFilter { mailbox: "support".into(), state: "kept".into(), ..Default::default() },
        JournalFilter { act: "open".into(), ..Default::default() },
        JournalFilter { code: "own_echo".into(), ..Default::default() },
        JournalFilter { message_id: format!("{}@x.test", ids[0]), ..Default::default() },
        JournalFilter { ticket: opened.ticket.0, ..Default::default() },
    ];
    for filter in filters {
        let lines = tx.list_journal(&JournalFilter { limit: ALL, ..filter.clone() }).await.unwrap();
        assert_eq!(lines.len(), 1, "{filter:?}");
    }
    let newest = tx.list_journal(&JournalFilter { limit: 1, ..Default::default() }).await.unwrap();
    assert_eq!(newest[0].arrival, ids[2]);
}

async fn mailboxes_are_listed_with_their_state(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    let line = tx.list_mailboxes().await.unwrap().remove(0);
    assert_eq!(
        (line.id, line.state, &line.types[..]),
        (laid.mailbox, "waiting", &["Support".to_owned()][..])
    );
    tx.record_round(laid.mailbox, None, at(1)).await.unwrap();
    assert_eq!(tx.list_mailboxes().await.unwrap()[0].state, "ok");
    tx.record_round(laid.mailbox, Some((Kind::Login, "refused")), at(2)).await.unwrap();
    assert_eq!(tx.list_mailboxes().await.unwrap()[0].state, "failing");
    tx.record_round(laid.mailbox, None, at(3)).await.unwrap();
    tx.delete_type(laid.support, 1).await.unwrap();
    assert_eq!(tx.list_mailboxes().await.unwrap()[0].state, "no_type");
}
