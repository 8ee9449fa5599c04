//! The program's listings as rows: the one place that knows how `--json` spells what the tests hold it to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::inbox::Inbox;
use super::program::{Desk, Running};
use super::wait_until;

/// `journal list --json`
#[derive(Clone, Debug, Deserialize)]
pub struct JournalRow {
    pub arrival: i64,
    pub identity: Value,
    pub message_id: Option<String>,
    pub state: String,
    /// Empty where nothing is decided yet.
    #[serde(deserialize_with = "or_empty")]
    pub act: String,
    #[serde(deserialize_with = "or_empty")]
    pub code: String,
    pub ticket: Option<i64>,
    pub log_entry: Option<i64>,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

impl JournalRow {
    /// Whether somebody is owed a mail about it (C2): each ticket and each comment, automatic mail excepted.
    pub fn is_notified(&self) -> bool {
        matches!(self.act.as_str(), "open" | "append") && self.code != "auto_reply_noted"
    }
}

/// `ticket list --json`
#[derive(Clone, Debug, Deserialize)]
pub struct TicketRow {
    pub id: i64,
    pub status: String,
    pub subject: String,
    pub tag_line: String,
    pub entries: usize,
}

/// `queue list --json`
#[derive(Clone, Debug, Deserialize)]
pub struct QueueRow {
    pub id: i64,
    pub purpose: String,
    pub ticket: Option<i64>,
    pub log_entry: Option<i64>,
    pub state: String,
    pub recipients: Vec<Value>,
}

impl Desk {
    #[track_caller]
    pub fn journal(&self) -> Vec<JournalRow> {
        self.listing(&["journal", "list", "--json"])
    }

    #[track_caller]
    pub fn tickets(&self) -> Vec<TicketRow> {
        self.listing(&["ticket", "list", "--json"])
    }

    /// Every mail that was ever owed, the sent ones too.
    #[track_caller]
    pub fn queue(&self) -> Vec<QueueRow> {
        self.listing(&["queue", "list", "--json"])
    }

    /// How many rows a listing has.
    #[track_caller]
    pub fn count(&self, what: &str) -> usize {
        self.rows(&[what, "list", "--json"]).len()
    }

    /// M2: what the mailboxes showed less what became of it, by mailbox.
    #[track_caller]
    pub fn balance(&self) -> BTreeMap<String, i64> {
        let rows = self.rows(&["mailbox", "balance", "--json"]);
        let of = |row: &Value| Some((row["mailbox"].as_str()?.to_owned(), row["difference"].as_i64()?));
        rows.iter().map(|row| of(row).unwrap_or_else(|| panic!("a row of mailbox balance: {row}"))).collect()
    }

    #[track_caller]
    fn listing<T: for<'a> Deserialize<'a>>(&self, arguments: &[&str]) -> Vec<T> {
        let read = |row: Value| {
            serde_json::from_value(row.clone())
                .unwrap_or_else(|e| panic!("maildesk {}: {e} in {row}", arguments.join(" ")))
        };
        self.rows(arguments).into_iter().map(read).collect()
    }

    /// Whether `messages` have come in and left the mailbox, and all mail is settled.
    pub fn is_settled(&self, inbox: &Inbox, messages: usize) -> bool {
        if inbox.remaining() > 0 {
            return false;
        }
        let journal = self.journal();
        journal.len() >= messages
            && journal.iter().all(|row| row.state == "acked")
            && self.queue().iter().all(|mail| mail.state == "done")
    }

    /// Runs the daemon until the desk is settled, and stops it. A predecessor that was killed may hold PostgreSQL's
    /// session lock for a moment, until the server has noticed; then the daemon ends with 69 and is started again.
    #[track_caller]
    pub fn run_until_settled(&self, inbox: &Inbox, messages: usize, deadline: Duration) {
        let mut daemon = self.spawn(&["run"]);
        wait_until("the desk to settle", deadline, || {
            if has_ended_busy(&mut daemon) {
                daemon = self.spawn(&["run"]);
            }
            // What has nothing to do is settled at once: it must have come so far that it can be told to stop.
            (daemon.is_catching_signals() && self.is_settled(inbox, messages)).then_some(())
        });
        let end = daemon.stop();
        assert!(end.success(), "the daemon ended with {end}: {}", daemon.log());
    }
}

/// Whether it ended because somebody else holds the desk. Any other end is wrong.
#[track_caller]
pub fn has_ended_busy(running: &mut Running) -> bool {
    let Some(end) = running.ended() else { return false };
    assert_eq!(end.code(), Some(69), "the daemon ended by itself: {}", running.log());
    true
}

/// Compares what should be with what is, and names the first few differences only.
#[track_caller]
pub fn assert_same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    let missing = expected.iter().filter(|(k, v)| found.get(k) != Some(v));
    let extra = found.keys().filter(|k| !expected.contains_key(k));
    let mut words: Vec<String> =
        missing.map(|(k, v)| format!("{k:?}: expected {v:?}, found {:?}", found.get(k))).collect();
    words.extend(extra.map(|k| format!("{k:?}: unexpected {:?}", found[k])));
    let count = words.len();
    words.truncate(12);
    assert!(count == 0, "{what}: {count} differences\n{}", words.join("\n"));
}
