//! What becomes of a session when its token ends or is refused, and of the others when a grant is broken.

use std::time::Duration;

use super::mail::{Flow, World, message};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_token_that_is_void_is_replaced_within_the_round() {
    let Some(world) = World::new("oauthbearer") else { return };
    let (imap, pop3) = (world.dovecot.account(), world.dovecot.account());
    let mailboxes = world.mailbox("imap", &imap, ("out", ""))
        + &world.mailbox("pop3", &pop3, ("out", "protocol = \"pop3\""));
    world.configure(&(world.relay("out", &imap.user) + &mailboxes));
    for (target, user) in
        [("mailbox:imap", &imap.user), ("mailbox:pop3", &pop3.user), ("relay:out", &imap.user)]
    {
        world.sign_in(target, user, Flow::Code);
    }
    imap.deliver(&message("imap", 1));
    pop3.deliver(&message("pop3", 1));
    let asked = world.identity.asked();
    world.identity.void_access_tokens();
    world.desk.run(&["poll"]).ok();
    world.desk.run(&["queue", "send"]).ok();
    assert_eq!((world.tickets(), world.smtp.accepted().len()), (2, 2));
    assert_eq!(world.identity.asked() - asked, 3, "one refresh for each grant");
    // A second time so soon the token is not what is wrong: nobody asks the provider again and again.
    let asked = world.identity.asked();
    world.identity.void_access_tokens();
    for _ in 0..3 {
        assert_ne!(world.desk.run(&["poll", "--mailbox", "imap"]).code, Some(0));
    }
    assert_eq!(world.failure_of("imap"), "token");
    assert_eq!(world.identity.asked(), asked);
}

/// A mailbox that fails for want of a grant waits for a quarter of an hour, but not for what somebody has just done.
#[test]
fn a_mailbox_is_read_as_soon_as_somebody_has_signed_in() {
    let Some(world) = World::new("xoauth2") else { return };
    let account = world.dovecot.account();
    world.configure(&(world.relay("out", &account.user) + &world.mailbox("one", &account, ("out", ""))));
    let mut daemon = world.desk.spawn(&["run"]);
    let fails_for = |kind: &str| {
        wait_until(kind, PATIENCE, || (world.failure_of("one") == kind).then_some(()));
    };
    fails_for("settings");
    world.sign_in("mailbox:one", &account.user, Flow::Code);
    account.deliver(&message("one", 1));
    wait_until("its ticket", PATIENCE, || (world.tickets() == 1).then_some(()));
    // A grant that is taken back, and given again.
    world.identity.revoke_all();
    assert_eq!(world.desk.run(&["oauth", "refresh", "mailbox:one"]).code, Some(65));
    world.sign_in("mailbox:one", &account.user, Flow::Device);
    account.deliver(&message("one", 2));
    wait_until("the next ticket", PATIENCE, || (world.tickets() == 2).then_some(()));
    assert!(daemon.stop().success());
}

#[test]
fn a_token_of_another_user_is_told_as_what_it_is() {
    let Some(world) = World::new("xoauth2") else { return };
    let (shared, person) = (world.dovecot.account(), world.dovecot.account());
    world.configure(&(world.relay("out", "desk") + &world.mailbox("shared", &shared, ("out", ""))));
    world.identity.desk().user = person.user.clone();
    let login = ["oauth", "login", "mailbox:shared", "--flow", "client-credentials", "--user", &person.user];
    world.desk.run(&login).ok();
    let output = world.desk.run(&["mailbox", "test", "shared"]);
    assert_ne!(output.code, Some(0));
    let words = format!(
        "it is of {:?}, who may lack the right to open the mailbox of {:?}",
        person.user, shared.user
    );
    assert!(output.stderr.contains(&words), "{}", output.stderr);
}

#[test]
fn one_broken_grant_stops_neither_mailboxes_nor_sending() {
    let Some(world) = World::new("xoauth2") else { return };
    let (good, bad) = (world.dovecot.account(), world.dovecot.account());
    let relays = world.relay("out", &good.user) + &world.relay("broken", &bad.user);
    let mailboxes = world.mailbox("bad", &bad, ("out", ""))
        + &world.mailbox("good", &good, ("out", ""))
        + "[[type]]\nname = \"other\"\ntag = \"other\"\nmailbox = \"good\"\nrelay = \"broken\"\n\
           addresses = [\"other@example.com\"]\nadmin = \"admin@example.net\"\n";
    world.configure(&(relays + &mailboxes));
    world.sign_in("mailbox:bad", &bad.user, Flow::Device);
    world.sign_in("relay:broken", &bad.user, Flow::Device);
    world.identity.revoke_all();
    world.sign_in("mailbox:good", &good.user, Flow::ClientCredentials);
    world.sign_in("relay:out", &good.user, Flow::ClientCredentials);
    bad.deliver(&message("bad", 1));
    good.deliver(&message("good", 1));
    good.deliver(&message("other", 1));
    let mut daemon = world.desk.spawn(&["run"]);
    wait_until("the mail of the good ones", PATIENCE, || {
        (world.tickets() == 2 && world.sent_about("good") == 1).then_some(())
    });
    wait_until("the words of the bad one", PATIENCE, || (world.failure_of("bad") == "grant").then_some(()));
    assert_eq!((bad.files("").len(), world.sent_about("other")), (1, 0));
    assert!(daemon.stop().success());
}

#[test]
fn waiting_for_mail_outlives_the_tokens() {
    let Some(world) = World::new("xoauth2") else { return };
    let account = world.dovecot.account();
    world.configure(
        &(world.relay("out", &account.user) + &world.mailbox("one", &account, ("out", "interval_s = 3600"))),
    );
    world.identity.desk().access_lasts = 3;
    world.sign_in("mailbox:one", &account.user, Flow::Code);
    world.sign_in("relay:out", &account.user, Flow::Code);
    let mut daemon = world.desk.spawn(&["run"]);
    for n in 1..=3 {
        // Each by a session of its own, which nobody has cut.
        wait_until("another session", PATIENCE, || {
            (world.dovecot.said(&account, "Login:") >= n).then_some(())
        });
        account.deliver(&message("one", n));
        wait_until("its ticket", PATIENCE, || (world.tickets() == n).then_some(()));
    }
    wait_until("the mail about them", PATIENCE, || (world.sent_about("one") == 3).then_some(()));
    assert!(daemon.stop().success());
    let log = daemon.log();
    assert!(!log.contains("round_failed") && !log.contains("idle_ended"), "{log}");
    assert_eq!(world.dovecot.said(&account, "auth failed"), 0);
}
