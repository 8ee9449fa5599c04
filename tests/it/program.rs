//! The program as it is typed to: exit codes, words, JSON, and what of a secret may be seen (nothing).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A folder with a configuration, and the program that works in it.
struct Desk {
    folder: tempfile::TempDir,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> Said {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn refused(self, code: i32, words: &str) -> Said {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.contains(words), "{words:?} is not in {:?}", self.err);
        assert_eq!(self.out, "", "a refusal prints nothing on standard output");
        self
    }

    #[track_caller]
    fn json(self) -> serde_json::Value {
        let said = self.ok();
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out))
    }
}

const STORE: &str = "[store]\nurl = \"sqlite:desk.db\"\n";
const HUNTER: &str = "hunter2-and-more";

impl Desk {
    fn new(config: &str) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        desk.write("maildesk.toml", config);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maildesk"));
        command.args(words).current_dir(self.folder.path());
        for name in ["MAILDESK_KEY", "MAILDESK_LOG", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, "")
    }

    fn run_with(&self, words: &[&str], stdin: &str) -> Said {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended before.
        if child.stdin.take().unwrap().write_all(stdin.as_bytes()).is_err() {
            assert!(!stdin.is_empty());
        }
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn add_mailbox(&self) -> Said {
        self.write("password", &format!("{HUNTER}\n"));
        self.run(&[
            "mailbox",
            "add",
            "--name",
            "support",
            "--host",
            "127.0.0.1",
            "--username",
            "support",
            "--tls",
            "plain",
            "--password-file",
            "password",
            "--json",
        ])
    }

    /// The daemon, once it answers. It takes no port: another test's may have it.
    fn daemon(&self) -> Daemon {
        let config = std::fs::read_to_string(self.path("maildesk.toml")).unwrap();
        if !config.contains("[web]") {
            self.write("maildesk.toml", &format!("{config}\n[web]\nlisten = \"\"\n"));
        }
        let child = self.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
        let daemon = Daemon(child);
        for _ in 0..500 {
            if self.path("maildesk.sock").exists() {
                return daemon;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the daemon made no socket");
    }
}

/// Stopped when dropped.
struct Daemon(Child);

impl Daemon {
    /// Ends it in good order; gives its exit code.
    fn stop(mut self) -> i32 {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have been stopped.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn what_is_typed_wrong_is_a_usage_error() {
    let desk = Desk::new(STORE);
    desk.run(&["mailbox", "lists"]).refused(64, "unrecognized subcommand");
    desk.run(&[]).refused(64, "Usage: maildesk");
    desk.run(&["mailbox", "add", "--tls", "ssl"]).refused(64, "must be one of tls, starttls, plain");
    desk.run(&["mailbox", "add", "--name", "x", "--username", "x"]).refused(64, "--host: must be given");
    assert!(desk.run(&["--help"]).ok().out.contains("maildesk demo"));
    assert!(desk.run(&["completions", "bash"]).ok().out.contains("_maildesk"));
    assert!(desk.run(&["crash-points"]).ok().out.starts_with("keep.before_commit\n"));
}

#[test]
fn a_mistake_in_the_configuration_names_file_line_and_key() {
    let desk = Desk::new(&format!("{STORE}\n[[mailbox]]\nname = \"a\"\nhots = \"h\"\n"));
    for words in [&["config", "check"][..], &["ticket", "list"], &["run"]] {
        desk.run(words)
            .refused(78, "maildesk.toml:6: mailbox.hots: unknown field `hots`, expected one of `name`");
    }
    desk.run(&["--config", "absent.toml", "migrate"]).refused(78, "absent.toml: No such file");
    std::fs::remove_file(desk.path("maildesk.toml")).unwrap();
    if !Path::new("/etc/maildesk/config.toml").exists() {
        desk.run(&["migrate"]).refused(78, "`maildesk config example > maildesk.toml` writes one");
    }
}

#[test]
fn the_example_at_the_root_is_the_one_that_is_printed() {
    let desk = Desk::new(STORE);
    let printed = desk.run(&["config", "example"]).ok().out;
    let kept = include_str!("../../config.example.toml");
    assert!(printed == kept, "run `cargo run -- config example > config.example.toml`");
    desk.write("maildesk.toml", &printed);
    assert!(desk.run(&["config", "check"]).ok().out.contains("is good"));
}

#[test]
fn show_prints_what_is_in_force_without_secrets() {
    let desk = Desk::new(&format!(
        "{STORE}[[relay]]\nname = \"out\"\nhost = \"h\"\nsender = \"a@b.test\"\npassword = \"{HUNTER}\"\n"
    ));
    let said = desk.run(&["config", "show"]).ok();
    assert!(said.out.contains("password = \"***\"") && said.out.contains("batch_mb = 8"), "{}", said.out);
    assert!(!said.out.contains(HUNTER));
    let json = desk.run(&["config", "show", "--json"]).json();
    assert_eq!(json["relay"][0]["password"], "***");
}

#[test]
fn a_mailbox_is_added_edited_and_deleted_by_its_version() {
    let desk = Desk::new(STORE);
    assert_eq!(desk.run(&["migrate", "--json"]).json()["schema"], 1);
    assert_eq!(desk.add_mailbox().json()["version"], 1);
    desk.add_mailbox().refused(65, "the mailbox name \"support\" is taken already");
    let listed = desk.run(&["mailbox", "list", "--json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&"support".into(), &"no_type".into()));
    let edit = ["mailbox", "edit", "support", "--host", "127.0.0.2", "--at-version", "1", "--json"];
    assert_eq!(desk.run(&edit).json()["version"], 2);
    desk.run(&edit).refused(65, "was changed by somebody else meanwhile");
    let shown = desk.run(&["mailbox", "show", "#1", "--json"]).json();
    assert_eq!((&shown["epoch"], &shown["host"]), (&2.into(), &"127.0.0.2".into()));
    assert_eq!((&shown["has_password"], &shown["password"]), (&true.into(), &serde_json::Value::Null));
    assert!(desk.run(&["mailbox", "list"]).ok().out.contains("#1  support"));
    desk.run(&["mailbox", "delete", "support"]).ok();
    desk.run(&["mailbox", "show", "support"]).refused(65, "there is no mailbox \"support\"");
}

#[test]
fn what_others_depend_on_is_not_deleted() {
    let desk = Desk::new(STORE);
    desk.add_mailbox().ok();
    let relay = ["relay", "add", "--name", "out", "--host", "h", "--sender", "a@b.test", "--password-stdin"];
    desk.run_with(&relay, &format!("{HUNTER}\n")).ok();
    desk.run(&[
        "type",
        "add",
        "--name",
        "Support",
        "--mailbox",
        "support",
        "--relay",
        "out",
        "--addresses",
        "support@b.test",
        "--admin",
        "admin@c.test",
    ])
    .ok();
    desk.run(&["mailbox", "delete", "support"]).refused(65, "1 ticket type(s) depend on it");
    desk.run(&["relay", "delete", "out"]).refused(65, "1 ticket type(s) depend on it");
    desk.run(&["type", "edit", "Support", "--admin", "support@b.test"])
        .refused(65, "is itself read by maildesk");
    desk.run(&["type", "delete", "Support"]).ok();
    desk.run(&["mailbox", "delete", "support"]).ok();
}

#[test]
fn rows_of_the_file_are_read_only_and_go_off_when_they_leave_it() {
    let mailbox = "[[mailbox]]\nname = \"support\"\nhost = \"h\"\nusername = \"u\"\n";
    let desk = Desk::new(&format!("{STORE}{mailbox}"));
    let listed = desk.run(&["mailbox", "list", "--json"]).json();
    assert_eq!(listed[0]["provisioned"], true);
    for words in [&["mailbox", "edit", "support", "--host", "x"][..], &["mailbox", "delete", "support"]] {
        desk.run(words).refused(65, "comes from the configuration file and is changed there");
    }
    desk.write("maildesk.toml", STORE);
    let listed = desk.run(&["mailbox", "list", "--json"]).json();
    assert_eq!((&listed[0]["provisioned"], &listed[0]["state"]), (&false.into(), &"off".into()));
}

#[test]
fn a_password_is_nowhere_to_be_seen() {
    let desk = Desk::new(STORE);
    let mut said = String::new();
    let mut note = |s: Said| said.push_str(&format!("{}{}", s.out, s.err));
    note(desk.add_mailbox());
    note(desk.add_mailbox());
    for words in [
        &["-vv", "mailbox", "list"][..],
        &["-vv", "mailbox", "show", "support", "--json"],
        &["-vv", "mailbox", "edit", "support", "--password-file", "password"],
        &["config", "show"],
        &["mailbox", "delete", "support", "--at-version", "9"],
    ] {
        note(desk.run(words));
    }
    assert!(!said.contains(HUNTER), "{said}");
    for entry in std::fs::read_dir(desk.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = path.file_name().is_some_and(|name| name == "password");
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(HUNTER.len()).any(|w| w == HUNTER.as_bytes());
        assert_eq!(found, is_ours, "{}", path.display());
    }
}

#[test]
fn the_sealing_key_is_made_once_and_missed_when_it_is_gone() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new(STORE);
    assert!(desk.run(&["migrate"]).ok().err.contains("made a new sealing key in"));
    let key = desk.path("maildesk.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.run(&["migrate"]).ok().err, "");
    desk.write("maildesk.key", &"ab".repeat(32));
    desk.run(&["ticket", "list"]).refused(78, "the sealing key does not open the secrets of this desk");
    std::fs::remove_file(&key).unwrap();
    desk.run(&["ticket", "list"]).refused(78, "put it back from your copy");
    assert!(!key.exists());
}

#[test]
fn commands_work_beside_a_daemon_and_a_second_one_is_refused() {
    let desk = Desk::new(STORE);
    desk.run(&["migrate"]).ok();
    let daemon = desk.daemon();
    let pid = daemon.0.id();
    desk.run(&["run"]).refused(69, &format!("this desk is held by `maildesk run`, pid {pid} on "));
    // Through the socket: without the key this process could not open the store itself.
    std::fs::rename(desk.path("maildesk.key"), desk.path("hidden")).unwrap();
    assert_eq!(desk.add_mailbox().json()["name"], "support");
    assert_eq!(desk.run(&["mailbox", "list", "--json"]).json()[0]["name"], "support");
    desk.run(&["mailbox", "show", "absent"]).refused(65, "there is no mailbox \"absent\"");
    std::fs::rename(desk.path("hidden"), desk.path("maildesk.key")).unwrap();
    // One that does not reach the socket finds the desk held.
    std::fs::rename(desk.path("maildesk.sock"), desk.path("hidden.sock")).unwrap();
    desk.run(&["poll"]).refused(69, &format!("pid {pid}"));
    std::fs::rename(desk.path("hidden.sock"), desk.path("maildesk.sock")).unwrap();
    assert_eq!(daemon.stop(), 0);
    assert!(!desk.path("maildesk.sock").exists());
    assert_eq!(desk.run(&["mailbox", "list", "--json"]).json()[0]["name"], "support");
    assert_eq!(desk.daemon().stop(), 0);
}

#[test]
fn a_killed_daemon_leaves_nothing_in_the_way_of_the_next() {
    let desk = Desk::new(STORE);
    desk.run(&["migrate"]).ok();
    let mut daemon = desk.daemon();
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    assert!(desk.path("maildesk.sock").exists());
    desk.run(&["ticket", "list"]).ok();
    std::fs::remove_file(desk.path("maildesk.sock")).unwrap();
    assert_eq!(desk.daemon().stop(), 0);
}

#[test]
fn listings_of_an_empty_desk_are_empty_lists() {
    let desk = Desk::new(STORE);
    for words in [
        &["ticket", "list"][..],
        &["invalid", "list"],
        &["error", "list"],
        &["bounce", "list", "--all"],
        &["queue", "list"],
        &["journal", "list"],
        &["alert", "list"],
        &["contact", "list"],
        &["account", "list"],
        &["mailbox", "list"],
        &["mailbox", "balance"],
        &["relay", "list"],
        &["type", "list"],
    ] {
        let json = [words, &["--json"]].concat();
        assert_eq!(desk.run(&json).json(), serde_json::json!([]), "{words:?}");
        assert!(desk.run(words).ok().out.starts_with("no "), "{words:?}");
    }
    desk.run(&["ticket", "show", "7"]).refused(65, "there is no ticket #7");
}

#[test]
fn a_server_that_does_not_answer_is_unavailable() {
    let desk = Desk::new("[store]\nurl = \"postgres://u:hunter2@127.0.0.1:1/d\"\n");
    let said = desk.run(&["ticket", "list"]).refused(69, "PostgreSQL at 127.0.0.1:1 refuses");
    assert!(!said.err.contains("hunter2"));
}

#[test]
fn a_desk_on_postgres_is_held_by_one_where_it_has_to_be_alone() {
    let Some(url) = crate::support::postgres::database() else { return };
    let desk = Desk::new(&format!("[store]\nurl = \"{url}\"\n"));
    desk.add_mailbox().ok();
    let daemon = desk.daemon();
    let pid = daemon.0.id();
    desk.run(&["run"]).refused(69, "a daemon answers there");
    let backup = desk.folder.path().join("desk.backup").display().to_string();
    desk.run(&["backup", "--without-key", &backup]).ok();
    desk.run(&["restore", &backup])
        .refused(69, &format!("this desk is held by `maildesk run`, pid {pid} on "));
    assert_eq!(desk.run(&["mailbox", "list", "--json"]).json()[0]["name"], "support");
    assert_eq!(daemon.stop(), 0);
    // The server notices the end of a connection a moment later.
    let is_free = || (desk.run(&["poll"]).code == 0).then_some(());
    crate::support::wait_until("the desk to be free", Duration::from_secs(30), is_free);
    assert_eq!(desk.daemon().stop(), 0);
}
