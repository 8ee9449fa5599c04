//! Each listing on a desk with a row of each kind. On PostgreSQL the integration tests ask them, through the program.

use super::*;
use crate::store::{ContactEdit, Manner, Owner, Store};
use crate::ticket::ContactId;

/// Rows as intake and desk will write them, one of each kind.
const ROWS: &[&str] = &[
    "INSERT INTO mailbox (id, name, protocol, host, port, tls, username, folders, handled, move_to, \
     size_limit_bytes, interval_s, created_us, shown) \
     VALUES (1, 'support', 'imap', 'h', 993, 'tls', 'u', '[\"INBOX\"]', 'delete', '', 1, 600, 1, 5)",
    "INSERT INTO relay (id, name, kind, host, port, tls, username, sender, verp, created_us) \
     VALUES (2, 'out', 'smtp', 'h', 25, 'plain', '', 's@x.test', 1, 1)",
    "INSERT INTO ticket_type (id, name, description, tag, flow, mailbox_id, relay_id, address, admin_address, \
     forward_addresses, created_us) VALUES (3, 'Support', '', 'Support', 'simple', 1, 2, 's@x.test', '', '[]', 1)",
    "INSERT INTO contact (id, name, folded, role, number, created_us) VALUES (4, 'Ann_', 'ann_', 'customer', 1, 1)",
    "INSERT INTO contact_address (address, contact_id, number) VALUES ('ann@x.test', 4, 1)",
    "INSERT INTO ticket (id, type_id, status, subject, contact_id, number, created_us, updated_us) \
     VALUES (5, 3, 'open', 'printer', 4, 1, 1, 1)",
    "INSERT INTO arrival (id, mailbox_id, epoch, folder, validity, source_id, state, announced_size, size, digest, \
     message_id, mail_key, id_hash, received_us, kept_us) SELECT 6 + n, 1, 1, 'INBOX', 7, CAST(n AS TEXT), \
     CASE WHEN n = 3 THEN 'left' WHEN n = 2 THEN 'kept' ELSE 'acked' END, 1, 1, s.d, 'a@b', s.d, s.d, 1, 1 \
     FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) k, \
     (SELECT sealed AS d FROM secret LIMIT 1) s",
    "INSERT INTO journal (arrival_id, number, kind, act, code, type_id, ticket_id, log_entry_id, decided_us) \
     VALUES (6, 1, 'person', 'open', 'new_ticket', 3, 5, 7, 1)",
    "INSERT INTO journal (arrival_id, number, kind, act, code, decided_us) \
     VALUES (7, 2, 'person', 'discard', 'duplicate_differs', 1)",
    "INSERT INTO evidence (arrival_id, clues, trace) VALUES (7, '{}', '{\"reason\":\"tag #5\"}')",
    "INSERT INTO log_entry (id, ticket_id, kind, arrival_id, author_address, author_name, subject, body, id_hash, receivers, \
     number, created_us) SELECT 7, 5, 'inbound', 6, 'ann@x.test', '', 's', 'b', sealed, '[]', 1, 1 FROM secret LIMIT 1",
    "INSERT INTO invalid_ticket (id, arrival_id, code, state, named_ticket_id, sender_address, sender_name, subject, \
     number, created_us) VALUES (8, 7, 'stranger_on_ticket', 'open', 5, 'eve@x.test', '', 's', 1, 1)",
    "INSERT INTO error_ticket (id, arrival_id, code, state, words, subject, sender_address, headers, number, \
     created_us) SELECT 9, 9, 'too_big', 'open', 'w', 's', '', sealed, 1, 1 FROM secret LIMIT 1",
    "INSERT INTO outbox (id, purpose, ticket_id, log_entry_id, relay_id, message_id, return_path, sender, \
     subject, literal, segments, size, digest, operation, state, number, next_us, created_us) \
     SELECT 10, 'notification', 5, 7, 2, 'm@x', '', 's@x.test', 's', sealed, '[]', 1, sealed, 'arrival:6', \
     'queued', 1, 1, 1 FROM secret LIMIT 1",
    "INSERT INTO outbox_recipient (outbox_id, address, name, state, next_us) VALUES (10, 'a@x.test', '', 'sent', 1)",
    "INSERT INTO outbox_recipient (outbox_id, address, name, state, next_us, code) \
     VALUES (10, 'b@x.test', '', 'deferred', 1, 451)",
    "INSERT INTO outbox_attempt (id, outbox_id, state, possibly_repeated, relay, started_us) \
     VALUES (11, 10, 'ended', 1, 'out', 1)",
    "INSERT INTO bounce (id, arrival_id, code, ticket_id, recipient, status, status_stated, class, hard, action, \
     diagnostic, original_message_id, number, created_us) \
     VALUES (12, 7, 'bounce_by_tag', 5, 'a@x.test', '5.1.1', 1, 'user_unknown', 1, 'failed', 'd', '', 1, 1)",
    "INSERT INTO alert (id, name, words, raised_us) VALUES (13, 'mailbox:1:failing', 'w', 1)",
];

async fn filled(url: &str) -> Store {
    let store = Store::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    let key = crate::seal::SealingKey::new([7; 32]);
    let mut tx = store.write().await.unwrap();
    let stamp = crate::store::Stamp { key: &key, now: Micros(1), random: crate::seal::random };
    tx.ensure_keys(&stamp).await.unwrap();
    for sql in ROWS {
        tx.execute(sqlx::query(*sql)).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
    }
    tx.commit().await.unwrap();
    store
}

async fn check(url: &str) {
    let store = filled(url).await;
    let mut tx = store.read().await.unwrap();
    check_tickets_and_journal(&mut tx).await;
    check_what_waits(&mut tx).await;
    drop(tx);
    check_contacts(&store).await;
    check_hold(&store).await;
    store.close().await;
}

async fn check_tickets_and_journal(tx: &mut Tx) {
    let all = TicketFilter { limit: ALL, ..TicketFilter::default() };
    let tickets = tx.list_tickets(&all).await.unwrap();
    assert_eq!(tickets[0].tag_line.as_deref(), Some("[Support #5-7]"));
    assert_eq!((tickets[0].contact.as_deref(), tickets[0].entries), (Some("ann@x.test"), 1));
    let statuses =
        |s: &[&str]| TicketFilter { statuses: s.iter().map(|s| s.to_string()).collect(), ..all.clone() };
    assert_eq!(tx.list_tickets(&statuses(&["new", "open"])).await.unwrap().len(), 1);
    assert!(tx.list_tickets(&statuses(&["new"])).await.unwrap().is_empty());
    let journal = tx.list_journal(&JournalFilter { limit: ALL, ..Default::default() }).await.unwrap();
    assert_eq!(journal.iter().map(|j| j.arrival.0).collect::<Vec<_>>(), [6, 7, 8, 9]);
    assert_eq!(
        (journal[0].identity.as_str(), journal[0].of_type.as_deref()),
        ("1/INBOX/7/0", Some("Support"))
    );
    assert_eq!(journal[2].act, None);
    let newest = JournalFilter { limit: 1, ..Default::default() };
    assert_eq!(tx.list_journal(&newest).await.unwrap()[0].arrival.0, 9);
    let balance = tx.list_balances().await.unwrap().remove(0);
    let (it, difference) = (balance.counts, balance.difference);
    assert_eq!((it.shown, it.tickets, it.duplicates, it.pending, it.left, difference), (5, 1, 1, 1, 1, 1));
    let mailbox = tx.list_mailboxes().await.unwrap().remove(0);
    assert_eq!((mailbox.state, mailbox.types.len()), ("waiting", 1));
}

async fn check_what_waits(tx: &mut Tx) {
    let invalid = tx.list_invalid("open", 0, ALL).await.unwrap().remove(0);
    assert_eq!((invalid.evidence.as_deref(), invalid.named_ticket.unwrap().0), (Some("tag #5"), 5));
    assert!(tx.list_invalid("accepted", 0, ALL).await.unwrap().is_empty());
    assert_eq!(tx.list_errors("", 9, ALL).await.unwrap().len(), 1);
    let bounces = BounceFilter { ticket: 5, limit: ALL, ..BounceFilter::default() };
    assert_eq!(tx.list_bounces(&bounces).await.unwrap()[0].status, "5.1.1");
    assert_eq!(tx.list_alerts(false, ALL).await.unwrap().len(), 1);
    let queue = QueueFilter { to: "B@x.test".into(), limit: ALL, ..Default::default() };
    let mail = tx.list_queue(&queue).await.unwrap().remove(0);
    assert!(mail.possibly_repeated && mail.attempts == 1);
    assert_eq!((mail.recipients[0].next.is_none(), mail.recipients[1].next.is_none()), (true, false));
}

async fn check_contacts(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    assert_eq!(tx.contacts("ann_", ALL).await.unwrap().len(), 1);
    assert!(tx.contacts("ann%", ALL).await.unwrap().is_empty());
    let add = vec!["ann@home.test".parse().unwrap()];
    let edit = ContactEdit { name: Some("Ann".into()), add, ..ContactEdit::default() };
    tx.edit_contact(ContactId(4), 1, &edit).await.unwrap();
    let said = tx.edit_contact(ContactId(4), 1, &edit).await.unwrap_err();
    assert!(matches!(said, Error::Stale(_)), "{said}");
    let ann = tx.find_contact("Ann@home.test").await.unwrap();
    assert_eq!((ann.name.as_str(), ann.role.as_str(), ann.addresses.len()), ("Ann", "customer", 2));
    assert!(tx.block("@Evil.test", Micros(1)).await.unwrap());
    assert!(!tx.block("@evil.test", Micros(1)).await.unwrap());
    assert_eq!(tx.load_rules().await.unwrap().blocked, ["@evil.test"]);
    tx.commit().await.unwrap();
}

async fn check_hold(store: &Store) {
    let owner = |command, pid| Owner { command, pid, since: Micros(0) };
    let mut first = store.hold(&owner("run", 1), Manner::Alone).await.unwrap();
    first.check().await.unwrap();
    let said = store.hold(&owner("poll", 2), Manner::Together).await.unwrap_err().to_string();
    assert!(said.contains("`maildesk run`, pid 1 on "), "{said}");
    drop(first);
    // A PostgreSQL server notices the end of a connection a moment later.
    for _ in 0..100 {
        if store.hold(&owner("poll", 2), Manner::Together).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the desk is still held");
}

#[tokio::test]
async fn every_listing_answers_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check(&format!("sqlite:{}", folder.path().join("my desk.db").display())).await;
    assert!(folder.path().join("my desk.db.lock").exists());
}
