//! A daemon that is told to stop ends within its bound, in good order as far as its peers let it, whatever hangs at that
//! moment: the database, a mailbox's server, a relay, or all of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::program::{Desk, Running, Store};
use crate::support::scripted_smtp::{Answer, End, Phase, ScriptedSmtp, Transaction};
use crate::support::trial::{Letter, make_maildir};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);
/// In docs/operations.md, and far below `TimeoutStopSec` of the unit.
const BOUND: Duration = Duration::from_secs(35);
/// Where no mail is under way, which has 20 s: a round, a session and the leases have 3 s each.
const WITHOUT_A_MAIL: Duration = Duration::from_secs(20);

/// A server that takes a connection, says so much, and nothing more.
struct Silent {
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn after(greeting: &'static str) -> Silent {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let connections = Arc::new(Mutex::new(vec![]));
        let kept = connections.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Who has gone meanwhile hears nothing.
                drop(stream.write_all(greeting.as_bytes()));
                kept.lock().expect("nobody panics while holding it").push(stream);
            }
        });
        Silent { port, connections }
    }

    fn wait_for_a_client(&self) {
        wait_until("a client of the silent server", PATIENCE, || {
            (!self.connections.lock().expect("nobody panics while holding it").is_empty()).then_some(())
        });
    }
}

/// A desk that reads a Maildir, and whatever stands in `more`.
fn desk(store_url: String, relay: &ScriptedSmtp, more: &str) -> Desk {
    let folder = tempfile::Builder::new().prefix("maildesk-desk-").tempdir().expect("a folder");
    make_maildir(&folder.path().join("Maildir"));
    let desk = Desk { folder, store_url };
    std::fs::write(desk.folder.path().join("password"), "secret").expect("written");
    desk.configure(&format!(
        "[[relay]]\nname = \"out\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\nsender = \"desk@example.com\"\n\
         {}{more}",
        relay.port,
        mailbox("local", "protocol = \"maildir\"\npath = \"Maildir\"\n")
    ));
    desk.run(&["migrate"]).ok();
    desk
}

fn mailbox(name: &str, keys: &str) -> String {
    format!(
        "[[mailbox]]\nname = \"{name}\"\ninterval_s = 1\n{keys}\
         [[type]]\nname = \"{name}\"\ntag = \"{name}\"\nmailbox = \"{name}\"\nrelay = \"out\"\n\
         addresses = [\"{name}@example.com\"]\nadmin = \"admin@example.org\"\n"
    )
}

fn on_server(name: &str, protocol: &str, port: u16) -> String {
    let keys = format!(
        "protocol = \"{protocol}\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\nusername = \"u\"\n\
         password_file = \"password\"\n"
    );
    mailbox(name, &keys)
}

fn deliver(desk: &Desk, name: &str) {
    let bytes = Letter::new(name).to("local@example.com").bytes();
    std::fs::write(desk.folder.path().join("Maildir/new").join(name), bytes).expect("delivered");
}

fn logged(daemon: &Running, words: &str) {
    wait_until(words, PATIENCE, || daemon.log().contains(words).then_some(()));
}

/// It was told to stop just now.
#[track_caller]
fn ends_in_good_order(daemon: &mut Running, bound: Duration) {
    let begun = Instant::now();
    let end = daemon.wait(bound);
    let log = daemon.log();
    assert!(end.success(), "{end} after {:?}\n{log}", begun.elapsed());
    assert!(log.contains("daemon.stopped"), "{log}");
}

/// The daemon is told to stop at the moment at which something befalls its database.
fn stops_while(trouble: impl FnOnce(&mut Cluster), mend: impl FnOnce(&mut Cluster)) {
    let Some(mut server) = Cluster::primary() else { return };
    let relay = ScriptedSmtp::start();
    let desk = desk(server.url(), &relay, "");
    let mut daemon = desk.spawn(&["run"]);
    deliver(&desk, "first");
    wait_until("the first mail to be settled", PATIENCE, || {
        (desk.rows(&["queue", "list", "--json"]).first()?["state"] == "done").then_some(())
    });
    trouble(&mut server);
    deliver(&desk, "second");
    daemon.signal("TERM");
    ends_in_good_order(&mut daemon, WITHOUT_A_MAIL);
    mend(&mut server);
    // Nothing is lost by it, and nothing is doubled.
    deliver(&desk, "third");
    let mut daemon = desk.spawn(&["run"]);
    let message_id = |mail: Transaction| {
        let text = String::from_utf8_lossy(&mail.bytes).into_owned();
        text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned)
    };
    wait_until("a mail for each message", PATIENCE, || {
        let sent: BTreeSet<Option<String>> = relay.accepted().into_iter().map(message_id).collect();
        (sent.len() == 3).then_some(())
    });
    daemon.signal("TERM");
    ends_in_good_order(&mut daemon, WITHOUT_A_MAIL);
    assert_eq!(desk.rows(&["ticket", "list", "--json"]).len(), 3);
}

#[test]
fn a_database_that_hangs_does_not_hold_up_the_stop() {
    stops_while(|server| server.freeze(true), |server| server.freeze(false));
}

#[test]
fn a_database_that_is_cut_off_does_not_hold_up_the_stop() {
    stops_while(|server| server.end("KILL"), Cluster::start);
}

#[test]
fn a_database_that_restarts_does_not_hold_up_the_stop() {
    let restart = |server: &mut Cluster| {
        server.end("QUIT");
        server.start();
    };
    stops_while(restart, |_| {});
}

/// The worst: a mail is under way whose relay is silent after the final dot, the mailboxes' servers are silent in the midst
/// of a login, and the database stands still.
#[test]
fn all_of_it_hangs_and_the_daemon_ends_all_the_same() {
    let Some(server) = Cluster::primary() else { return };
    let (relay, imap, pop3) =
        (ScriptedSmtp::start(), Silent::after("* OK go on\r\n"), Silent::after("+OK go on\r\n"));
    let more = on_server("imap", "imap", imap.port) + &on_server("pop3", "pop3", pop3.port);
    let desk = desk(server.url(), &relay, &more);
    relay.answer_once(Phase::Dot, Answer::Stall);
    let mut daemon = desk.spawn(&["run"]);
    imap.wait_for_a_client();
    pop3.wait_for_a_client();
    deliver(&desk, "first");
    relay.wait_for(1);
    server.freeze(true);
    daemon.signal("TERM");
    ends_in_good_order(&mut daemon, BOUND);
    server.freeze(false);
    logged(&daemon, "outbound.mail_cut_off");
    // Whether the mail was taken nobody knows: it goes once more, and says so.
    let mut daemon = desk.spawn(&["run"]);
    let ends: Vec<End> = relay.wait_for(2).iter().map(|mail| mail.end).collect();
    assert_eq!(ends, [End::StalledAfterDot, End::Answered(250)]);
    wait_until("the mail to be settled", PATIENCE, || {
        (desk.rows(&["queue", "list", "--json"])[0]["state"] == "done").then_some(())
    });
    let shown = desk.json(&["queue", "show", "1", "--json"]);
    let repeated: Vec<bool> = shown["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .map(|a| a["possibly_repeated"] == true)
        .collect();
    assert_eq!(repeated, [false, true], "{shown}");
    daemon.signal("TERM");
    ends_in_good_order(&mut daemon, WITHOUT_A_MAIL);
}

/// The same without a database that hangs, on whatever store.
#[test]
fn mailboxes_whose_servers_hang_do_not_hold_up_the_stop() {
    let Some(base) = Desk::new(Store::usual()) else { return };
    let (relay, imap, pop3) =
        (ScriptedSmtp::start(), Silent::after("* OK go on\r\n"), Silent::after("+OK go on\r\n"));
    let more = on_server("imap", "imap", imap.port) + &on_server("pop3", "pop3", pop3.port);
    let desk = desk(base.store_url.clone(), &relay, &more);
    let mut daemon = desk.spawn(&["run"]);
    imap.wait_for_a_client();
    pop3.wait_for_a_client();
    daemon.signal("TERM");
    ends_in_good_order(&mut daemon, WITHOUT_A_MAIL);
}
