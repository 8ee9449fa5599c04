//! A private PostgreSQL for the test run, and in it an empty database for whoever asks.
//!
//! `MAILDESK_TEST_POSTGRES=postgres://postgres@host:port` uses a server that is there already; it may create databases.
//! Else one cluster is made for each test process, which is why plain `cargo test` (one process) is preferred.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::server::{self, Peer, User};
use super::{find_program, setting, skipped, wait_until};

/// The address of a fresh, empty database. `None` where there is no PostgreSQL: the reason has been printed.
pub fn database() -> Option<String> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let Some(server) = server() else {
        skipped("no PostgreSQL here (Debian package postgresql; scripts/test installs it)");
        return None;
    };
    // The process is in the name, as a server given from outside is shared by several.
    let name = format!("test_{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    let done = Command::new(&server.psql)
        .args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        ])
        .arg(format!("{}/postgres", server.url))
        .stdin(Stdio::null())
        .output()
        .expect("psql starts");
    assert!(done.status.success(), "create database {name}: {}", String::from_utf8_lossy(&done.stderr));
    Some(format!("{}/{name}", server.url))
}

/// Whether the server lets anybody into this database; where not, all connections to it are ended, too.
pub fn let_in(url: &str, is_open: bool) {
    let server = server().expect("it made the database");
    let (_, name) = url.rsplit_once('/').expect("a database in the address");
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let mut statements = vec![format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_open}")];
    if !is_open {
        statements.push(end);
    }
    for statement in statements {
        let mut psql = Command::new(&server.psql);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &statement])
            .arg(format!("{}/postgres", server.url));
        let done = psql.stdin(Stdio::null()).output().expect("psql starts");
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

struct Server {
    url: String,
    psql: PathBuf,
    /// `None` where it was given from outside.
    _cluster: Option<Peer>,
}

/// The one server of this process.
fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(start).as_ref()
}

fn start() -> Option<Server> {
    let bin = binaries();
    let psql =
        bin.as_ref().map(|b| b.join("psql")).filter(|p| p.is_file()).or_else(|| find_program("psql"))?;
    if let Some(url) = setting("MAILDESK_TEST_POSTGRES") {
        return Some(Server { url: url.trim_end_matches('/').to_owned(), psql, _cluster: None });
    }
    let bin = bin?;
    // Somebody else may take the port between our look and PostgreSQL's bind.
    for _ in 0..5 {
        if let Some((url, cluster)) = start_cluster(&bin, server::free_port()) {
            return Some(Server { url, psql, _cluster: Some(cluster) });
        }
    }
    panic!("PostgreSQL did not start on any of five ports");
}

/// The folder with initdb and postgres: the newest of Debian's, else from PATH.
pub(super) fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin).or_else(|| find_program("initdb")?.parent().map(PathBuf::from))
}

/// Of `/usr/lib/postgresql/15/bin`: 15.
fn version_of(bin: &std::path::Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// One cluster on one port, or `None` if the port was lost to somebody else.
fn start_cluster(bin: &Path, port: u16) -> Option<(String, Peer)> {
    let user = server_user();
    let folder = new_folder(user);
    let data = folder.join("data");
    make_data(bin, &data, user);
    let more = ["max_connections=400"];
    // QUIT ends it at once: there is nothing to save.
    let cluster = start_server((bin, &folder), &data, (port, user), &more)?;
    Some((format!("postgres://postgres@127.0.0.1:{port}"), cluster))
}

/// PostgreSQL refuses to run as root.
pub(super) fn server_user() -> Option<User> {
    User::to_become("postgres")
}

/// For a server and its data: in memory where there is enough of it. The server syncs like any other, since maildesk
/// refuses one that does not, and no disk makes the tests wait.
pub(super) fn new_folder(user: Option<User>) -> PathBuf {
    const ENOUGH: u64 = 4 << 30;
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    match free >= ENOUGH {
        true => server::new_folder_in(memory, "postgres", user),
        false => server::new_folder("postgres", user),
    }
    .expect("a folder for PostgreSQL")
}

/// An empty cluster in a new folder.
pub(super) fn make_data(bin: &Path, data: &Path, user: Option<User>) {
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(data);
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    // A language's rules, as servers have them: whoever leans on the order of bytes, or on what lower() knows, is found
    // out. PostgreSQL 15 is the first that takes them for a whole cluster.
    if version_of(bin).is_some_and(|version| version >= 15) {
        initdb.args(["--locale-provider=icu", "--icu-locale=en-US"]);
    }
    run_as(user, initdb, "initdb");
}

/// Runs a program of the server to its end.
pub(super) fn run_as(user: Option<User>, mut command: Command, name: &str) {
    command.stdin(Stdio::null()).current_dir("/");
    if let Some(user) = user {
        std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        std::os::unix::process::CommandExt::uid(&mut command, user.uid);
    }
    let made = command.output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
}

/// A server over `data` that is ready; it ends with its peer. `None` where the port was lost to somebody else.
pub(super) fn start_server(
    (bin, folder): (&Path, &Path),
    data: &Path,
    (port, user): (u16, Option<User>),
    more: &[&str],
) -> Option<Peer> {
    let (program, folder_of_data) = (bin.join("postgres").display().to_string(), data.display().to_string());
    let port = format!("port={port}");
    let usual = [
        port.as_str(),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=64MB",
        "autovacuum_naptime=10min",
        "log_min_messages=warning",
    ];
    let mut command = vec![program.as_str(), "-D", &folder_of_data];
    command.extend(usual.iter().chain(more).flat_map(|setting| ["-c", *setting]));
    let server = Peer::start(folder, user, "QUIT", &command).expect("a shell for PostgreSQL");
    let ready = wait_until("PostgreSQL to be ready", Duration::from_secs(60), || {
        let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        // The eighth line is the state, kept for pg_ctl. The file may be that of a former life.
        let mut lines = state.lines();
        let is_its_own = lines.next().and_then(|pid| pid.parse().ok()) == server.pid();
        match lines.nth(6).map(str::trim) {
            Some("ready") if is_its_own => Some(true),
            _ => server.has_ended().then_some(false),
        }
    });
    if ready {
        return Some(server);
    }
    let log = server.log();
    assert!(log.contains("could not bind") || log.contains("in use"), "PostgreSQL ended at once: {log}");
    None
}
