//! A real Postfix with the transport of docs/operations.md: it hands mail over, keeps what is not taken, and brings it again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::DEADLINE;
use crate::support::program::{Desk, Store};
use crate::support::server::free_port;
use crate::support::{find_program, skipped, wait_until};

struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
}

impl Postfix {
    /// `None` where it cannot be had: the reason has been printed.
    fn start(desk: &Desk, program: &Path) -> Option<Postfix> {
        let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata(desk.folder.path()).ok()?) == 0;
        if find_program("postfix").filter(|_| is_root).is_none() || find_program("smtp-source").is_none() {
            skipped("needs root and Postfix (Debian package postfix; scripts/test installs it)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("maildesk-postfix-").tempdir().expect("a folder");
        let postfix = Postfix { folder, port: free_port() };
        fs::set_permissions(postfix.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        for name in ["etc", "queue", "data"] {
            fs::create_dir(postfix.path(name)).expect("our own folder");
        }
        assert!(Command::new("chown").arg("postfix").arg(postfix.path("data")).status().unwrap().success());
        fs::write(postfix.path("etc/main.cf"), postfix.main()).expect("our own folder");
        fs::write(postfix.path("etc/master.cf"), postfix.master(desk, program)).expect("our own folder");
        assert!(postfix.run("postfix", &["start"]), "{}", postfix.log());
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", postfix.port)).ok();
        wait_until("Postfix to listen", DEADLINE, is_up);
        Some(postfix)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn main(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
             mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.example.com\nmydestination =\nalias_maps =\n\
             local_recipient_maps =\n\
             inet_interfaces = loopback-only\nmaillog_file = {folder}/log\nmaillog_file_prefixes = {folder}\n\
             virtual_mailbox_domains = example.com\nvirtual_mailbox_maps = inline:{{ support@example.com=x }}\n\
             virtual_transport = desk\ndesk_destination_recipient_limit = 1\n\
             desk_destination_concurrency_limit = 8\nrecipient_delimiter = +\n"
        )
    }

    fn master(&self, desk: &Desk, program: &Path) -> String {
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
                        rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
                        trace unix - - n - 0 bounce\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
                        retry unix - - n - - error\nanvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n";
        format!(
            "127.0.0.1:{} inet n - n - - smtpd\n{services}desk unix - n n - 8 pipe\n  flags=R user=nobody:nogroup\n  \
             argv={} --config {} deliver --to=${{recipient}}\n",
            self.port,
            program.display(),
            desk.config().display()
        )
    }

    /// Without pipes: the daemons that it starts would keep them open.
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(find_program(program).expect("Postfix is whole"));
        command.arg("-c").arg(self.path("etc")).args(arguments);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    /// Has so many messages sent to an address, by SMTP.
    fn send(&self, messages: u32, to: &str) {
        let source = find_program("smtp-source").expect("looked for before");
        let sent = Command::new("timeout")
            .arg("30")
            .arg(source)
            .args(["-m", &messages.to_string(), "-s", "4", "-f", "jo@x.test", "-t", to])
            .arg(format!("127.0.0.1:{}", self.port))
            .output()
            .expect("it starts");
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, status: &str, times: usize) {
        let has = || (self.log().matches(status).count() >= times).then_some(());
        wait_until(&format!("{times} times {status}"), Duration::from_secs(30), has);
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // It may never have come up.
        self.run("postfix", &["stop"]);
    }
}

#[test]
fn a_real_postfix_keeps_what_is_not_taken_and_brings_it_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::with_pipe(Store::Sqlite, 1).expect("SQLite is always there");
    fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build folder may be nobody else's to look into.
    let program = desk.folder.path().join("maildesk");
    fs::copy(env!("CARGO_BIN_EXE_maildesk"), &program).unwrap();
    let Some(postfix) = Postfix::start(&desk, &program) else { return };
    let nogroup = fs::read_to_string("/etc/group").unwrap_or_default();
    let nogroup =
        nogroup.lines().find_map(|line| line.strip_prefix("nogroup:x:")?.split(':').next()?.parse().ok());
    let of_group = || {
        let socket = desk.folder.path().join("maildesk.sock");
        std::os::unix::fs::chown(socket, None, nogroup).expect("we are root");
    };

    let mut daemon = desk.daemon();
    of_group();
    postfix.send(5, "support@example.com");
    postfix.wait_for("status=sent (delivered via desk service)", 5);
    assert_eq!(desk.fates(5), ["open new_ticket"; 5]);

    assert!(daemon.stop().success());
    postfix.send(3, "support+x@example.com");
    postfix.wait_for("status=deferred (temporary failure. Command output: maildesk: no daemon answers at", 3);
    daemon = desk.daemon();
    of_group();
    assert!(postfix.run("postqueue", &["-f"]));
    postfix.wait_for("status=sent", 8);
    assert_eq!(desk.fates(8), ["open new_ticket"; 8]);
    let log = postfix.log();
    assert!(!log.contains("status=bounced"), "{log}");
    drop(daemon);
}
