//! A PostgreSQL of a test's own, to be stopped, frozen, killed and followed by a standby.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::postgres::{binaries, make_data, new_folder, run_as, server_user, start_server};
use super::server::{Peer, User, free_port};
use super::{skipped, wait_until};

/// A cluster: its data outlives its server. The desk's user is no superuser.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    pub port: u16,
    server: Option<Peer>,
}

/// The role and database of the desk.
pub const DESK: &str = "desk";

impl Cluster {
    /// A primary with an empty database for a desk. `None` where there is no PostgreSQL: the reason has been printed.
    pub fn primary() -> Option<Cluster> {
        let Some(bin) = binaries() else {
            skipped("no PostgreSQL here (Debian package postgresql; scripts/test installs it)");
            return None;
        };
        let user = server_user();
        let folder = new_folder(user);
        make_data(&bin, &folder.join("data"), user);
        let mut cluster = Cluster { bin, folder, user, port: 0, server: None };
        cluster.start();
        cluster.psql("postgres", &format!("CREATE ROLE {DESK} LOGIN"));
        cluster.psql("postgres", &format!("CREATE DATABASE {DESK} OWNER {DESK}"));
        Some(cluster)
    }

    /// A copy that follows this one under a name of its own; it is running.
    pub fn standby(&self, name: &str) -> Cluster {
        let folder = new_folder(self.user);
        let data = folder.join("data");
        let mut copy = Command::new(self.bin.join("pg_basebackup"));
        copy.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        run_as(
            self.user,
            {
                copy.args(["-X", "stream", "--checkpoint=fast", "--no-sync"]);
                copy
            },
            "pg_basebackup",
        );
        let follow = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres application_name={name}'\n",
            self.port
        );
        let conf = data.join("postgresql.auto.conf");
        let text = fs::read_to_string(&conf).expect("the standby's settings") + &follow;
        fs::write(&conf, text).expect("the standby's settings");
        self.own(&data.join("standby.signal"), "");
        let mut standby = Cluster { bin: self.bin.clone(), folder, user: self.user, port: 0, server: None };
        standby.start();
        standby
    }

    fn own(&self, path: &Path, text: &str) {
        fs::write(path, text).expect("a file of the server");
        if let Some(user) = self.user {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).expect("root may do that");
        }
    }

    /// Starts the server; on the port that it had, if it had one.
    pub fn start(&mut self) {
        let data = self.folder.join("data");
        let more = ["max_connections=40", "wal_level=replica", "hot_standby=on", "max_wal_senders=4"];
        let port = self.port;
        self.server = (0..5).find_map(|_| {
            self.port = if port == 0 { free_port() } else { port };
            let folder = new_folder(self.user);
            start_server((&self.bin, &folder), &data, (self.port, self.user), &more)
        });
        assert!(self.server.is_some(), "PostgreSQL did not start on any of five ports");
    }

    /// Ends it by a signal: INT is a fast shutdown, QUIT an immediate one, KILL the power.
    pub fn end(&mut self, signal: &str) {
        let server = self.server.take().expect("it is running");
        let processes = self.processes(&server);
        match signal {
            "KILL" => send(signal, &processes),
            _ => send(signal, &processes[..1]),
        }
        wait_until("PostgreSQL to end", Duration::from_secs(30), || server.has_ended().then_some(()));
    }

    /// All of it stands still, or goes on.
    pub fn freeze(&self, is_frozen: bool) {
        let server = self.server.as_ref().expect("it is running");
        send(if is_frozen { "STOP" } else { "CONT" }, &self.processes(server));
    }

    /// The server and its children.
    fn processes(&self, server: &Peer) -> Vec<u32> {
        let parent = server.pid().expect("it has started");
        let parent_of = |pid: u32| -> Option<u32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let all = fs::read_dir("/proc").expect("Linux").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        std::iter::once(parent).chain(pids.filter(|pid| parent_of(*pid) == Some(parent))).collect()
    }

    /// The standby takes writes from now on.
    pub fn promote(&self) {
        self.psql("postgres", "SELECT pg_promote(true, 30)");
        wait_until("the promotion", Duration::from_secs(30), || {
            (self.psql("postgres", "SELECT pg_is_in_recovery()") == "f").then_some(())
        });
    }

    /// As a superuser. Gives what it prints, unaligned.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", self.port);
        let psql = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &url])
            .output()
            .expect("psql starts");
        assert!(psql.status.success(), "{sql}: {}", String::from_utf8_lossy(&psql.stderr));
        String::from_utf8_lossy(&psql.stdout).trim().to_owned()
    }

    /// Where its tables and its WAL lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the running server has logged.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Peer::log).unwrap_or_default()
    }

    pub fn url(&self) -> String {
        format!("postgres://{DESK}@127.0.0.1:{}/{DESK}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            send("CONT", &self.processes(server));
        }
        self.server = None;
        // It lies in a temporary folder.
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn send(signal: &str, processes: &[u32]) {
    let pids = processes.iter().map(u32::to_string);
    // One that has ended meanwhile is none to send to.
    drop(Command::new("kill").arg(format!("-{signal}")).args(pids).output());
}
