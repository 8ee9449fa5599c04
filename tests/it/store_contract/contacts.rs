//! Contacts: made by mail, looked at and corrected by people.

use maildesk::mail::NamedAddress;
use maildesk::store::listing::ALL;
use maildesk::store::{ContactEdit, Error, Store};
use maildesk::ticket::ContactId;

use super::world::{address, at, lay_down, open_ticket, person};

on_both!(
    a_contact_is_known_by_each_address,
    a_contact_is_found_by_its_words,
    a_contact_is_edited_as_its_editor_saw_it,
    an_address_is_of_one_contact,
);

async fn a_contact_is_known_by_each_address(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    let ann = tx.insert_contact(&person("Ann", "ann@x.test"), number, at(1)).await.unwrap();
    tx.add_contact_address(ann, &address("ann@home.test"), number).await.unwrap();
    let bob = tx.insert_contact(&person("Bob", "bob@x.test"), number, at(1)).await.unwrap();
    tx.add_contact_address(bob, &address("ann@home.test"), number).await.unwrap();
    assert_eq!(tx.contact_of(&address("ann@home.test")).await.unwrap(), Some(ann), "she had it first");
    assert_eq!(tx.contact_of(&address("Ann@X.test")).await.unwrap(), Some(ann));
    assert_eq!(tx.contact_of(&address("eve@x.test")).await.unwrap(), None);
    open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let row = tx.contact(ann).await.unwrap();
    assert_eq!((row.name.as_str(), row.role.as_str(), row.tickets, row.version), ("Ann", "customer", 1, 1));
    let addresses: Vec<&str> = row.addresses.iter().map(|a| a.address.as_str()).collect();
    assert_eq!(addresses, ["ann@home.test", "ann@x.test"]);
    assert!(row.addresses.iter().all(|a| a.bounced.is_none()));
    for named in [ann.to_string(), format!("#{ann}"), "Ann@Home.test".into()] {
        assert_eq!(tx.find_contact(&named).await.unwrap().id, ann, "{named}");
    }
    for named in ["99", "eve@x.test", "Ann"] {
        assert!(matches!(tx.find_contact(named).await, Err(Error::Missing(_))), "{named}");
    }
}

async fn a_contact_is_found_by_its_words(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    for (name, of) in
        [("Özil Ärmel", "o@x.test"), ("ann_100%", "a_b@x.test"), ("Ann", "axb@x.test"), ("", "zoe@y.test")]
    {
        let who = NamedAddress { name: name.into(), address: address(of) };
        tx.insert_contact(&who, number, at(1)).await.unwrap();
    }
    let mut find = async |words: &str, limit| {
        let found = tx.contacts(words, limit).await.unwrap();
        found.iter().map(|c| (c.id.0, c.addresses.len())).collect::<Vec<_>>()
    };
    assert_eq!(find("", ALL).await, [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(find("", 2).await, [(3, 1), (4, 1)], "the newest");
    assert_eq!(find("özil", ALL).await, [(1, 1)], "letters beyond ASCII have cases too");
    assert_eq!(find("ÄRMEL", ALL).await, [(1, 1)]);
    assert_eq!(find("ANN", ALL).await, [(2, 1), (3, 1)]);
    assert_eq!(find("n_1", ALL).await, [(2, 1)]);
    assert_eq!(find("0%", ALL).await, [(2, 1)]);
    assert_eq!(find("!", ALL).await, []);
    assert_eq!(find("a_b@", ALL).await, [(2, 1)], "by address, and _ is no joker");
    assert_eq!(find("X.TEST", ALL).await.len(), 3);
}

async fn a_contact_is_edited_as_its_editor_saw_it(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    let ann = tx.insert_contact(&person("Ann", "ann@x.test"), number, at(1)).await.unwrap();
    let edit =
        ContactEdit { name: Some("Özge".into()), add: vec![address("ann@home.test")], ..Default::default() };
    tx.edit_contact(ann, 1, &edit).await.unwrap();
    let row = tx.contact(ann).await.unwrap();
    assert_eq!((row.name.as_str(), row.role.as_str(), row.version), ("Özge", "customer", 2));
    assert_eq!(tx.contacts("özge", ALL).await.unwrap().len(), 1);
    assert!(tx.contacts("Ann@none", ALL).await.unwrap().is_empty());
    let said = tx.edit_contact(ann, 1, &edit).await.unwrap_err();
    assert!(matches!(said, Error::Stale(_)), "{said:?}");
    let said = tx.edit_contact(ContactId(99), 1, &edit).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
    let edit = ContactEdit {
        role: Some("student".into()),
        remove: vec![address("ann@x.test")],
        ..Default::default()
    };
    tx.edit_contact(ann, 2, &edit).await.unwrap();
    let row = tx.contact(ann).await.unwrap();
    assert_eq!(
        (row.role.as_str(), row.addresses[0].address.as_str(), row.addresses.len()),
        ("student", "ann@home.test", 1)
    );
    let edit = ContactEdit { remove: vec![address("ann@x.test")], ..Default::default() };
    let said = tx.edit_contact(ann, 3, &edit).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
}

async fn an_address_is_of_one_contact(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    let ann = tx.insert_contact(&person("Ann", "ann@x.test"), number, at(1)).await.unwrap();
    let bob = tx.insert_contact(&person("Bob", "bob@x.test"), number, at(1)).await.unwrap();
    let edit = ContactEdit { add: vec![address("ann@x.test")], ..Default::default() };
    let said = tx.edit_contact(bob, 1, &edit).await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "{said:?}");
    assert_eq!(said.to_string(), format!("ann@x.test belongs to contact #{ann}; it is taken already"));
    let before = tx.draw_decision().await.unwrap();
    let give = ContactEdit { add: vec![address("new@x.test")], ..Default::default() };
    let version = tx.contact(bob).await.unwrap().version;
    tx.edit_contact(bob, version, &give).await.unwrap();
    let after = tx.draw_decision().await.unwrap();
    let new = address("new@x.test");
    assert_eq!(
        tx.contacts_as_of(&[&new], before).await.unwrap().get(&new),
        None,
        "an earlier decision did not know it"
    );
    assert_eq!(tx.contacts_as_of(&[&new], after).await.unwrap().get(&new), Some(&bob));
    tx.mark_bounced(&new, "4.2.2", before, at(7)).await.unwrap();
    assert!(
        tx.contact(bob).await.unwrap().addresses[1].bounced.is_none(),
        "the report was about a mail before"
    );
    tx.mark_bounced(&new, "5.1.1", after, at(8)).await.unwrap();
    tx.mark_bounced(&address("nobody@x.test"), "5.1.1", after, at(8)).await.unwrap();
    let row = tx.contact(bob).await.unwrap();
    let marked: Vec<_> =
        row.addresses.iter().map(|a| (a.bounced.is_some(), a.bounce_status.as_str())).collect();
    assert_eq!(marked, [(false, ""), (true, "5.1.1")]);
}
