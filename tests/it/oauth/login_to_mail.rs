//! From a sign-in to mail that flows: by each kind of grant, over each protocol and by each mechanism.

use super::mail::{Flow, World, message};
use crate::support::scripted_smtp::End;

fn mail_flows(mechanism: &str, flow: Flow) {
    let Some(world) = World::new(mechanism) else { return };
    let (imap, pop3) = (world.dovecot.account(), world.dovecot.account());
    let mailboxes = world.mailbox("imap", &imap, ("out", ""))
        + &world.mailbox("pop3", &pop3, ("out", "protocol = \"pop3\""));
    world.configure(&(world.relay("out", &imap.user) + &mailboxes));
    imap.deliver(&message("imap", 1));
    pop3.deliver(&message("pop3", 1));
    world.sign_in("mailbox:imap", &imap.user, flow);
    world.sign_in("mailbox:pop3", &pop3.user, flow);
    world.sign_in("relay:out", &imap.user, flow);
    for name in ["imap", "pop3"] {
        let said = world.desk.json(&["mailbox", "test", name, "--json"]);
        assert_eq!(said["signed_in_by"], mechanism.to_uppercase(), "{said}");
    }
    world.desk.run(&["poll"]).ok();
    assert_eq!(world.tickets(), 2);
    assert!(imap.files("").is_empty() && pop3.files("").is_empty(), "taken in and taken away");
    world.desk.run(&["queue", "send"]).ok();
    let sent = world.smtp.accepted();
    assert_eq!(sent.len(), 2, "the admin hears of both");
    assert!(sent.iter().all(|mail| mail.end == End::Answered(250)));
    assert!(world.smtp.commands().iter().any(|line| line.contains("AUTH XOAUTH2")));
}

#[test]
fn a_sign_in_in_a_browser_ends_with_mail_that_flows() {
    mail_flows("xoauth2", Flow::Code);
    mail_flows("oauthbearer", Flow::Code);
}

#[test]
fn a_sign_in_by_device_code_ends_with_mail_that_flows() {
    mail_flows("xoauth2", Flow::Device);
    mail_flows("oauthbearer", Flow::Device);
}

#[test]
fn an_application_by_itself_ends_with_mail_that_flows() {
    mail_flows("xoauth2", Flow::ClientCredentials);
    mail_flows("oauthbearer", Flow::ClientCredentials);
}
