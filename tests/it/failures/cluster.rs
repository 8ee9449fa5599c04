//! PostgreSQL in trouble while mail comes in: restarted, frozen, out of connections, failed over. The daemon waits, says so
//! once, and goes on; only where the database has lost what it had confirmed does it end, and removes nothing any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::cluster::{Cluster, DESK};
use crate::support::program::{Desk, Running};
use crate::support::trial::{Letter, make_maildir, support_with};
use crate::support::{wait_until, web};

const PATIENCE: Duration = Duration::from_secs(90);

fn desk(url: String) -> Desk {
    let folder = tempfile::Builder::new().prefix("maildesk-desk-").tempdir().expect("a folder");
    make_maildir(&folder.path().join("Maildir"));
    let desk = Desk { folder, store_url: url };
    desk.configure(&format!("{}{}", web::WEB, support_with("interval_s = 1")));
    desk
}

/// Of its log, what is no good news.
fn bad_news(daemon: &Running) -> String {
    let is_bad = |line: &&str| !line.contains(" INFO ");
    daemon.log().lines().filter(is_bad).fold(String::new(), |all, line| all + line + "\n")
}

fn logged(daemon: &mut Running, words: &str, times: usize) {
    wait_until(&format!("{words:?}, {times} times"), PATIENCE, || {
        assert!(daemon.ended().is_none(), "the daemon ended: {}", bad_news(daemon));
        (daemon.log().matches(words).count() >= times).then_some(())
    });
}

fn remaining(desk: &Desk) -> usize {
    std::fs::read_dir(desk.folder.path().join("Maildir/new")).expect("a Maildir").count()
}

fn deliver(desk: &Desk, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let name = format!("m{n}");
        let path = desk.folder.path().join("Maildir/new").join(&name);
        std::fs::write(path, Letter::new(&name).subject(&format!("printer {n}")).bytes()).expect("delivered");
    }
}

/// Mail that comes in all the while.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    feeder: Option<JoinHandle<()>>,
}

impl Load {
    fn on(desk: &Desk) -> Load {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_over, count) = (stop.clone(), sent.clone());
        let maildir = desk.folder.path().join("Maildir");
        let feeder = std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let name = format!("m{}", count.load(Ordering::SeqCst));
                let half = maildir.join("tmp").join(&name);
                std::fs::write(&half, Letter::new(&name).subject(&name).bytes()).expect("written");
                std::fs::rename(&half, maildir.join("new").join(&name)).expect("delivered");
                count.fetch_add(1, Ordering::SeqCst);
                // The pace of the load, no wait for anything.
                std::thread::park_timeout(Duration::from_millis(300));
            }
        });
        Load { stop, sent, feeder: Some(feeder) }
    }

    /// No more comes; gives how many came.
    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.feeder.take().expect("it runs").join().expect("it fed");
        self.sent.load(Ordering::SeqCst)
    }
}

/// Each message once, and nothing owed: neither to the mailbox nor to the world.
#[track_caller]
fn is_whole(desk: &Desk, count: usize) {
    wait_until("all of the mail", PATIENCE, || (remaining(desk) == 0).then_some(()));
    let journal = desk.rows(&["journal", "list", "--json"]);
    let ids: BTreeSet<&str> = journal.iter().filter_map(|row| row["message_id"].as_str()).collect();
    assert_eq!((journal.len(), ids.len()), (count, count), "each once");
    assert_eq!(desk.rows(&["ticket", "list", "--json"]).len(), count);
    wait_until("all mails sent", PATIENCE, || {
        desk.rows(&["queue", "list", "--json"]).iter().all(|mail| mail["state"] == "done").then_some(())
    });
    let sent = std::fs::read_dir(desk.folder.path().join("out")).expect("the relay's folder").count();
    assert_eq!(sent, count, "each notification once");
    assert_eq!(desk.rows(&["mailbox", "balance", "--json"])[0]["difference"], 0);
}

#[test]
fn the_daemon_outlives_restarts_a_frozen_server_and_a_lack_of_connections() {
    let Some(mut server) = Cluster::primary() else { return };
    let desk = desk(server.url());
    let mut daemon = desk.spawn(&["run"]);
    let address = web::address(&daemon);
    logged(&mut daemon, "daemon.started", 1);
    let load = Load::on(&desk);
    server.psql("postgres", &format!("ALTER ROLE {DESK} CONNECTION LIMIT 0"));
    server.psql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{DESK}'"),
    );
    logged(&mut daemon, "store.failing", 1);
    server.psql("postgres", &format!("ALTER ROLE {DESK} CONNECTION LIMIT -1"));
    logged(&mut daemon, "store.works_again", 1);

    server.freeze(true);
    logged(&mut daemon, "store.failing", 2);
    wait_until("health to say so", PATIENCE, || (web::get(&address, "/healthz").status == 503).then_some(()));
    server.freeze(false);
    logged(&mut daemon, "store.works_again", 2);

    for signal in ["INT", "QUIT"] {
        let before = desk.rows(&["journal", "list", "--json"]).len();
        server.end(signal);
        server.start();
        wait_until("mail after the restart", PATIENCE, || {
            let listed = desk.run(&["journal", "list", "--json"]);
            (listed.code == Some(0) && listed.json().as_array()?.len() > before + 2).then_some(())
        });
    }
    wait_until("the last trouble to be over", PATIENCE, || {
        let log = daemon.log();
        (log.matches("store.failing").count() == log.matches("store.works_again").count()).then_some(())
    });
    is_whole(&desk, load.end());
    let log = daemon.log();
    assert_eq!(
        log.matches("store.failing").count(),
        log.matches("store.works_again").count(),
        "once each: {}",
        bad_news(&daemon)
    );
    // The first word may be that of the connection that was ended.
    let is_told =
        ["has no connection left", "terminating connection"].iter().any(|words| log.contains(words));
    assert!(is_told, "{}", bad_news(&daemon));
    assert!(daemon.stop().success(), "{}", bad_news(&daemon));
}

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(mut one) = Cluster::primary() else { return };
    let two = one.standby("two");
    one.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'two'");
    one.psql("postgres", "SELECT pg_reload_conf()");
    wait_until("the standby to be synchronous", PATIENCE, || {
        (one.psql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1")
            .then_some(())
    });
    // The standby first: that it takes no writes is no reason to give up.
    let url = format!(
        "postgres://{DESK}@127.0.0.1:{},127.0.0.1:{}/{DESK}?target_session_attrs=read-write",
        two.port, one.port
    );
    let desk = desk(url);
    let mut daemon = desk.spawn(&["run"]);
    logged(&mut daemon, "daemon.started", 1);
    let load = Load::on(&desk);
    wait_until("some mail", PATIENCE, || (desk.rows(&["journal", "list", "--json"]).len() > 4).then_some(()));
    one.end("KILL");
    two.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    two.promote();
    logged(&mut daemon, &format!("store.server_changed PostgreSQL at 127.0.0.1:{}", two.port), 1);
    let before = desk.rows(&["journal", "list", "--json"]).len();
    wait_until("mail after the failover", PATIENCE, || {
        (desk.rows(&["journal", "list", "--json"]).len() > before + 2).then_some(())
    });
    is_whole(&desk, load.end());
    assert!(daemon.stop().success(), "{}", bad_news(&daemon));
}

#[test]
fn a_failover_to_a_standby_that_lags_ends_the_daemon() {
    let Some(mut one) = Cluster::primary() else { return };
    let mut two = one.standby("two");
    let url = format!("postgres://{DESK}@127.0.0.1:{},127.0.0.1:{}/{DESK}", one.port, two.port);
    let desk = desk(url);
    let mut daemon = desk.spawn(&["run"]);
    logged(&mut daemon, "daemon.started", 1);
    let taken = |count: usize| {
        wait_until("the mail taken in", PATIENCE, || (remaining(&desk) == 0).then_some(()));
        assert_eq!(desk.rows(&["ticket", "list", "--json"]).len(), count);
    };
    deliver(&desk, 0..5);
    taken(5);
    wait_until("the standby to have them", PATIENCE, || {
        (two.psql(DESK, "SELECT count(*) FROM ticket") == "5").then_some(())
    });
    two.end("INT");
    deliver(&desk, 5..8);
    taken(8);
    one.end("KILL");
    deliver(&desk, 8..10);
    two.start();
    two.promote();
    let end = daemon.wait(PATIENCE);
    let log = daemon.log();
    assert_eq!(end.code(), Some(78), "{log}");
    assert!(log.contains("store.behind store: the database has lost what it had confirmed"), "{log}");
    assert_eq!(remaining(&desk), 2, "what came since stays where it is");

    // A new life knows it too, and everything says so.
    let again = desk.run(&["run"]);
    assert!(again.code == Some(78) && again.stderr.contains("--as-it-stands"), "{again:?}");
    let polled = desk.run(&["poll"]);
    assert!(polled.code == Some(78) && remaining(&desk) == 2, "{polled:?}");
    let listed = desk.run(&["ticket", "list", "--json"]).ok();
    assert!(listed.stderr.contains("has lost what it had confirmed"), "{}", listed.stderr);
    assert_eq!(desk.rows(&["alert", "list", "--json"])[0]["name"], "store:behind");

    // Somebody goes on with what is there.
    desk.run(&["restore", "--as-it-stands"]).ok();
    desk.run(&["restore", "--go-live"]).ok();
    assert_eq!(desk.run(&["restore", "--as-it-stands"]).code, Some(65));
    let mut daemon = desk.spawn(&["run"]);
    logged(&mut daemon, "daemon.started", 2);
    taken(7);
    let ids = desk.rows(&["ticket", "list", "--json"]).iter().filter_map(|t| t["id"].as_u64()).max();
    assert!(ids > Some(1_000_000), "no number is given twice: {ids:?}");
    assert!(daemon.stop().success(), "{}", bad_news(&daemon));
}

/// One that would lose in a power cut what it has confirmed.
#[test]
fn a_server_without_fsync_is_refused() {
    let Some(server) = Cluster::primary() else { return };
    server.psql("postgres", "ALTER SYSTEM SET fsync = off");
    server.psql("postgres", "SELECT pg_reload_conf()");
    wait_until("the setting", PATIENCE, || (server.psql("postgres", "SHOW fsync") == "off").then_some(()));
    let desk = desk(server.url());
    for command in ["run", "doctor"] {
        let said = desk.run(&[command]);
        assert!(said.code == Some(78) && said.stderr.contains("fsync = on"), "{said:?}");
    }
}
