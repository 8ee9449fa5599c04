//! A private Dovecot (2.3), one for each test process, with a user of its own for every test.
//!
//! It ends with the process, however that ends: a shell holds the read end of a pipe whose other end is ours.
//! Mail is delivered by writing files into the user's Maildir, as an MTA would.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use maildesk::net::{Deadlines, Login};
use maildesk::sources::{ServerSettings, Tls};

use super::certs::certs;

pub const PASSWORD: &str = "pa\"ss\\word für alle";

/// Debian's "nobody" and "nogroup": no user need be made for the mail.
const MAIL_UID: u32 = 65534;

/// More than a test process uses.
const USERS: u32 = 500;

pub struct Dovecot {
    pub imap: u16,
    pub imaps: u16,
    pub pop3: u16,
    pub pop3s: u16,
    pub ca_file: PathBuf,
    dir: PathBuf,
    /// Its standard input is the pipe; it lives as long as this process.
    _shell: Child,
}

/// On this address a POP3 session keeps others out.
pub const WITH_POP3_LOCK: &str = "127.0.0.2";
/// On these addresses the same server claims to know less.
pub const WITHOUT_MOVE: &str = "127.0.0.2";
pub const WITHOUT_MOVE_AND_UIDPLUS: &str = "127.0.0.3";

/// The running server; None, with the reason printed, where there can be none.
pub fn dovecot() -> Option<&'static Dovecot> {
    static DOVECOT: OnceLock<Option<Dovecot>> = OnceLock::new();
    DOVECOT.get_or_init(start).as_ref()
}

impl Dovecot {
    /// A new user with an empty mailbox.
    pub fn account(&self) -> Account {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        assert!(number < USERS, "raise USERS");
        let user = format!("user{number}");
        let maildir = self.dir.join("mail").join(&user).join("Maildir");
        make_maildir(&maildir);
        Account { user, maildir }
    }

    /// How an account is reached on one of the ports, in the clear.
    pub fn settings(&self, account: &Account, port: u16) -> ServerSettings {
        ServerSettings {
            host: "localhost".to_owned(),
            port,
            tls: Tls::Plain,
            login: Login::password(&account.user, PASSWORD),
            folders: vec!["INBOX".to_owned()],
            extra_roots: Some(self.ca_file.clone()),
            spool_dir: std::env::temp_dir(),
            deadlines: Deadlines { dial: Duration::from_secs(5), ..Deadlines::USUAL },
        }
    }

    /// What the server has written so far of a user, by the words.
    pub fn said(&self, account: &Account, words: &str) -> usize {
        let names = [format!("<{}>", account.user), format!("({})", account.user)];
        let is_of_user = |line: &str| names.iter().any(|name| line.contains(name));
        self.log().lines().filter(|line| is_of_user(line) && line.contains(words)).count()
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// Ends the sessions of a user, as an administrator would, if there are any.
    pub fn kick(&self, account: &Account) {
        let conf = self.dir.join("dovecot.conf");
        let kicked = Command::new("doveadm").arg("-c").arg(conf).args(["kick", &account.user]).output();
        kicked.expect("doveadm comes with Dovecot");
    }
}

pub struct Account {
    pub user: String,
    pub maildir: PathBuf,
}

impl Account {
    /// Delivers a message and returns its file name.
    pub fn deliver(&self, message: &[u8]) -> String {
        self.deliver_into("", message)
    }

    /// The same into a folder; "" is the inbox.
    pub fn deliver_into(&self, folder: &str, message: &[u8]) -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("1700000000.M{:06}P1.test", LAST.fetch_add(1, Ordering::Relaxed));
        let dir = self.folder(folder);
        let tmp = dir.join("tmp").join(&name);
        fs::write(&tmp, message).expect("the Maildir is writable");
        chown(&tmp, Some(MAIL_UID), Some(MAIL_UID)).expect("the tests run as root");
        fs::rename(&tmp, dir.join("new").join(&name)).expect("the same file system");
        name
    }

    fn folder(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.maildir.clone() } else { self.maildir.join(format!(".{name}")) }
    }

    /// The file names in a folder, flags and all; "" is the inbox. Sorted, so in order of delivery.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let dir = self.folder(folder);
        let mut files: Vec<String> = ["new", "cur"]
            .iter()
            .filter_map(|sub| fs::read_dir(dir.join(sub)).ok())
            .flatten()
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        files.sort();
        files
    }

    /// Makes a folder; its name is as on the disk, in modified UTF-7.
    pub fn make_folder(&self, name: &str) {
        make_maildir(&self.folder(name));
    }
}

fn make_maildir(root: &Path) {
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).expect("the test's directory is writable");
    }
    for dir in [root.parent().expect("below a home"), root] {
        chown(dir, Some(MAIL_UID), Some(MAIL_UID)).expect("the tests run as root");
    }
    for sub in ["cur", "new", "tmp"] {
        chown(root.join(sub), Some(MAIL_UID), Some(MAIL_UID)).expect("the tests run as root");
    }
}

fn start() -> Option<Dovecot> {
    start_with(&|dir| {
        let dir = dir.display();
        format!(
            "auth_mechanisms = plain login\npassdb {{\n  driver = passwd-file\n  args = {dir}/passwd\n}}\n"
        )
    })
}

/// One more server, which takes access tokens alone, by this mechanism, and asks about each at an introspection endpoint
/// (RFC 7662). It ends when it is dropped.
pub fn dovecot_with_tokens(mechanism: &str, introspection: &str) -> Option<Dovecot> {
    start_with(&|dir| {
        let file = dir.join("oauth2.conf");
        let asked = format!(
            "introspection_url = {introspection}\nintrospection_mode = auth\nusername_attribute = username\n\
             active_attribute = active\nactive_value = true\n"
        );
        fs::write(&file, asked).expect("our own directory");
        let file = file.display();
        format!(
            "auth_mechanisms = {mechanism}\npassdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  \
             args = {file}\n}}\n"
        )
    })
}

/// `sign_in`: how users do.
type SignIn<'a> = &'a dyn Fn(&Path) -> String;

fn start_with(sign_in: SignIn<'_>) -> Option<Dovecot> {
    if !Path::new("/usr/sbin/dovecot").exists() {
        println!("skipped: install dovecot-imapd and dovecot-pop3d");
        return None;
    }
    if !is_root() {
        println!("skipped: a private Dovecot needs root");
        return None;
    }
    for _ in 0..3 {
        match start_once(sign_in) {
            Ok(dovecot) => return Some(dovecot),
            Err(log) => println!("dovecot did not start, perhaps for a clash of ports: {log}"),
        }
    }
    panic!("dovecot is there and does not start");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn start_once(sign_in: SignIn<'_>) -> Result<Dovecot, String> {
    let dir = tempfile::Builder::new().prefix("mddc").tempdir().expect("a temporary directory").keep();
    // The login processes and the mail's user pass through.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("our own directory");
    fs::create_dir(dir.join("mail")).expect("our own directory");
    let [imap, imaps, pop3, pop3s] = free_ports();
    let ca_file = certs().write_ca(&dir);
    fs::write(dir.join("cert.pem"), &certs().cert_pem).expect("our own directory");
    fs::write(dir.join("key.pem"), &certs().key_pem).expect("our own directory");
    let password = base64::engine::general_purpose::STANDARD.encode(PASSWORD);
    let users: String = (0..USERS).map(|n| format!("user{n}:{{PLAIN.b64}}{password}::::::\n")).collect();
    fs::write(dir.join("passwd"), users).expect("our own directory");
    let conf = dir.join("dovecot.conf");
    fs::write(&conf, configuration(&dir, &sign_in(&dir), [imap, imaps, pop3, pop3s]))
        .expect("our own directory");
    let mut shell = Command::new("sh")
        .args(["-c", r#"dovecot -F -c "$1" & pid=$!; cat >/dev/null; kill $pid; wait; rm -rf -- "$2""#, "sh"])
        .args([&conf, &dir])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::from(fs::File::create(dir.join("stderr")).expect("our own directory")))
        // Out of reach of the terminal's interrupt, so that the shell lives to tidy up.
        .process_group(0)
        .spawn()
        .expect("sh is everywhere");
    let up = Instant::now() + Duration::from_secs(20);
    while !(greets(imap) && greets(pop3)) {
        if Instant::now() > up {
            let log = ["stderr", "log"].map(|file| fs::read_to_string(dir.join(file)).unwrap_or_default());
            drop(shell.stdin.take());
            shell.wait().expect("our own child");
            return Err(log.concat());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Dovecot { imap, imaps, pop3, pop3s, ca_file, dir, _shell: shell })
}

fn free_ports() -> [u16; 4] {
    let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let is_patient = stream.set_read_timeout(Some(Duration::from_secs(20))).is_ok();
    let mut line = String::new();
    is_patient && BufReader::new(stream).read_line(&mut line).is_ok() && line.contains("OK")
}

fn configuration(dir: &Path, sign_in: &str, [imap, imaps, pop3, pop3s]: [u16; 4]) -> String {
    let dir = dir.display();
    format!(
        r#"
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
instance_name = maildesk-tests
protocols = imap pop3
listen = 127.0.0.1, {WITHOUT_MOVE}, {WITHOUT_MOVE_AND_UIDPLUS}
default_process_limit = 500
default_client_limit = 2000
default_vsz_limit = 0
mail_max_userip_connections = 100
mail_fsync = never
first_valid_uid = 0
mail_uid = nobody
mail_gid = nogroup
mail_location = maildir:~/Maildir
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
auth_verbose = yes
imap_idle_notify_interval = 2 s
{sign_in}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
# Wrong passwords from the one address of all tests would slow the others down.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
protocol pop3 {{
  pop3_uidl_format = %08Xu%08Xv
}}
{locals}"#,
        locals = [
            local(WITHOUT_MOVE, "imap", "imap_capability = IMAP4rev1 UIDPLUS IDLE"),
            local(WITH_POP3_LOCK, "pop3", "pop3_lock_session = yes"),
            local(WITHOUT_MOVE_AND_UIDPLUS, "imap", "imap_capability = IMAP4rev1 IDLE"),
        ]
        .concat()
    )
}

/// What holds for a protocol at one address of the server.
fn local(address: &str, protocol: &str, setting: &str) -> String {
    format!("local {address} {{\n  protocol {protocol} {{\n    {setting}\n  }}\n}}\n")
}
