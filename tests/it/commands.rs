//! What people do to tickets, invalid mail and the queue on the command line, alone and beside a running daemon.

mod doctor;
mod queues;
mod tickets;

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::program::{Desk, Running, Store};
use crate::support::trial::support_with;
use crate::support::wait_until;

/// A desk on a Maildir, whose mails become files; with a daemon or without one.
struct Bench {
    desk: Desk,
    daemon: Option<Running>,
}

const AGENT_AND_SALES: &str = r#"
[[account]]
login = "ann"
name = "Agent Ann"
addresses = ["ann@team.test"]

[[type]]
name = "Sales"
tag = "Sales"
mailbox = "support"
relay = "out"
addresses = ["sales@example.com"]
admin = "seller@team.test"
"#;

fn sections() -> String {
    support_with("size_limit_mb = 1") + AGENT_AND_SALES
}

impl Bench {
    fn new(store: Store, is_beside_daemon: bool) -> Option<Bench> {
        let desk = Desk::on_maildir(store, &sections())?;
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
        self.desk.lay(name, mail);
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
        self.json(&[words, &["--file", &path]].concat())
    }

    /// The queued mails of a purpose.
    #[track_caller]
    fn mails(&self, purpose: &str) -> Vec<Value> {
        self.desk.rows(&["queue", "list", "--purpose", purpose, "--json"])
    }

    /// The mail with this id as it went out.
    #[track_caller]
    fn sent(&self, mail: &Value) -> String {
        let path = self.desk.folder.path().join(format!("out/{mail}.eml"));
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
