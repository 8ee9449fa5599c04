//! The first week as it is typed: the commands of start-from-now, of shadow mode, and of verdicts from the configuration.

use serde_json::{Value, json};

use crate::support::program::{Desk, Store};
use crate::support::trial::{Letter, SUPPORT};

/// A desk with `sections` on its Maildir, and how to deliver into that.
fn desk(sections: &str) -> Desk {
    Desk::on_maildir(Store::usual(), sections).expect("a store")
}

fn deliver(desk: &Desk, name: &str, letter: &Letter) {
    desk.lay(name, letter.bytes());
}

#[track_caller]
fn fates(desk: &Desk) -> Vec<String> {
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = desk.rows(&["journal", "list", "--json"]);
    rows.iter().map(|row| format!("{} {}", word(row, "state"), word(row, "code"))).collect()
}

#[test]
fn a_mailbox_is_added_from_now_and_goes_live_from_shadow() {
    // Its own mailbox beside the one of the file, which is read-only.
    let desk = desk(
        &SUPPORT
            .replace("mailbox = \"support\"\n", "")
            .replace("[[mailbox]]\nname = \"support\"", "[[mailbox]]\nactive = false\nname = \"file\""),
    );
    deliver(&desk, "1.old", &Letter::new("old"));
    let path = desk.folder.path().join("Maildir").display().to_string();
    let add = ["mailbox", "add", "--name", "hand", "--protocol", "maildir", "--path", &path];
    desk.run(&[&add[..], &["--start", "now", "--mode", "shadow"]].concat()).ok();
    let refused = desk.run(&[&add[..4], &["--start", "tomorrow"]].concat());
    assert!(refused.code == Some(64) && refused.stderr.contains("all, now"), "{}", refused.stderr);
    desk.run(&["type", "add", "--name", "Hand", "--mailbox", "hand", "--addresses", "hand@example.com"]).ok();
    let polled = &desk.rows(&["poll", "--json"])[0];
    assert_eq!(
        (&polled["before_start"], &polled["fetched"], &polled["held"]),
        (&json!(1), &json!(0), &json!(false))
    );
    deliver(&desk, "2.a", &Letter::new("a").to("hand@example.com"));
    deliver(&desk, "3.b", &Letter::new("b").to("hand@example.com").answering("<a@x.test>"));
    desk.run(&["poll"]).ok();
    assert_eq!(desk.rows(&["mailbox", "list", "--json"])[1]["state"], "shadow");
    let rows = desk.rows(&["journal", "list", "--state", "shadow", "--json"]);
    assert_eq!(rows.iter().map(|row| row["shadow_of"].as_i64()).collect::<Vec<_>>(), [Some(2), Some(2)]);
    let explained = desk.json(&["explain", "--arrival", "3", "--json"]);
    assert_eq!((&explained["shadow"], &explained["shadow_of"]), (&json!(true), &json!(2)));
    assert_eq!((&explained["code"], &explained["ticket"]), (&json!("reply_by_foreign_id"), &Value::Null));
    assert!(explained["trace"].as_array().is_some_and(|trace| !trace.is_empty()));
    let told = desk.run(&["explain", "--arrival", "3"]).ok().stdout;
    assert!(told.contains("in shadow, on the ticket of arrival 2"), "{told}");
    assert_eq!(desk.run(&["explain", "--arrival", "3", "--anew"]).code, Some(65));
    let live = desk.json(&["mailbox", "live", "hand", "--json"]);
    assert_eq!((&live["was_shadow"], &live["shadows"]), (&json!(true), &json!(2)));
    desk.run(&["poll"]).ok();
    assert_eq!(fates(&desk), ["before_start ", "acked new_ticket", "acked reply_by_foreign_id"]);
    assert_eq!(desk.json(&["mailbox", "live", "hand", "--json"])["was_shadow"], false);
    assert_eq!(desk.run(&["mailbox", "live", "file"]).code, Some(0), "it is live");
}

#[test]
fn a_held_mailbox_is_resumed_from_now() {
    let desk = desk(SUPPORT);
    deliver(&desk, "1.a", &Letter::new("a"));
    desk.run(&["poll"]).ok();
    for n in 0..30 {
        let name = format!("2.{n}");
        deliver(&desk, &name, &Letter::new(&name));
        let file =
            std::fs::File::options().write(true).open(desk.folder.path().join("Maildir/new").join(name));
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        file.expect("our own file").set_modified(long_ago).expect("our own file");
    }
    // Another account, as far as anybody can tell.
    desk.configure(&SUPPORT.replace("path = \"Maildir\"", "path = \"./Maildir\""));
    assert_eq!(desk.rows(&["poll", "--json"])[0]["held"], true);
    let alert = &desk.rows(&["alert", "list", "--json"])[0];
    let words = alert["words"].as_str().unwrap_or_default();
    assert!(words.contains("of 30 messages in folder \"\" 30 are unknown"), "{alert}");
    assert!(words.contains("`maildesk mailbox resume support --from-now`"), "{alert}");
    assert_eq!(desk.run(&["poll", "--mailbox", "support"]).code, Some(69));
    let resumed = desk.json(&["mailbox", "resume", "support", "--from-now", "--json"]);
    assert_eq!(resumed["resumed"], true);
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty());
    let polled = &desk.rows(&["poll", "--json"])[0];
    assert_eq!((&polled["before_start"], &polled["fetched"]), (&json!(30), &json!(0)));
    assert_eq!(desk.rows(&["mailbox", "balance", "--json"])[0]["difference"], 0);
}

#[test]
fn verdicts_and_a_predecessors_tags_are_taken_from_the_configuration() {
    let desk = desk(&format!(
        "[trust]\nrelays = [\"mx.example.com\"]\n[predecessor]\ntags = [\"[Old#{{number}}]\"]\n\
         first_ticket_number = 500\n{SUPPORT}"
    ));
    let received = "from x.test by mx.example.com (Postfix) with ESMTPS; Mon, 2 Nov 2026 10:00:00 +0000";
    let spam = |id: &str, first: (&str, &str), second: (&str, &str)| {
        Letter::new(id).header(first.0, first.1).header(second.0, second.1)
    };
    let (mark, by) = (("X-Spam-Flag", "YES"), ("Received", received));
    deliver(&desk, "1.spam", &spam("1", mark, by));
    deliver(&desk, "2.forged", &spam("2", by, mark));
    deliver(&desk, "3.old", &Letter::new("3").subject("[Old#7] printer"));
    deliver(&desk, "4.old", &Letter::new("4").subject("AW: [OLD#7] printer"));
    deliver(&desk, "5.old", &Letter::new("5").subject("Re: [Old#7] printer").from("eve@y.test"));
    desk.run(&["poll"]).ok();
    let expected =
        ["spam_verdict", "new_ticket", "new_ticket", "reply_by_predecessor_tag", "stranger_on_ticket"];
    assert_eq!(fates(&desk), expected.map(|code| format!("acked {code}")));
    let tickets: Vec<Option<i64>> =
        desk.rows(&["journal", "list", "--json"]).iter().map(|row| row["ticket"].as_i64()).collect();
    assert_eq!(tickets[1..4], [Some(500), Some(501), Some(501)]);
    let explained = desk.json(&["explain", "--arrival", "1", "--json"]);
    assert_eq!(explained["reason"], "a mail server in front has marked it as spam: X-Spam-Flag: YES");
    desk.configure(&format!("[trust]\nrelays = [\"not a host\"]\n{SUPPORT}"));
    let refused = desk.run(&["config", "check"]);
    assert!(refused.code == Some(78) && refused.stderr.contains("trust.relays"), "{}", refused.stderr);
    desk.configure(&format!("[predecessor]\ntags = [\"#number\"]\n{SUPPORT}"));
    let refused = desk.run(&["config", "check"]);
    assert!(refused.code == Some(78) && refused.stderr.contains("predecessor.tags"), "{}", refused.stderr);
}

#[test]
fn a_broken_message_is_put_back_by_hand() {
    let desk = desk(SUPPORT);
    std::fs::write(desk.folder.path().join("Maildir/new/1.broken"), b"X-Broken: yes\r\n\r\n")
        .expect("delivered");
    desk.run(&["poll"]).ok();
    let done = &desk.rows(&["error", "return", "1", "--json"])[0];
    assert_eq!(done["state"], "returned", "{done}");
    assert_eq!(desk.rows(&["poll", "--json"])[0]["fetched"], 0);
    assert_ne!(desk.run(&["error", "return", "1", "7"]).code, Some(0));
}
