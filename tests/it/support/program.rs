//! The real program on a desk of its own: a temporary folder with a config.toml, and a store of either kind.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::dovecot::PASSWORD;
use super::inbox::Inbox;
use super::trial::{make_maildir, support_type};
use super::{find_program, postgres, setting, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_maildesk");

/// What a desk keeps its rows in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    /// Of a test to which it does not matter: as `MAILDESK_TEST_STORE` says, else SQLite.
    pub fn usual() -> Store {
        match setting("MAILDESK_TEST_STORE").as_deref() {
            None | Some("sqlite") => Store::Sqlite,
            Some("postgres") => Store::Postgres,
            Some(other) => panic!("MAILDESK_TEST_STORE={other}: it is sqlite or postgres"),
        }
    }
}

/// A mailbox account for the desk to read, in the clear on the loopback.
#[derive(Clone, Debug)]
pub struct Imap {
    pub port: u16,
    pub username: String,
    pub password: String,
}

/// A desk: its folder goes when it is dropped.
pub struct Desk {
    pub folder: tempfile::TempDir,
    pub store_url: String,
}

impl Desk {
    /// A folder, and an empty store. `None` where the store cannot be had here: the reason has been printed.
    pub fn new(store: Store) -> Option<Desk> {
        let store_url = match store {
            Store::Sqlite => "sqlite:desk.db".to_owned(),
            Store::Postgres => postgres::database()?,
        };
        let folder =
            tempfile::Builder::new().prefix("maildesk-desk-").tempdir().expect("a folder for the desk");
        let desk = Desk { folder, store_url };
        desk.configure("");
        Some(desk)
    }

    /// With these sections, and a Maildir in its folder `Maildir`.
    pub fn on_maildir(store: Store, sections: &str) -> Option<Desk> {
        let desk = Desk::new(store)?;
        make_maildir(&desk.folder.path().join("Maildir"));
        desk.configure(sections);
        Some(desk)
    }

    /// Lays a message into that Maildir.
    pub fn lay(&self, name: &str, message: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join("Maildir/new").join(name), message).expect("delivered");
    }

    /// The desk of most tests: type Support on one IMAP mailbox, its mail sent to `smtp_port`.
    pub fn with_support(store: Store, imap: &Imap, smtp_port: u16) -> Option<Desk> {
        let desk = Desk::new(store)?;
        fs::write(desk.folder.path().join("password"), &imap.password).expect("the password file is written");
        desk.configure(&support_sections(imap, smtp_port));
        Some(desk)
    }

    /// The same on a mailbox that is read in another way.
    pub fn with_mailbox(store: Store, inbox: &Inbox, smtp_port: u16) -> Option<Desk> {
        let desk = Desk::new(store)?;
        fs::write(desk.folder.path().join("password"), PASSWORD).expect("the password file is written");
        desk.configure(&sections_around(&inbox.section(), smtp_port));
        Some(desk)
    }

    /// The same type on a mailbox that an MTA fills.
    pub fn with_pipe(store: Store, smtp_port: u16) -> Option<Desk> {
        let desk = Desk::new(store)?;
        desk.configure(&pipe_sections(smtp_port));
        desk.run(&["migrate"]).ok();
        Some(desk)
    }

    /// Another machine's folder for the same desk: the same store, key and settings; a socket and a spool of its own.
    pub fn beside(&self) -> Desk {
        let folder =
            tempfile::Builder::new().prefix("maildesk-desk-").tempdir().expect("a folder for the desk");
        for name in ["config.toml", "maildesk.key", "password"] {
            let from = self.folder.path().join(name);
            fs::copy(&from, folder.path().join(name)).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        }
        Desk { folder, store_url: self.store_url.clone() }
    }

    /// Writes config.toml: the store and the key, then `sections`. Without a `[web]` there the daemon takes no port.
    /// They may begin with more keys of `[run]`.
    pub fn configure(&self, sections: &str) {
        let web = if sections.contains("[web]") { "" } else { "[web]\nlisten = \"\"\n\n" };
        let head = format!(
            "[store]\nurl = \"{}\"\n\n[keys]\nfile = \"maildesk.key\"\n\n{web}[run]\nsocket = \"maildesk.sock\"\n\n",
            self.store_url
        );
        fs::write(self.config(), head + sections).expect("config.toml is written");
    }

    /// One more key of `[run]`.
    pub fn set_run(&self, key: &str) {
        let text = fs::read_to_string(self.config()).expect("config.toml is there");
        fs::write(self.config(), text.replacen("[run]\n", &format!("[run]\n{key}\n"), 1))
            .expect("it is written");
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Meddles with the tables of a desk on PostgreSQL.
    pub fn psql(&self, sql: &str) {
        let psql =
            Command::new("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.store_url]).output();
        let output = psql.expect("psql comes with PostgreSQL");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a query on a desk on PostgreSQL gives: a line a row, columns with `|` between.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<String> {
        let psql = Command::new("psql")
            .args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.store_url])
            .output();
        let output = psql.expect("psql comes with PostgreSQL");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// The program with this desk's config and these arguments, to be added to.
    pub fn command(&self, arguments: &[&str]) -> Command {
        // Linux ends the program with the thread that started it, so no killed test leaves a daemon behind.
        let mut command = match find_program("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", PROGRAM]);
                command
            }
            None => Command::new(PROGRAM),
        };
        command.arg("--config").arg(self.config()).args(arguments);
        command.env_remove("MAILDESK_CRASH_AT").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("maildesk starts");
        Output::of(arguments, output)
    }

    /// The same with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        give(self.command(arguments), arguments, input)
    }

    /// Runs a command that must end well, and reads the JSON it prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).ok().json()
    }

    /// The rows that a listing prints.
    #[track_caller]
    pub fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        match self.json(arguments) {
            Value::Array(rows) => rows,
            other => panic!("maildesk {}: not a list: {other}", arguments.join(" ")),
        }
    }

    /// Starts a command that goes on. Its output goes to `spawned.log` in the folder.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_with(arguments, &[])
    }

    /// The same with more in its environment.
    pub fn spawn_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let log = self.folder.path().join("spawned.log");
        let out = fs::OpenOptions::new().create(true).append(true).open(&log).expect("the log opens");
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        command.stdout(out.try_clone().expect("a file can be cloned")).stderr(out);
        Running { child: command.spawn().expect("maildesk starts"), log }
    }
}

/// The sections of [`Desk::with_support`], for a test that adds its own.
pub fn support_sections(imap: &Imap, smtp_port: u16) -> String {
    sections_around(&imap_section(imap), smtp_port)
}

/// A mailbox named `support`.
pub fn imap_section(imap: &Imap) -> String {
    format!(
        r#"[[mailbox]]
name = "support"
protocol = "imap"
host = "127.0.0.1"
port = {port}
tls = "plain"
username = "{username}"
password_file = "password"
folders = ["INBOX"]
handled = "delete"
size_limit_mb = 50
"#,
        port = imap.port,
        username = imap.username,
    )
}

/// A mailbox named `support` with all that it takes to answer its mail.
pub fn sections_around(mailbox: &str, smtp_port: u16) -> String {
    format!(
        r#"[[relay]]
name = "out"
host = "127.0.0.1"
port = {smtp_port}
tls = "plain"
sender = "support@example.com"
verp = true

{mailbox}
{support}
[[account]]
login = "agent"
name = "Agent"
role = "agent"
addresses = ["agent@example.com"]
"#,
        support = support_type(),
    )
}

/// The sections of [`Desk::with_pipe`], for a test that adds its own.
pub fn pipe_sections(smtp_port: u16) -> String {
    let imap = Imap { port: 1, username: "u".to_owned(), password: String::new() };
    let sections = support_sections(&imap, smtp_port);
    let (before, rest) = sections.split_once("[[mailbox]]").expect("a mailbox");
    let (_, behind) = rest.split_once("[[type]]").expect("a type");
    format!("{before}[[mailbox]]\nname = \"support\"\nprotocol = \"pipe\"\n\n[[type]]{behind}")
}

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    pub command: String,
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command with something on its standard input.
pub fn give(mut command: Command, arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("maildesk starts");
    // One that refuses what it is given ends before it has read all of it.
    drop(child.stdin.take().expect("a pipe").write_all(input));
    Output::of(arguments, child.wait_with_output().expect("maildesk ends"))
}

impl Output {
    fn of(arguments: &[&str], output: std::process::Output) -> Output {
        Output {
            command: arguments.join(" "),
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Insists on exit code 0.
    #[track_caller]
    pub fn ok(self) -> Output {
        assert!(
            self.code == Some(0),
            "maildesk {} ended with {:?} (signal {:?})\n{}{}",
            self.command,
            self.code,
            self.signal,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one JSON value on its standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| {
            panic!("maildesk {}: no JSON ({e})\n{}{}", self.command, self.stdout, self.stderr)
        })
    }
}

/// A command that goes on. It is killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for")
    }

    /// As the system knows it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: TERM, STOP, CONT.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let command = format!("kill -{signal} \"$0\"");
        let sent = Command::new("sh").args(["-c", &command]).arg(self.pid().to_string()).status();
        assert!(sent.expect("sh starts").success(), "the program is gone before SIG{signal}: {}", self.log());
    }

    /// A daemon that has said that it is starting: from there on SIGTERM stops it in good order.
    pub fn is_catching_signals(&self) -> bool {
        self.log().contains(&format!("daemon.starting pid={} ", self.pid()))
    }

    /// Asks it to stop (SIGTERM), and waits.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(Duration::from_secs(30))
    }

    /// Waits until all of it stands still, as SIGSTOP has it.
    #[track_caller]
    pub fn wait_until_stopped(&self, deadline: Duration) {
        wait_until("the program to stand still", deadline, || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')).then_some(())
        });
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end, if it has come.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// The most memory that it has had resident; `None` once it has ended.
    pub fn peak_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let log = self.log.clone();
        wait_until(&format!("the end of maildesk (see {})", log.display()), deadline, || self.ended())
    }

    /// What it and those before it on this desk have printed.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
