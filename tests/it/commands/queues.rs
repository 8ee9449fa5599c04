//! What waits for a person: invalid mail, mail that could not be read, bounces, and mail on its way out.

use std::time::Duration;

use serde_json::json;

use super::{Bench, everywhere, only};
use crate::support::program::Store;
use crate::support::wait_until;

#[test]
fn a_stranger_on_a_ticket_waits_for_an_admin_sqlite() {
    everywhere(Store::Sqlite, a_stranger_on_a_ticket_waits_for_an_admin);
}

#[test]
fn a_stranger_on_a_ticket_waits_for_an_admin_postgres() {
    everywhere(Store::Postgres, a_stranger_on_a_ticket_waits_for_an_admin);
}

fn a_stranger_on_a_ticket_waits_for_an_admin(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("claim", "Eve <eve@else.test>", "Re: [Support #1-1] printer on fire");
    let invalid = bench.json(&["invalid", "list"]);
    let it = only(&invalid);
    assert_eq!((&it["code"], &it["named_ticket"]), (&json!("stranger_on_ticket"), &json!(1)));
    assert!(it["evidence"].as_str().unwrap().contains("eve@else.test"), "{it}");
    assert_eq!(bench.mails("notification").len(), 1, "only the first mail is told");

    // Accepted once, it is on the ticket, and the next one waits again.
    let done = bench.json(&["invalid", "accept", "1"]);
    assert_eq!(*only(&done), json!({ "id": 1, "ok": true, "error": null, "ticket": 1 }));
    let shown = bench.json(&["ticket", "show", "1"]);
    assert_eq!(shown["entries"][1]["author"], "eve@else.test");
    assert_eq!(shown["entries"][1]["code"], "accepted_by_admin");
    assert_eq!(bench.mails("notification").len(), 2);
    bench.refused(65, &["invalid", "accept", "1"], "invalid ticket #1 is accepted already");
    bench.take_in("claim2", "Eve <eve@else.test>", "Re: [Support #1-1] and again");
    assert_eq!(bench.desk.count("invalid"), 1);

    // Remembered, her address is the contact's, and what she sends is trusted.
    bench.json(&["invalid", "accept", "2", "--remember"]);
    bench.take_in("claim3", "Eve <eve@else.test>", "Re: [Support #1-1] and once more");
    assert_eq!(bench.desk.count("invalid"), 0);
    assert_eq!(bench.json(&["ticket", "show", "1"])["entries"].as_array().unwrap().len(), 4);

    // One that was never let through becomes the contact's with the first accept.
    bench.take_in("claim4", "Cara at work <cara@work.test>", "Re: [Support #1-1] from work");
    bench.json(&["invalid", "accept", "3", "--remember"]);
    let contact = bench.json(&["contact", "show", "cara@work.test"]);
    assert_eq!(contact["addresses"][0]["address"], "cara@home.test");

    // Made a ticket of its own: only then its mails are queued.
    bench.take_in("claim5", "Mallory <mallory@else.test>", "Re: [Support #1-1] mine");
    let before = bench.desk.count("queue");
    let done = bench.desk.run(&["invalid", "reassign", "4", "99", "--type", "Sales", "--json"]);
    // One of the two is not there.
    assert_eq!((done.code, done.json()[1]["ok"].as_bool()), (Some(65), Some(false)), "{}", done.stdout);
    assert_eq!((&done.json()[0]["ok"], &done.json()[0]["ticket"]), (&json!(true), &json!(2)));
    let queued = bench.desk.rows(&["queue", "list", "--ticket", "2", "--json"]);
    assert_eq!((before + 1, queued.len()), (bench.desk.count("queue"), 1));
    let told = bench.sent(&queued[0]["id"]);
    assert!(told.contains("To: seller@team.test") && told.contains("[Sales #2-"), "{told}");
    let listed = bench.desk.rows(&["invalid", "list", "--state", "reassigned", "--json"]);
    assert_eq!((&listed[0]["ticket"], listed[0]["settled"].is_string()), (&json!(2), true));
}

#[test]
fn unwanted_mail_is_dismissed_and_taken_back_sqlite() {
    everywhere(Store::Sqlite, unwanted_mail_is_dismissed_and_taken_back);
}

#[test]
fn unwanted_mail_is_dismissed_and_taken_back_postgres() {
    everywhere(Store::Postgres, unwanted_mail_is_dismissed_and_taken_back);
}

fn unwanted_mail_is_dismissed_and_taken_back(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("claim", "Eve <eve@else.test>", "Re: [Support #1-1] pills");
    for verb in ["reject", "delete"] {
        assert_eq!(only(&bench.json(&["invalid", verb, "1"]))["ok"], true);
        assert_eq!(bench.desk.count("invalid"), 0);
        bench.json(&["invalid", "undo", "1"]);
        assert_eq!(bench.desk.count("invalid"), 1);
    }
    bench.refused(65, &["invalid", "undo", "1"], "only reject, delete and block can be undone");
    let blocked = bench.json(&["invalid", "block", "1", "--domain"]);
    assert_eq!(only(&blocked)["blocked"], "@else.test");
    assert_eq!(bench.json(&["contact", "blocked"])[0]["pattern"], "@else.test");
    bench.take_in("other", "Mallory <mallory@else.test>", "cheap pills");
    assert_eq!(only(&bench.json(&["invalid", "list"]))["code"], "blocked_sender");
    bench.json(&["invalid", "undo", "1"]);
    assert_eq!(bench.json(&["contact", "blocked"]), json!([]));
    bench.json(&["contact", "block", "Spam@bad.test", "@worse.test"]);
    assert_eq!(bench.json(&["contact", "unblock", "spam@bad.test"])["changed"], json!(["spam@bad.test"]));
    bench.refused(64, &["contact", "block", "spam"], "neither an address nor a domain");
}

#[test]
fn what_cannot_be_read_is_handed_out_or_fetched_sqlite() {
    everywhere(Store::Sqlite, what_cannot_be_read_is_handed_out_or_fetched);
}

#[test]
fn what_cannot_be_read_is_handed_out_or_fetched_postgres() {
    everywhere(Store::Postgres, what_cannot_be_read_is_handed_out_or_fetched);
}

fn what_cannot_be_read_is_handed_out_or_fetched(bench: &Bench) {
    let broken = b"X-Nothing: here\xff\r\n\r\n \r\n";
    bench.desk.lay("broken", broken);
    bench.desk.run(&["poll"]).ok();
    assert_eq!(only(&bench.json(&["error", "list"]))["code"], "unreadable");
    let raw = || bench.desk.command(&["error", "export", "1"]).output().unwrap().stdout;
    assert_eq!(raw(), broken);
    // Nothing was mended: it ends as it was, under the same number.
    let retried = bench.json(&["error", "retry", "1"]);
    assert_eq!((&only(&retried)["act"], &only(&retried)["code"]), (&json!("error"), &json!("unreadable")));
    bench.refused(65, &["error", "retry", "7"], "there is no error ticket #7");
    bench.refused(65, &["error", "fetch", "1"], "`maildesk error retry 1`");
    assert_eq!(only(&bench.json(&["error", "discard", "1"]))["state"], "discarded");
    bench.refused(65, &["error", "discard", "1"], "error ticket #1 is discarded already");

    // Too big for the mailbox: its headers are here, the rest comes when it is asked for.
    let head = "From: Cara <cara@home.test>\r\nTo: support@example.com\r\nSubject: big\r\n\
                Message-ID: <big@mail.test>\r\n\r\n";
    bench.desk.lay("big", format!("{head}{}", "words \r\n".repeat(200_000)));
    bench.desk.run(&["poll"]).ok();
    let listed = bench.json(&["error", "list"]);
    assert_eq!(only(&listed)["code"], "too_big");
    let id = only(&listed)["id"].to_string();
    assert_eq!(
        bench.json(&["error", "show", &id])["headers"].as_str().map(str::trim_end),
        Some(head.trim_end())
    );
    let headers = bench.desk.command(&["error", "export", &id]).output().unwrap().stdout;
    assert!(headers.starts_with(b"From: Cara") && headers.len() < 300);
    bench.refused(65, &["error", "retry", &id], &format!("`maildesk error fetch {id}`"));
    assert_eq!(only(&bench.json(&["error", "fetch", &id]))["state"], "fetch");
    bench.desk.run(&["poll"]).ok();
    assert_eq!(bench.json(&["error", "list"]), json!([]));
    assert_eq!(bench.json(&["ticket", "show", "1"])["subject"], "big");
    assert_eq!(only(&bench.json(&["mailbox", "balance"]))["difference"], 0);
}

#[test]
fn a_bounce_is_seen_and_resolved() {
    everywhere(Store::Sqlite, |bench| {
        bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
        let report = "From: <mailer-daemon@home.test>\r\nTo: support@example.com\r\nSubject: failure\r\n\
            Message-ID: <dsn@home.test>\r\nReturn-Path: <>\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.home.test\r\n\r\n\
            Final-Recipient: rfc822; cara@home.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
            --b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: [Support #1-1] printer on fire\r\n\r\n--b--\r\n";
        bench.desk.lay("dsn", report);
        bench.desk.run(&["poll"]).ok();
        let shown = bench.json(&["bounce", "show", "1"]);
        assert_eq!((&shown["code"], &shown["status"]), (&json!("bounce_by_tag"), &json!("5.1.1")));
        assert_eq!(bench.json(&["ticket", "show", "1"])["bounces"][0]["ticket"], 1);
        assert_eq!(only(&bench.json(&["bounce", "resolve", "1"]))["ok"], true);
        assert_eq!(bench.json(&["bounce", "list"]), json!([]));
        bench.refused(65, &["bounce", "resolve", "1"], "there is no unresolved bounce #1");
    });
}

#[test]
fn mail_on_its_way_is_held_and_let_go_sqlite() {
    everywhere(Store::Sqlite, mail_on_its_way_is_held_and_let_go);
}

#[test]
fn mail_on_its_way_is_held_and_let_go_postgres() {
    everywhere(Store::Postgres, mail_on_its_way_is_held_and_let_go);
}

fn mail_on_its_way_is_held_and_let_go(bench: &Bench) {
    assert_eq!(bench.json(&["queue", "pause"]), json!({ "relays": ["out"], "paused": true }));
    bench.take_in("one", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("two", "Cara <cara@home.test>", "printer on fire again");
    assert_eq!(bench.json(&["queue", "send"])["sent"], 0);
    assert!(bench.mails("notification").iter().all(|mail| mail["state"] == "queued"));
    assert_eq!(only(&bench.json(&["queue", "cancel", "1"]))["ok"], true);
    bench.refused(65, &["queue", "cancel", "1"], "outbox mail 1 is cancelled already");
    let events = &bench.json(&["ticket", "show", "1"])["events"];
    assert!(events.as_array().unwrap().iter().any(|e| e["kind"] == "mail_cancelled"), "{events}");
    bench.json(&["queue", "resume", "--relay", "out"]);
    bench.sent(&json!(2));
    let done = || (bench.mails("notification")[1]["state"] == "done").then_some(());
    wait_until("the mail to be done", Duration::from_secs(30), done);
    let shown = bench.json(&["queue", "show", "2"]);
    assert_eq!(
        (&shown["attempts"][0]["relay"], &shown["recipients"][0]["state"]),
        (&json!("out"), &json!("sent"))
    );
    let human = bench.desk.run(&["queue", "show", "2"]).ok().stdout;
    assert!(human.contains("ATTEMPT\n"), "{human}");
    assert_eq!(bench.mails("notification")[0]["state"], "cancelled");
    bench.refused(65, &["queue", "retry", "2"], "nothing is left to send");
}
