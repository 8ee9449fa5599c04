//! A desk moves from SQLite to PostgreSQL: all of it, killed on the way and taken up again, and it works on there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::program::{Desk, Output, Store};
use crate::support::trial::{Letter, SUPPORT, make_maildir};
use crate::support::{postgres, setting};

/// What a copy does not carry, and the tables that belong to the store itself.
const NOT_CARRIED: &[&str] = &["_sqlx_migrations", "daemon", "daemon_mark", "lease", "moving", "session"];
const CONFIGURATION: u8 = 78;

/// How many tickets: `MAILDESK_MOVE_TICKETS`, else 300.
fn tickets() -> usize {
    setting("MAILDESK_MOVE_TICKETS").map_or(300, |n| n.parse().expect("a number of tickets"))
}

fn deliver(maildir: &Path, name: &str, letter: &Letter) {
    std::fs::write(maildir.join("new").join(name), letter.bytes()).expect("delivered");
}

/// A desk with tickets, replies to its own mails, an attachment in chunks, a merged ticket, mail owed and failed.
fn lived_in(count: usize) -> Desk {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is everywhere");
    let maildir = desk.folder.path().join("Maildir");
    make_maildir(&maildir);
    desk.configure(SUPPORT);
    for n in 0..count {
        let letter = Letter::new(&format!("m{n}")).from(&format!("Jo{n} <jo{}@x.test>", n % 97));
        deliver(&maildir, &format!("{n}.m"), &letter.subject(&format!("printer {n} \u{fc}")));
    }
    let big = Letter::new("big").header("MIME-Version", "1.0").header("Content-Type", "text/x; name=\"b\"");
    let big = big.header("Content-Transfer-Encoding", "base64");
    deliver(&maildir, "big.m", &big.body(&"Zm9vYmFyYmF6cXV4\r\n".repeat(60_000)));
    desk.run(&["poll"]).ok();
    desk.run_with_input(&["ticket", "answer", "1"], b"We look into it.").ok();
    desk.run(&["ticket", "merge", "2", "--into", "3"]).ok();
    desk.run(&["ticket", "close", "4"]).ok();
    deliver(&maildir, "reply.m", &Letter::new("r").answering(&message_id(&desk)).from("jo0@x.test"));
    deliver(&maildir, "strange.m", &Letter::new("s").subject("[Support #1-1]").from("eve@x.test"));
    desk.run(&["poll"]).ok();
    desk
}

/// Of the answer on ticket 1.
fn message_id(desk: &Desk) -> String {
    let queue = desk.rows(&["queue", "list", "--json"]);
    let answer = queue.iter().find(|m| m["purpose"] == "answer").expect("the answer");
    answer["message_id"].as_str().expect("its Message-ID").to_owned()
}

/// All that listings show.
fn shown(desk: &Desk) -> Vec<Value> {
    let lists = [
        &["ticket", "list", "--json"][..],
        &["journal", "list", "--json"],
        &["queue", "list", "--json"],
        &["contact", "list", "--json"],
        &["invalid", "list", "--json"],
        &["ticket", "show", "1", "--json"],
        &["ticket", "show", "2", "--json"],
    ];
    lists.iter().map(|list| desk.json(list)).collect()
}

fn moving(desk: &Desk, more: &[&str]) -> Vec<String> {
    let from = format!("sqlite:{}", desk.folder.path().join("desk.db").display());
    ["migrate", "--from", &from].iter().chain(more).map(|s| (*s).to_owned()).collect()
}

fn run_moving(desk: &Desk, more: &[&str]) -> Output {
    let arguments = moving(desk, more);
    desk.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn refuses(desk: &Desk, words: &str) {
    for command in [&["run"][..], &["ticket", "list"], &["poll"]] {
        let said = desk.run(command);
        assert_eq!(said.code, Some(i32::from(CONFIGURATION)), "{command:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{command:?}: {}", said.stderr);
    }
}

#[test]
fn a_desk_moves_to_postgres_though_it_is_killed_half_way() {
    let Some(url) = postgres::database() else { return };
    let count = tickets();
    let old = lived_in(count);
    let new = Desk { folder: tempfile::tempdir().expect("a folder"), store_url: url.clone() };
    new.configure(SUPPORT);
    make_maildir(&new.folder.path().join("Maildir"));
    std::fs::copy(old.folder.path().join("maildesk.key"), new.folder.path().join("maildesk.key"))
        .expect("the key");

    // A daemon that works on it is not disturbed.
    let daemon = old.spawn(&["run"]);
    crate::support::wait_until("the daemon", std::time::Duration::from_secs(30), || {
        daemon.log().contains("daemon.started").then_some(())
    });
    let said = run_moving(&old, &["--to", &url]);
    assert!(said.code == Some(69) && said.stderr.contains("held by `maildesk run`"), "{said:?}");
    drop(daemon);
    let before = shown(&old);

    let arguments = moving(&old, &["--to", &url]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = old.command(&arguments);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("maildesk starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut words = lines.map_while(Result::ok).filter(|line| line.contains("rows copied")).skip(1);
    assert!(words.next().is_some(), "it tells how far it has come");
    child.kill().expect("a child of ours");
    child.wait().expect("its end");
    refuses(&old, "on its way");
    refuses(&new, "not all of it is here");

    let moved = run_moving(&old, &["--to", &url, "--json"]).ok().json();
    assert!(moved["rows_before"].as_u64().unwrap() > 0, "it went on from where it was: {moved}");
    assert!(moved["rows_before"].as_u64() < moved["rows"].as_u64(), "half-way: {moved}");
    check_tables(&url, &moved);
    refuses(&old, "this desk moved from");
    for (before, after) in before.iter().zip(shown(&new)) {
        assert!(*before == after, "people see the same:\n{before:.2000}\n{after:.2000}");
    }
    let again = run_moving(&old, &["--to", &url, "--json"]).ok().json();
    assert_eq!((&again["was_done"], &again["tables"]), (&true.into(), &moved["tables"]));
    crate::support::say(&format!(
        "moved {count} tickets: {} rows in {} s\n",
        moved["rows"], moved["seconds"]
    ));
    works_on(&new, count);

    run_moving(&old, &["--undo"]).ok();
    assert_eq!(old.json(&["ticket", "list", "--json"]), before[0]);
}

/// Every table went over, and psql counts the same rows.
fn check_tables(url: &str, moved: &Value) {
    let of_move: BTreeMap<String, u64> = moved["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["table"].as_str().unwrap().to_owned(), t["rows"].as_u64().unwrap()))
        .collect();
    let names = psql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    let names: Vec<&str> = names.lines().filter(|name| !NOT_CARRIED.contains(name)).collect();
    assert!(names.len() > 30, "{names:?}");
    let counts = names.iter().map(|name| format!("SELECT '{name}', count(*) FROM {name}"));
    let counts = psql(url, &counts.collect::<Vec<_>>().join(" UNION ALL "));
    let counted: BTreeMap<String, u64> = counts
        .lines()
        .map(|line| {
            let (name, count) = line.split_once('|').expect("two columns");
            (name.to_owned(), count.parse().expect("a count"))
        })
        .collect();
    assert_eq!(of_move, counted);
}

fn psql(url: &str, sql: &str) -> String {
    let output = std::process::Command::new("psql").args(["-X", "-A", "-t", "-c", sql, url]).output();
    let output = output.expect("psql comes with PostgreSQL");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Keys, counters and events go on: a reply to a mail of the old life finds its ticket, a new mail gets the next number.
fn works_on(desk: &Desk, count: usize) {
    let maildir = desk.folder.path().join("Maildir");
    let letter = Letter::new("after").answering(&message_id(desk)).from("jo0@x.test").subject("Re: x");
    deliver(&maildir, "after.m", &letter);
    desk.run(&["poll"]).ok();
    deliver(&maildir, "new.m", &Letter::new("new").subject("something else"));
    desk.run(&["poll"]).ok();
    let journal = desk.rows(&["journal", "list", "--json"]);
    let of = |id: &str| {
        let row = journal.iter().find(|row| row["message_id"].as_str().is_some_and(|m| m.contains(id)));
        row.unwrap_or_else(|| panic!("no {id} in {journal:?}"))["ticket"].as_u64()
    };
    assert_eq!((of("after@"), of("new@")), (Some(1), Some(count as u64 + 2)));
    assert_eq!(desk.rows(&["mailbox", "balance", "--json"])[0]["difference"], 0);
}

#[test]
fn a_desk_moves_only_where_none_is() {
    let Some(url) = postgres::database() else { return };
    let old = lived_in(5);
    let taken = Desk { folder: tempfile::tempdir().expect("a folder"), store_url: url.clone() };
    taken.configure("");
    taken.run(&["migrate"]).ok();
    let said = run_moving(&old, &["--to", &url]);
    assert!(said.code == Some(65) && said.stderr.contains("name an empty database"), "{said:?}");
    old.run(&["ticket", "list"]).ok();
    let other = old.folder.path().join("other.db");
    let said = run_moving(&old, &["--to", &format!("sqlite:{}", other.display())]);
    assert!(said.code == Some(65) && said.stderr.contains("`maildesk backup`"), "{said:?}");
    assert!(!other.exists(), "a refusal makes no file");
    let said = run_moving(&old, &["--undo"]);
    assert!(said.code == Some(65) && said.stderr.contains("has not moved"), "{said:?}");
    let said = run_moving(&old, &[]);
    assert_eq!(said.code, Some(64), "{said:?}");
}

/// One that began anew after the old desk had gone on does not trust what an earlier one left.
#[test]
fn a_move_that_was_taken_back_begins_anew() {
    let Some(url) = postgres::database() else { return };
    let old = lived_in(30);
    let from = old.folder.path().join("desk.db");
    run_moving(&old, &["--to", &url]).ok();
    psql(
        &url,
        "UPDATE moving SET state = replace(state, '\"spot\":null', '\"spot\":{\"table\":\"ticket\",\"key\":[]}')",
    );
    run_moving(&old, &["--undo"]).ok();
    old.run_with_input(&["ticket", "note", "1"], b"Meanwhile.").ok();
    let moved = run_moving(&old, &["--to", &url, "--json"]).ok().json();
    assert_eq!(moved["rows_before"], 0, "{moved}");
    check_tables(&url, &moved);
    // What differs on the two sides is found: nothing there is trusted then.
    psql(
        &url,
        "UPDATE moving SET state = replace(state, '\"spot\":null', '\"spot\":{\"table\":\"\",\"key\":[]}')",
    );
    psql(&url, "UPDATE ticket SET subject = subject || '.' WHERE id = 5");
    let said = run_moving(&old, &["--to", &url]);
    assert!(
        said.code == Some(65) && said.stderr.contains("table ticket is not the same"),
        "{}: {said:?}",
        from.display()
    );
}
