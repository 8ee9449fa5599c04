//! What is done to tickets: answered, edited, merged, deleted; and the files that came with them.

use serde_json::{Value, json};

use super::{Bench, everywhere, only};
use crate::support::program::Store;

#[test]
fn a_ticket_is_worked_on_sqlite() {
    everywhere(Store::Sqlite, a_ticket_is_worked_on);
}

#[test]
fn a_ticket_is_worked_on_postgres() {
    everywhere(Store::Postgres, a_ticket_is_worked_on);
}

fn a_ticket_is_worked_on(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    let said =
        bench.with_text(&["ticket", "answer", "1", "--agent", "ann", "--status", "pending"], "Use water.\n");
    let expected =
        json!({ "ticket": 1, "log_entry": 2, "mail": 2, "status": "pending", "tag_line": "[Support #1-2]" });
    assert_eq!(said, expected);
    let answer = bench.sent(&said["mail"]);
    for line in [
        "Subject: [Support #1-2] Re: printer on fire",
        "To: Cara <cara@home.test>",
        "In-Reply-To: <first@mail.test>",
        "<first@mail.test>",
        "Use water.",
    ] {
        assert!(answer.contains(line), "{line:?} is not in {answer}");
    }
    assert!(!answer.contains("Auto-Submitted"), "a person said it: {answer}");
    bench.refused(65, &["ticket", "answer", "1", "--file", "/absent"], "/absent: No such file");

    // A reply with the tag line is on the ticket; a note is not sent.
    bench.take_in("reply", "Cara <cara@home.test>", "Re: [Support #1-2] printer on fire");
    bench.with_text(&["ticket", "note", "1", "--agent", "ann"], "She is angry.");
    let shown = bench.json(&["ticket", "show", "1"]);
    let entries: Vec<(&str, &str)> = shown["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["kind"].as_str().unwrap(), e["author_name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        entries,
        [("inbound", "Cara"), ("outbound", "Agent Ann"), ("inbound", "Cara"), ("note", "Agent Ann")]
    );
    assert_eq!(shown["participants"][0]["address"], "cara@home.test");
    assert!(shown["events"].as_array().unwrap().iter().any(|e| e["kind"] == "answer_queued"));
    let read = bench.desk.run(&["ticket", "show", "1"]).ok().stdout;
    assert!(
        read.contains("── #2 outbound  Agent Ann <support@example.com>") && read.contains("   Use water."),
        "{read}"
    );

    // Its own fields, guarded by its version.
    let edit =
        ["ticket", "edit", "1", "--subject", "fire", "--priority", "urgent", "--due", "2026-02-01T00:00:00Z"];
    let edited = bench.json(&edit);
    assert_eq!((&edited["subject"], &edited["due"]), (&json!("fire"), &json!("2026-02-01T00:00:00Z")));
    assert_eq!(bench.json(&["ticket", "edit", "1", "--due", "none"])["due"], Value::Null);
    bench.refused(
        65,
        &[&edit[..], &["--at-version", "1"]].concat(),
        "was changed by somebody else meanwhile",
    );
    bench.refused(64, &["ticket", "edit", "1"], "nothing to change");
    bench.refused(64, &["ticket", "edit", "1", "--due", "tomorrow"], "is not a time such as");
    assert_eq!(bench.json(&["ticket", "assign", "1", "ann"])["assignee"], "ann");
    bench.refused(65, &["ticket", "assign", "1", "bob"], "there is no account \"bob\"");
    assert_eq!(bench.json(&["ticket", "assign", "1", "nobody"])["assignee"], Value::Null);
    assert_eq!(bench.json(&["ticket", "type", "1", "Sales"])["type"], "Sales");
    let closed = bench.json(&["ticket", "close", "1"]);
    assert_eq!((&only(&closed)["ok"], &only(&closed)["status"]), (&json!(true), &json!("closed")));
    bench.refused(65, &["ticket", "edit", "1", "--status", "pending"], "is closed: it cannot become pending");
    assert_eq!(only(&bench.json(&["ticket", "reopen", "1"]))["status"], "open");
}

#[test]
fn tickets_are_merged_deleted_and_restored_sqlite() {
    everywhere(Store::Sqlite, tickets_are_merged_deleted_and_restored);
}

#[test]
fn tickets_are_merged_deleted_and_restored_postgres() {
    everywhere(Store::Postgres, tickets_are_merged_deleted_and_restored);
}

fn tickets_are_merged_deleted_and_restored(bench: &Bench) {
    bench.take_in("one", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("two", "Cara <cara@home.test>", "the printer again");
    assert_eq!(bench.json(&["ticket", "merge", "2", "--into", "1"]), json!({ "id": 2, "merged_into": 1 }));
    bench.refused(65, &["ticket", "merge", "2", "--into", "1"], "was merged into #1 before");
    bench.refused(65, &["ticket", "merge", "1", "--into", "1"], "cannot be merged into itself");
    bench.take_in("three", "Cara <cara@home.test>", "Re: [Support #2-2] the printer again");
    let shown = bench.json(&["ticket", "show", "1"]);
    let of: Vec<i64> =
        shown["entries"].as_array().unwrap().iter().map(|e| e["ticket"].as_i64().unwrap()).collect();
    assert_eq!(of, [1, 2, 1], "the target shows all that was said");

    assert_eq!(only(&bench.json(&["ticket", "delete", "1"]))["deleted"], true);
    assert!(bench.desk.rows(&["ticket", "list", "--json"]).iter().all(|t| t["id"] != 1));
    assert_eq!(bench.json(&["ticket", "show", "1"])["deleted"], true);
    bench.refused(65, &["ticket", "close", "1"], "`maildesk ticket restore 1` brings it back");
    bench.take_in("four", "Cara <cara@home.test>", "Re: [Support #1-1] hello?");
    assert_eq!(bench.desk.rows(&["invalid", "list", "--json"])[0]["code"], "deleted_ticket");
    bench.refused(65, &["invalid", "accept", "1"], "restore it first");
    assert_eq!(only(&bench.json(&["ticket", "restore", "1"]))["deleted"], false);
    assert_eq!(only(&bench.json(&["invalid", "accept", "1"]))["ticket"], 1);
}

#[test]
fn what_came_with_a_mail_comes_out_as_it_was_sqlite() {
    everywhere(Store::Sqlite, what_came_with_a_mail_comes_out_as_it_was);
}

#[test]
fn what_came_with_a_mail_comes_out_as_it_was_postgres() {
    everywhere(Store::Postgres, what_came_with_a_mail_comes_out_as_it_was);
}

fn what_came_with_a_mail_comes_out_as_it_was(bench: &Bench) {
    let parts = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nwords\r\n\
        --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n--b--\r\n";
    bench.take_in_with("one", "Cara <cara@home.test>", "a file", parts);
    let shown = bench.json(&["ticket", "show", "1"]);
    let attachment = &shown["entries"][0]["attachments"][0];
    assert_eq!((&attachment["name"], &attachment["size"]), (&json!("a.pdf"), &json!(4)));
    let raw = bench.desk.command(&["ticket", "attachment", "1", "0"]).output().unwrap();
    assert_eq!(raw.stdout, [0, 1, 2, 255]);
    bench.refused(65, &["ticket", "attachment", "1", "7"], "there is no attachment 7 of entry #1");
    let to = bench.desk.folder.path().join("a.pdf").display().to_string();
    assert_eq!(bench.json(&["ticket", "attachment", "1", "0", "--to", &to])["bytes"], 4);
    bench.refused(65, &["ticket", "attachment", "1", "0", "--to", &to], "File exists");
}
