//! /healthz and /metrics of the real daemon, on both stores.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::program::{Desk, Running, Store};
use crate::support::trial::support_with;
use crate::support::wait_until;
use crate::support::web::{self, WEB};

const SECRET: &str = "hunter2-in-a-url";

/// A Maildir that works and a mailbox that nobody answers for.
fn sections() -> String {
    let support = support_with("interval_s = 1");
    format!(
        r#"{WEB}{support}
[[mailbox]]
name = "away"
host = "127.0.0.1"
port = 1
tls = "plain"
username = "away@example.com"
password = "{SECRET}"

[[type]]
name = "Away"
mailbox = "away"
addresses = ["away@example.com"]
admin = "admin@example.net"
"#
    )
}

/// A message that becomes a ticket.
const MESSAGE: &str = "From: Ada <ada@example.org>\r\nTo: support@example.com\r\nSubject: Hello\r\n\
                       Message-ID: <1@example.org>\r\nDate: Thu, 1 Jan 2026 12:00:00 +0000\r\n\r\nHello.\r\n";

#[test]
fn health_and_metrics_say_how_a_desk_fares_on_sqlite() {
    check_desk(Store::Sqlite);
}

#[test]
fn health_and_metrics_say_how_a_desk_fares_on_postgres() {
    check_desk(Store::Postgres);
}

fn check_desk(store: Store) {
    let Some(desk) = Desk::on_maildir(store, &sections()) else { return };
    desk.lay("1.a.host", MESSAGE);
    let mut daemon = desk.spawn(&["run"]);
    let address = web::address(&daemon);
    let health = wait_for(&address, &daemon, |health| {
        mailbox(health, "away")["state"] == "failing"
            && mailbox(health, "support")["state"] == "ok"
            && health["queue"]["recipients"] == serde_json::json!([])
            && health["arrivals"] == serde_json::json!([])
    });
    assert_eq!(health["status"], "attention");
    assert_eq!(health["store"]["state"], "ok");
    assert_eq!(health["desk_is_ours"], true);
    assert_eq!((&health["desk_is_held"], &health["is_shadow"]), (&false.into(), &false.into()));
    assert_eq!(mailbox(&health, "away")["failure_kind"], "connection_refused");
    assert!(mailbox(&health, "support")["failure_kind"].is_null());
    assert!(
        mailbox(&health, "away")["failing_since"].is_string() && health["alerts_open"].is_number(),
        "{health}"
    );
    assert_eq!(mailbox(&health, "support")["last_ok_age_s"].as_i64().map(|age| age < 30), Some(true));
    assert_eq!((&health["relays"][0]["name"], &health["relays"][0]["state"]), (&"out".into(), &"ok".into()));

    let answer = web::get(&address, "/metrics");
    assert!(answer.headers.contains("content-type: application/openmetrics-text"), "{}", answer.headers);
    for line in [
        "maildesk_intake_messages_total{act=\"open\",code=\"new_ticket\"} 1\n",
        "maildesk_intake_mailbox_failing{mailbox=\"away\"} 1.0\n",
        "maildesk_intake_mailbox_failing{mailbox=\"support\"} 0.0\n",
        "maildesk_outbound_relay_failing{relay=\"out\"} 0.0\n",
        "maildesk_store_up 1.0\n",
        "maildesk_alert_open ",
    ] {
        assert!(answer.body.contains(line), "{line} is not in\n{}", answer.body);
    }
    // The notification of the new ticket, and the alert that was told; when, is the daemon's business.
    assert!(answer.body.contains("maildesk_outbound_attempts_total{outcome=\"sent\"}"), "{}", answer.body);
    for text in [&answer.body, &health.to_string()] {
        assert!(!text.contains('@') && !text.contains(SECRET) && !text.contains("127.0.0.1"), "{text}");
    }
    assert_eq!(web::get(&address, "/").status, 404);
    assert!(daemon.stop().success(), "{}", daemon.log());
    for line in
        ["intake.decided arrival.id=1 mailbox.id=", "outbound.delivered outbox.id=1 to=admin@example.net"]
    {
        assert!(daemon.log().contains(line), "{line}: {}", daemon.log());
    }
    assert!(!daemon.log().contains(SECRET), "{}", daemon.log());
}

#[track_caller]
fn wait_for(address: &str, daemon: &Running, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the desk to fare as expected", Duration::from_secs(30), || {
            let answer = web::get(address, "/healthz");
            assert_eq!(answer.status, 200);
            last = answer.json();
            is_so(&last).then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("{last:#}\n{}", daemon.log()))
}

fn mailbox<'h>(health: &'h Value, name: &str) -> &'h Value {
    let mailboxes = health["mailboxes"].as_array().expect("a list");
    mailboxes.iter().find(|m| m["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn a_taken_port_is_told_once_and_asked_for_again_while_mail_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let desk = Desk::new(Store::usual()).expect("a store");
    desk.configure(&format!("[web]\nlisten = \"{address}\"\n"));
    let mut daemon = desk.spawn(&["run"]);
    let says = |words: &str| {
        let begun = || daemon.log().contains(words).then_some(());
        wait_until(words, Duration::from_secs(20), begun);
    };
    says("ERROR web.listen_failed it is tried again");
    says("daemon.started");
    assert_eq!(desk.json(&["alert", "list", "--json"]), serde_json::json!([]));
    drop(taken);
    says("web.listening");
    let answer = web::get(&address, "/healthz");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &"ok".into()));
    assert_eq!(daemon.log().matches("web.listen_failed").count(), 1);
    assert!(daemon.stop().success());
}

#[test]
fn an_address_that_other_machines_reach_is_refused() {
    let desk = Desk::new(Store::usual()).expect("a store");
    desk.configure("[web]\nlisten = \"0.0.0.0:0\"\n");
    let said = desk.run(&["run"]);
    assert_eq!(said.code, Some(78));
    assert!(said.stderr.contains("listen: 0.0.0.0:0 can be reached from other machines"), "{}", said.stderr);
}
