//! What people do to tickets, invalid mail and the queue on the command line, alone and beside a running daemon.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::program::{Desk, Running, Store};
use crate::support::wait_until;

/// A desk on a Maildir, whose mails become files; with a daemon or without one.
struct Bench {
    desk: Desk,
    daemon: Option<Running>,
}

const SECTIONS: &str = r#"
[[relay]]
name = "out"
kind = "folder"
path = "sent"
sender = "support@example.com"

[[mailbox]]
name = "support"
protocol = "maildir"
path = "inbox"

[[account]]
login = "ann"
name = "Agent Ann"
addresses = ["ann@team.test"]

[[type]]
name = "Support"
tag = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@team.test"

[[type]]
name = "Sales"
tag = "Sales"
mailbox = "support"
relay = "out"
addresses = ["sales@example.com"]
admin = "seller@team.test"
"#;

impl Bench {
    fn new(store: Store, is_beside_daemon: bool) -> Option<Bench> {
        let desk = Desk::new(store)?;
        for folder in ["inbox/new", "inbox/cur", "inbox/tmp"] {
            fs::create_dir_all(desk.folder.path().join(folder)).unwrap();
        }
        desk.configure(SECTIONS);
        desk.run(&["migrate"]).ok();
        let daemon = is_beside_daemon.then(|| {
            let daemon = desk.spawn(&["run"]);
            let socket = desk.folder.path().join("maildesk.sock");
            wait_until("the daemon's socket", Duration::from_secs(30), || socket.exists().then_some(()));
            daemon
        });
        Some(Bench { desk, daemon })
    }

    /// Takes a mail in: `name` is its file and its Message-ID.
    fn take_in(&self, name: &str, from: &str, subject: &str) {
        self.take_in_with(name, from, subject, "");
    }

    fn take_in_with(&self, name: &str, from: &str, subject: &str, more: &str) {
        let mail = format!(
            "From: {from}\r\nTo: support@example.com\r\nSubject: {subject}\r\nMessage-ID: <{name}@mail.test>\r\n\
             Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n{more}\r\nThe words of {name}.\r\n"
        );
        fs::write(self.desk.folder.path().join("inbox/new").join(name), mail).unwrap();
        self.desk.run(&["poll"]).ok();
    }

    /// Does it with an exit code of 0, and reads its JSON.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        self.desk.json(&[words, &["--json"]].concat())
    }

    #[track_caller]
    fn refused(&self, code: i32, words: &[&str], said: &str) {
        let output = self.desk.run(words);
        assert_eq!(output.code, Some(code), "{words:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(said), "{said:?} is not in {:?}", output.stderr);
    }

    #[track_caller]
    fn with_text(&self, words: &[&str], text: &str) -> Value {
        fs::write(self.desk.folder.path().join("text"), text).unwrap();
        let path = self.desk.folder.path().join("text").display().to_string();
        self.json(&[words, &["--text", &path]].concat())
    }

    /// The queued mails of a purpose.
    #[track_caller]
    fn mails(&self, purpose: &str) -> Vec<Value> {
        self.desk.rows(&["queue", "list", "--purpose", purpose, "--json"])
    }

    /// The mail with this id as it went out.
    #[track_caller]
    fn sent(&self, mail: &Value) -> String {
        let path = self.desk.folder.path().join(format!("sent/{mail}.eml"));
        if self.daemon.is_none() {
            self.json(&["queue", "send"]);
        }
        let read = || fs::read(&path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        wait_until(&format!("{}", path.display()), Duration::from_secs(20), read)
    }

    fn end(mut self) {
        if let Some(daemon) = &mut self.daemon {
            let end = daemon.stop();
            assert!(end.success(), "{}", daemon.log());
        }
    }
}

/// On each store, alone and beside a daemon.
fn everywhere(store: Store, check: impl Fn(&Bench)) {
    for is_beside_daemon in [false, true] {
        let Some(bench) = Bench::new(store, is_beside_daemon) else { return };
        check(&bench);
        bench.end();
    }
}

fn only(list: &Value) -> &Value {
    match list.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => panic!("not a list of one: {list}"),
    }
}

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
