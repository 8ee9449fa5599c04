//! Connections to a relay's host: two at a time, of all daemons together, however many accounts there are on it.

use super::*;

#[test]
fn a_host_has_two_connections_of_all_daemons_together() {
    const RELAYS: usize = 4;
    let Some(mut many) = Many::new(RELAYS, 120) else { return };
    // An account for each mailbox, all on one host.
    let text = std::fs::read_to_string(many.desk.config()).expect("config.toml");
    let (_, sections) = text.split_once("lease_s").expect("the sections");
    let (head, rest) = sections.split_once("[[relay]]").expect("a relay");
    let (relay, mailboxes) = rest.split_once("[[mailbox]]").expect("a mailbox");
    let mut all = format!("lease_s{head}");
    for n in 0..RELAYS {
        all += &format!("[[relay]]{}", relay.replace("\"out\"", &format!("\"out{n}\"")));
    }
    all += &format!("[[mailbox]]{mailboxes}");
    for n in 0..RELAYS {
        let (of_type, its) = (format!("mailbox = \"m{n}\"\nrelay = "), format!("\"out{n}\""));
        all = all.replace(&format!("{of_type}\"out\""), &format!("{of_type}{its}"));
    }
    many.desk.configure(&all);
    // Whoever may open a third connection has the time to do it.
    many.relay.gather(3, Duration::from_secs(1));
    let first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, RELAYS)]);
    let two = many.desk.beside();
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, RELAYS / 2), (&second, RELAYS / 2)]);
    many.deliver_to_all();
    many.deliver_to_all();
    many.wait_until_settled();
    many.wait_until_sent();
    assert_eq!(many.relay.most_open(), 2);
    let relays = many.desk.query("SELECT count(DISTINCT relay_id) FROM outbox");
    assert_eq!(relays, [RELAYS.to_string()], "each account had mail of its own");
}
