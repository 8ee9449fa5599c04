//! How the daemon fares, as data: what /healthz shows as JSON, what /metrics shows as gauges, what systemd is told.
//!
//! No words of servers and no addresses: names of mailboxes and relays, states, counts and ages. The words stand in
//! `maildesk alert list`.

use std::time::Duration;

use serde::Serialize;

/// Filled by the daemon at the moment it is asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    pub status: Status,
    pub version: &'static str,
    pub store: StoreHealth,
    /// Whether this process has the right to work on the desk.
    pub desk_is_ours: bool,
    /// It was started with `--shadow`: mail is read and decided, and nothing comes of it.
    pub is_shadow: bool,
    /// Since a restore: no mail is taken in and none goes out before `maildesk restore --go-live`.
    pub desk_is_held: bool,
    /// The tasks of the daemon, and whether each has shown itself lately.
    pub tasks: Vec<TaskHealth>,
    /// What follows is empty where the store does not answer. The daemons at work on this desk, this one among them.
    pub daemons: Vec<DaemonHealth>,
    pub mailboxes: Vec<MailboxHealth>,
    /// Messages that are not settled yet, by the state of their arrival.
    pub arrivals: Vec<Count>,
    pub queue: QueueHealth,
    pub relays: Vec<RelayHealth>,
    /// What mailboxes and relays sign in with at identity providers.
    pub grants: Vec<GrantHealth>,
    pub alerts_open: u64,
    /// RFC 3339.
    pub last_backup: Option<String>,
}

/// What whoever asks should do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing.
    Ok,
    /// A person should look at the alerts; a restart would not help.
    Attention,
    /// It does not work: the store is away or silent, the desk is lost, or a task hangs.
    #[default]
    Down,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreHealth {
    pub state: StoreState,
    /// How long it took to answer.
    pub ping_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    Ok,
    /// It cannot be used, and says so: a server that is down, a disk that fails.
    Away,
    /// It does not answer at all.
    #[default]
    Silent,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskHealth {
    pub name: String,
    /// Since its last sign of life.
    pub silent_s: u64,
    /// It should have shown one by now.
    pub is_late: bool,
    /// Since the start of the process.
    pub restarts: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct DaemonHealth {
    /// Another one in each life of the process.
    pub id: String,
    /// run, poll, import.
    pub command: String,
    pub host: String,
    pub pid: i64,
    /// RFC 3339.
    pub since: String,
    /// It is the one that answers.
    pub is_us: bool,
    /// Names of the mailboxes that it has.
    pub mailboxes: Vec<String>,
    /// Names of the jobs that it has, such as `alerts`.
    pub jobs: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct MailboxHealth {
    pub name: String,
    /// off, held, failing, no_type, waiting (never read yet), ok: as `maildesk mailbox list` has it.
    pub state: &'static str,
    /// RFC 3339.
    pub failing_since: Option<String>,
    /// The kind of the last failure, as in the table of docs/operations.md.
    pub failure_kind: Option<String>,
    /// Rounds that failed in a row.
    pub failures: i64,
    /// Seconds since the last round that went well.
    pub last_ok_age_s: Option<i64>,
}

/// Mail on its way out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueHealth {
    /// Recipients that wait, by state: queued, deferred, held.
    pub recipients: Vec<Count>,
    /// Age of the oldest mail that waits.
    pub oldest_s: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RelayHealth {
    pub name: String,
    /// off, paused, failing, ok.
    pub state: &'static str,
    /// RFC 3339.
    pub failing_since: Option<String>,
}

/// The OAuth clock (M9).
#[derive(Clone, Debug, Serialize)]
pub struct GrantHealth {
    /// mailbox, relay.
    pub kind: String,
    pub name: String,
    /// working, failing (it is tried again by itself), stopped (somebody has to act), missing (nobody has signed in yet).
    pub state: String,
    /// The code of what is wrong, as in docs/oauth.md; empty: nothing.
    pub error: String,
    /// Of the access token.
    pub access_left_s: Option<i64>,
    pub refresh_days_left: Option<i64>,
    pub secret_days_left: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub state: String,
    pub count: u64,
}

impl Health {
    /// Says what it all comes to.
    pub fn judged(mut self) -> Health {
        let hangs = self.tasks.iter().any(|task| task.is_late);
        let fails = self.alerts_open > 0
            || self.desk_is_held
            || self.mailboxes.iter().any(|m| m.state == "failing")
            || self.relays.iter().any(|r| r.state == "failing")
            || self.grants.iter().any(|g| matches!(g.state.as_str(), "stopped" | "missing"));
        self.status = match () {
            () if self.store.state != StoreState::Ok || !self.desk_is_ours || hangs => Status::Down,
            () if fails => Status::Attention,
            () => Status::Ok,
        };
        self
    }

    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        match self.store.state {
            StoreState::Ok => {}
            StoreState::Away => return "the store cannot be used: its words are in the log".to_owned(),
            StoreState::Silent => return "the store does not answer".to_owned(),
        }
        let late: Vec<&str> = self.tasks.iter().filter(|t| t.is_late).map(|t| t.name.as_str()).collect();
        if !late.is_empty() {
            return format!("hangs: {}", late.join(", "));
        }
        let read = self.mailboxes.iter().filter(|m| ["ok", "waiting", "failing"].contains(&m.state)).count();
        let failing = self.mailboxes.iter().filter(|m| m.state == "failing").count();
        let waiting: u64 = self.queue.recipients.iter().map(|c| c.count).sum();
        let state = match () {
            () if self.desk_is_held => "held since a restore: ",
            () if self.is_shadow => "in shadow, nothing comes of mail: ",
            () => "",
        };
        format!(
            "{state}{read} mailbox(es) read, {failing} failing; mail to {waiting} recipient(s) waits; {} alert(s)",
            self.alerts_open
        )
    }

    /// Whether a new process would do no better. What says that it is away, or fails by name, does not need one; what hangs
    /// does.
    pub fn is_alive(&self) -> bool {
        self.store.state != StoreState::Silent && !self.tasks.iter().any(|task| task.is_late)
    }

    pub fn answered_in(&mut self, ping: Duration) {
        let ping_ms = Some((ping.as_secs_f64() * 1e6).round() / 1e3);
        self.store = StoreHealth { state: StoreState::Ok, ping_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_mailbox_asks_for_a_person_and_a_silent_store_is_down() {
        let mut health = Health { desk_is_ours: true, ..Health::default() };
        assert_eq!(health.clone().judged().status, Status::Down);
        assert_eq!(health.line(), "the store does not answer");
        assert!(!health.is_alive());
        health.store.state = StoreState::Away;
        assert_eq!(health.clone().judged().status, Status::Down);
        assert!(health.is_alive(), "a restart would not bring it back");
        health.answered_in(Duration::from_millis(2));
        assert_eq!(health.clone().judged().status, Status::Ok);
        health.mailboxes.push(MailboxHealth {
            name: "support".into(),
            state: "failing",
            failing_since: None,
            failure_kind: Some("login".into()),
            failures: 3,
            last_ok_age_s: None,
        });
        assert_eq!(health.clone().judged().status, Status::Attention);
        assert_eq!(health.line(), "1 mailbox(es) read, 1 failing; mail to 0 recipient(s) waits; 0 alert(s)");
        health.is_shadow = true;
        assert!(
            health.line().starts_with("in shadow, nothing comes of mail: 1 mailbox"),
            "{}",
            health.line()
        );
        let held = Health { desk_is_held: true, mailboxes: vec![], ..health.clone() };
        assert_eq!(held.clone().judged().status, Status::Attention);
        assert!(held.line().starts_with("held since a restore: 0 mailbox"), "{}", held.line());
        health.tasks.push(TaskHealth { name: "send".into(), silent_s: 400, is_late: true, restarts: 0 });
        assert_eq!(health.clone().judged().status, Status::Down);
        assert_eq!(health.line(), "hangs: send");
        assert!(!health.is_alive());
        let lost = Health { desk_is_ours: false, tasks: vec![], ..health };
        assert_eq!(lost.judged().status, Status::Down);
    }
}
