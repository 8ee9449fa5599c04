//! A private PostgreSQL for the test run, and in it an empty database for whoever asks.
//!
//! `MAILDESK_TEST_POSTGRES=postgres://postgres@host:port` uses a server that is there already; it may create databases.
//! Else one cluster is made for each test process, which is why plain `cargo test` (one process) is preferred.

use std::path::PathBuf;
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
fn binaries() -> Option<PathBuf> {
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
fn start_cluster(bin: &std::path::Path, port: u16) -> Option<(String, Peer)> {
    // PostgreSQL refuses to run as root.
    let user = User::to_become("postgres");
    let folder = server::new_folder("postgres", user).expect("a folder for PostgreSQL");
    let data = folder.join("data").display().to_string();
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    // A language's rules, as servers have them: whoever leans on the order of bytes, or on what lower() knows, is found
    // out. PostgreSQL 15 is the first that takes them for a whole cluster.
    if version_of(bin).is_some_and(|version| version >= 15) {
        initdb.args(["--locale-provider=icu", "--icu-locale=en-US"]);
    }
    initdb.stdin(Stdio::null()).current_dir(&folder);
    if let Some(user) = user {
        std::os::unix::process::CommandExt::gid(&mut initdb, user.gid);
        std::os::unix::process::CommandExt::uid(&mut initdb, user.uid);
    }
    let made = initdb.output().expect("initdb starts");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

    let program = bin.join("postgres").display().to_string();
    let port_setting = format!("port={port}");
    let mut command = vec![
        program.as_str(),
        "-D",
        &data,
        "-c",
        &port_setting,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "max_connections=400",
        "-c",
        "shared_buffers=64MB",
        "-c",
        "autovacuum_naptime=10min",
        "-c",
        "log_min_messages=warning",
    ];
    // The cluster dies with the run, so nothing in it need survive the power; a measurement wants it as it ships.
    if setting("MAILDESK_TEST_FSYNC").is_none() {
        command.extend(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    // QUIT ends it at once: there is nothing to save.
    let cluster = Peer::start(&folder, user, "QUIT", &command).expect("a shell for PostgreSQL");
    let ready = wait_until("PostgreSQL to be ready", Duration::from_secs(60), || {
        let state = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        // The eighth line is the state, kept for pg_ctl.
        match state.lines().nth(7).map(str::trim) {
            Some("ready") => Some(true),
            _ => cluster.has_ended().then_some(false),
        }
    });
    if ready {
        return Some((format!("postgres://postgres@127.0.0.1:{port}"), cluster));
    }
    let log = cluster.log();
    assert!(log.contains("could not bind") || log.contains("in use"), "PostgreSQL ended at once: {log}");
    None
}
