//! What one run of the daemon says and refuses: `run --shadow`, SIGHUP, its jobs, and commands that come while a new desk is
//! set up.

use std::process::Command;
use std::time::Duration;

use crate::support::program::{Desk, Store};
use crate::support::trial::{Letter, support_with};
use crate::support::wait_until;

/// A mailbox that an MTA fills, beside the Maildir.
const PIPE: &str = r#"
[[mailbox]]
name = "pipe"
protocol = "pipe"

[[type]]
name = "Piped"
tag = "Piped"
mailbox = "pipe"
relay = "out"
addresses = ["piped@example.com"]
admin = "admin@example.net"
"#;

const PATIENCE: Duration = Duration::from_secs(30);

fn sections() -> String {
    support_with("interval_s = 1") + PIPE
}

fn desk() -> Desk {
    Desk::on_maildir(Store::Sqlite, &sections()).expect("SQLite is there")
}

fn states(desk: &Desk) -> Vec<String> {
    let rows = desk.rows(&["journal", "list", "--json"]);
    rows.iter().map(|row| row["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_daemon_in_shadow_touches_nothing_and_says_so() {
    let desk = desk();
    let mail = desk.folder.path().join("Maildir/new/1.a");
    std::fs::write(&mail, Letter::new("a").bytes()).expect("delivered");
    let mut daemon = desk.spawn(&["run", "--shadow"]);
    wait_until("the decision", PATIENCE, || (states(&desk) == ["shadow"]).then_some(()));
    assert!(mail.exists() && desk.rows(&["ticket", "list", "--json"]).is_empty());
    assert!(daemon.log().contains("daemon.in_shadow"), "{}", daemon.log());
    let said = desk.run(&["ticket", "list"]).ok();
    assert!(said.stderr.contains("note: the daemon runs with --shadow"), "{}", said.stderr);
    let piped = ["deliver", "--to", "piped@example.com"];
    let refused = desk.run_with_input(&piped, &Letter::new("b").bytes());
    assert_eq!(refused.code, Some(75), "{}", refused.stderr);
    assert!(refused.stderr.contains("--shadow"), "{}", refused.stderr);
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty());
    daemon.stop();

    let mut daemon = desk.spawn(&["run"]);
    wait_until("the ticket", PATIENCE, || (states(&desk) == ["acked"]).then_some(()));
    assert!(!mail.exists());
    desk.run_with_input(&piped, &Letter::new("b").bytes()).ok();
    daemon.stop();
}

#[test]
fn jobs_are_listed_and_a_hangup_is_told_and_nothing_else() {
    let desk = desk();
    let mut daemon = desk.spawn(&["run"]);
    let jobs = wait_until("the jobs", PATIENCE, || {
        let jobs = desk.rows(&["job", "list", "--json"]);
        (!jobs.is_empty() && jobs[0]["schedule"] != "").then_some(jobs)
    });
    let job = &jobs[0];
    assert_eq!((&job["name"], &job["schedule"]), (&"backup.daily".into(), &"15 3 * * *".into()));
    assert!(job["outcome"].is_null() && job["last_run"].is_null(), "{job}");
    assert!(job["next_run"].as_str().is_some_and(|at| at.ends_with("03:15:00Z")), "{job}");
    let said = desk.run(&["job", "list"]).ok().stdout;
    assert!(said.starts_with("NAME") && said.contains("backup.daily"), "{said}");

    let told = Command::new("sh").args(["-c", "kill -HUP \"$0\""]).arg(daemon.id().to_string()).status();
    assert!(told.expect("sh starts").success());
    wait_until("its word", PATIENCE, || daemon.log().contains("daemon.not_reloaded").then_some(()));
    desk.run(&["ticket", "list"]).ok();
    assert!(daemon.stop().success());
}

/// Whoever comes while another sets the desk up waits for it.
#[test]
fn commands_wait_while_a_new_desk_is_set_up() {
    let desk = desk();
    let mut daemon = desk.spawn(&["run"]);
    let commands: Vec<_> = (0..6)
        .map(|_| {
            let mut command = desk.command(&["ticket", "list", "--json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("maildesk starts")
        })
        .collect();
    for command in commands {
        let ended = command.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "[]");
    }
    wait_until("the daemon", PATIENCE, || daemon.log().contains("daemon.started").then_some(()));
    daemon.stop();
}
