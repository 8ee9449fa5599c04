//! The service under systemd, as far as that shows without systemd as process 1: the unit's text, the command that it
//! starts, and the words between daemon and service manager.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::{Desk, Running, Store};
use crate::support::web::{self, WEB};
use crate::support::{find_program, skipped, wait_until};

const UNIT: &str = include_str!("../../systemd/maildesk.service");
const PROGRAM: &str = env!("CARGO_BIN_EXE_maildesk");

/// The worst exposure that the unit may have, in tenths: `systemd-analyze security` calls 2.0 and less "OK".
const EXPOSURE: &str = "20";

#[test]
fn the_unit_has_nothing_wrong_and_little_exposure() {
    let Some(analyze) = find_program("systemd-analyze") else {
        return skipped("there is no systemd-analyze (the Debian package systemd has it)");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("maildesk.service");
    fs::write(&unit, UNIT.replace("/usr/bin/maildesk", PROGRAM)).expect("the unit is written");
    let pages = folder.path().join("man");
    let made = Command::new(PROGRAM).args(["man", "--dir"]).arg(&pages).output().expect("maildesk starts");
    assert!(made.status.success(), "{made:?}");
    let verify = |words: &[&str]| {
        let mut command = Command::new(&analyze);
        command.args(words).arg(&unit).env("MANPATH", &pages).env("SYSTEMD_COLORS", "0");
        let said = command.output().expect("systemd-analyze starts");
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    // The pages that the unit names are looked for with man(1).
    let man = if find_program("man").is_some() { "--man=yes" } else { "--man=no" };
    assert_eq!(verify(&["verify", man]), (true, String::new()));
    let (is_ok, said) = verify(&["security", "--offline=true", "--threshold", EXPOSURE]);
    assert!(is_ok && said.contains("Overall exposure level for maildesk.service"), "{said}");
}

#[test]
fn every_directive_of_the_unit_has_its_reason() {
    let mut is_told = false;
    for line in UNIT.lines() {
        match line {
            "" => is_told = false,
            _ if line.starts_with('#') => is_told = true,
            _ if line.starts_with('[') || line.starts_with("Description=") => is_told = true,
            _ => assert!(is_told, "no comment above {line}"),
        }
    }
    assert!(UNIT.contains("RestartPreventExitStatus=64 78"));
}

/// A desk whose daemon is started as the unit says: the same arguments, the key as a credential, a notify socket.
struct Service {
    desk: Desk,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Service {
    fn new(sections: &str) -> Service {
        let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
        let text =
            format!("[store]\nurl = \"sqlite:desk.db\"\n[run]\nsocket = \"maildesk.sock\"\n{sections}");
        fs::write(desk.config(), text).expect("the configuration is written");
        let credentials = desk.folder.path().join("credentials");
        fs::create_dir(&credentials).expect("a folder");
        fs::write(credentials.join("maildesk.key"), "ab".repeat(32)).expect("the key is written");
        let socket = UnixDatagram::bind(desk.folder.path().join("notify")).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        Service { desk, socket, heard: vec![] }
    }

    /// Starts what `ExecStart=` says, with this desk's configuration for the system's. Standard error passes for the
    /// journal's stream. `watchdog_us` as systemd hands it over.
    fn start(&self, watchdog_us: &str) -> Running {
        let folder = self.desk.folder.path();
        let journal = fs::File::create(folder.join("spawned.log")).expect("the journal");
        let stat = journal.metadata().expect("its inode");
        let stream = format!("{}:{}", stat.dev(), stat.ino());
        let in_folder = |name: &str| folder.join(name).display().to_string();
        let environment = [
            ("NOTIFY_SOCKET", in_folder("notify")),
            ("WATCHDOG_USEC", watchdog_us.to_owned()),
            ("CREDENTIALS_DIRECTORY", in_folder("credentials")),
            ("JOURNAL_STREAM", stream),
        ];
        let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.desk.spawn_with(&arguments(), &environment)
    }

    /// Takes what has come by now.
    fn hear(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.extend(said.lines().map(str::to_owned));
        }
    }

    #[track_caller]
    fn wait_for(&mut self, what: &str) {
        wait_until(what, Duration::from_secs(20), || {
            self.hear();
            self.heard.iter().any(|line| line == what).then_some(())
        });
    }

    /// What is heard from now on, for so long.
    fn hear_for(&mut self, time: Duration) -> Vec<String> {
        self.hear();
        self.heard.clear();
        let begun = Instant::now();
        wait_until("the time to pass", time * 2, || (begun.elapsed() >= time).then_some(()));
        self.hear();
        self.heard.clone()
    }
}

/// The arguments of `ExecStart=` behind the configuration, which is this test's own.
fn arguments() -> Vec<&'static str> {
    let commands: Vec<&str> = UNIT.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
    let [command] = commands[..] else { panic!("not one command: {commands:?}") };
    let rest = command.strip_prefix("/usr/bin/maildesk --config /etc/maildesk/config.toml ");
    rest.unwrap_or_else(|| panic!("{command}")).split_whitespace().collect()
}

#[test]
fn the_service_says_that_it_is_ready_alive_and_stopping() {
    let mut service = Service::new(WEB);
    let mut daemon = service.start("600000");
    service.wait_for("READY=1");
    service.wait_for("WATCHDOG=1");
    service.wait_for("STATUS=0 mailbox(es) read, 0 failing; mail to 0 recipient(s) waits; 0 alert(s)");
    assert_eq!(service.heard[0], "READY=1", "{:?}", service.heard);
    assert!(!service.desk.folder.path().join("maildesk.key").exists(), "the key is the credential");
    // Fed thrice in its time, and no oftener.
    let fed = service.hear_for(Duration::from_secs(1)).iter().filter(|said| *said == "WATCHDOG=1").count();
    assert!(fed <= 8, "fed {fed} times in a second");
    service.heard.clear();
    service.wait_for("WATCHDOG=1");
    service.heard.clear();
    assert!(daemon.stop().success(), "{}", daemon.log());
    service.hear();
    assert!(service.heard.contains(&"STOPPING=1".to_owned()), "{:?}", service.heard);
    for line in daemon.log().lines() {
        assert!(line.starts_with("<6>daemon.") || line.starts_with("<6>web."), "{line}");
    }
}

/// In WAL mode a reader takes one of eight locks on the -shm file. Who has them all keeps readers and writers out.
const LOCK_OUT: &str = "import fcntl, sys\n\
    f = open(sys.argv[1], 'r+b')\n\
    fcntl.lockf(f, fcntl.LOCK_EX, 8, 120)\n\
    print('locked', flush=True)\n\
    sys.stdin.read()\n";

#[test]
fn the_watchdog_starves_while_the_store_does_not_answer() {
    if find_program("python3").is_none() {
        return skipped("there is no python3, which locks the store");
    }
    let mut service = Service::new(WEB);
    let mut daemon = service.start("300000");
    service.wait_for("WATCHDOG=1");
    let address = web::address(&daemon);
    assert_eq!(web::get(&address, "/healthz").status, 200);
    let mut locker = Command::new("python3")
        .args(["-c", LOCK_OUT])
        .arg(service.desk.folder.path().join("desk.db-shm"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut said = [0; 6];
    locker.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it says that it has the locks");
    // One that was under way may still be told.
    service.hear_for(Duration::from_millis(200));
    let heard = service.hear_for(Duration::from_secs(1));
    assert!(!heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
    let answer = web::get(&address, "/healthz");
    assert_eq!((answer.status, &answer.json()["store"]["state"]), (503, &"silent".into()));
    service.wait_for("STATUS=the store does not answer");
    service.heard.clear();
    drop(locker.stdin.take());
    locker.wait().expect("it ends");
    service.wait_for("WATCHDOG=1");
    assert_eq!(web::get(&address, "/healthz").status, 200);
    assert!(daemon.stop().success(), "{}", daemon.log());
}

#[test]
fn a_stream_that_is_not_the_journals_has_times_and_levels() {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
    let mut daemon = desk.spawn_with(&["run"], &[("JOURNAL_STREAM", "1:2")]);
    wait_until("the daemon", Duration::from_secs(20), || {
        daemon.log().contains("daemon.started").then_some(())
    });
    assert!(daemon.stop().success());
    for line in daemon.log().lines().filter(|line| line.contains("daemon.")) {
        assert!(line.contains("Z  INFO daemon."), "{line}");
    }
}
