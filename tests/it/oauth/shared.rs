//! Shared mailboxes: a person signs in, and what is opened is not the person's own.

use super::mail::{Flow, World, message};

/// Over each protocol and by each mechanism the name on the wire is the mailbox's.
#[test]
fn a_person_opens_a_shared_mailbox_over_each_protocol() {
    for mechanism in ["xoauth2", "oauthbearer"] {
        let Some(world) = World::new(mechanism) else { return };
        let (imap, pop3) = (world.dovecot.account(), world.dovecot.account());
        let mailboxes = world.mailbox("imap", &imap, ("out", ""))
            + &world.mailbox("pop3", &pop3, ("out", "protocol = \"pop3\""));
        world.configure(&(world.relay("out", &imap.user) + &mailboxes));
        for (person, opened) in [("ida@example.com", &imap.user), ("per@example.com", &pop3.user)] {
            world.identity.desk().opens.insert(person.into(), opened.clone());
        }
        for (target, person, flow) in [
            ("mailbox:imap", "ida@example.com", Flow::Code),
            ("mailbox:pop3", "per@example.com", Flow::Device),
            ("relay:out", "ida@example.com", Flow::Code),
        ] {
            let said = world.sign_in_with(target, person, flow, &["--user", person]);
            assert!(said.contains(&format!("as {person}")) && !said.contains("note:"), "{said}");
        }
        imap.deliver(&message("imap", 1));
        pop3.deliver(&message("pop3", 1));
        world.desk.run(&["poll"]).ok();
        world.desk.run(&["queue", "send"]).ok();
        assert_eq!((world.tickets(), world.smtp.accepted().len()), (2, 2), "{mechanism}");
    }
}

/// The browser is signed in as somebody else: the grant is that person's, and the admin hears of it at once.
#[test]
fn another_person_than_expected_is_told() {
    let Some(world) = World::new("xoauth2") else { return };
    let account = world.dovecot.account();
    world.configure(&(world.relay("out", &account.user) + &world.mailbox("one", &account, ("out", ""))));
    for flow in [Flow::Code, Flow::Device] {
        let person = "admin@example.com";
        world.identity.desk().is_signed_in = Some(person.into());
        let said = match flow {
            Flow::Code => world.sign_in_with("mailbox:one", &account.user, flow, &[]),
            _ => world.sign_in_with("mailbox:one", person, flow, &[]),
        };
        let note = format!("note: {person} has signed in, and not {}", account.user);
        assert!(said.contains(&note), "{flow:?}: {said}");
        let status = world.desk.rows(&["oauth", "status", "--json"]);
        assert_eq!(status[0]["user"], person, "{flow:?}");
        // And what a mail server then says of the token is told as what it is.
        let tested = world.desk.run(&["mailbox", "test", "one"]);
        let words =
            format!("it is of {person:?}, who may lack the right to open the mailbox of {:?}", account.user);
        assert!(tested.stderr.contains(&words), "{}", tested.stderr);
    }
    world.identity.desk().is_signed_in = None;
    let said = world.sign_in_with("mailbox:one", &account.user, Flow::Code, &[]);
    assert!(!said.contains("note:"), "{said}");
    world.desk.run(&["mailbox", "test", "one"]).ok();
}
