//! What goes wrong with a mailbox, kind by kind: each is told with the server's own words and what to do, holds up no
//! other mailbox, loses and doubles nothing, and is over when it is over.
//!
//! A case is a server that fails two rounds over one mailbox and then works. Real Dovecot where it can be made to fail so,
//! scripts (`support/peer.rs`) for the rest. The words of all alerts stand in one snapshot.

mod clock;
mod cluster;
mod relays;
mod scripts;
mod store;
mod told;

use std::time::Duration;

use maildesk::config::Tls;
use maildesk::failure::Kind;
use maildesk::net::Deadlines;
use maildesk::store::MailboxRow;
use maildesk::store::listing::{ALL, AlertLine};

use self::scripts::{Script, cases};
use crate::support::certs::certs;
use crate::support::dovecot::{self, Dovecot, PASSWORD};
use crate::support::peer::Peer;
use crate::support::server::free_port;
use crate::support::trial::{Letter, Trial, usual_url};

/// A server may be silent for so long: the tests do not wait as long as people do.
const SILENCE: Duration = Duration::from_secs(3);

/// One mailbox that fails, and then does not.
struct Case {
    name: &'static str,
    kind: Kind,
    /// The mailbox while it fails, and when it works.
    failing: MailboxRow,
    working: MailboxRow,
    /// `None`: a real server, or none at all.
    peer: Option<Peer>,
    /// Delivered before the first round; it is taken in once.
    letters: usize,
    /// What is done to the server in between.
    mend: Option<Box<dyn FnOnce() + Send>>,
    /// The CA of the tests is known only when it works.
    is_untrusted: bool,
}

fn mailbox_section(name: &str, handled: &str) -> String {
    format!(
        "[[mailbox]]\nname = \"{name}\"\nprotocol = \"imap\"\nhost = \"localhost\"\nport = 1\ntls = \"plain\"\n\
         username = \"joe\"\npassword = \"{}\"\n{handled}\n\
         [[type]]\nname = \"{name}\"\ntag = \"T{}\"\nmailbox = \"{name}\"\nrelay = \"out\"\n\
         addresses = [\"{name}@example.com\"]\nadmin = \"admin@example.net\"\n",
        PASSWORD.replace('\\', "\\\\").replace('"', "\\\""),
        name.replace('_', ""),
    )
}

/// A message to the type of that name.
fn letter(name: &str) -> Vec<u8> {
    Letter::new(name).to(&format!("{name}@example.com")).bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_is_told_in_words_and_is_over_when_it_is_over() {
    let Some(dovecot) = dovecot::dovecot() else { return };
    let scripts = cases();
    let mut sections = crate::support::trial::SUPPORT.to_owned();
    for script in &scripts {
        sections.push_str(&mailbox_section(script.name, script.handled));
    }
    for name in REAL {
        sections.push_str(&mailbox_section(name, ""));
    }
    let mut trial = Trial::with(&usual_url(), &sections).await;
    trial.works.deadlines =
        Deadlines { dial: SILENCE, handshake: SILENCE, silence: SILENCE, command: Duration::from_secs(10) };
    trial.works.extra_roots = Some(certs().write_ca(trial.folder.path()));
    let mut all = vec![];
    for script in scripts {
        all.push(scripted(&trial, script).await);
    }
    all.extend(real(&trial, dovecot).await);
    let told = futures_util::future::join_all(all.into_iter().map(|case| live_through(&trial, case))).await;
    insta::assert_snapshot!("alerts", told.concat());
    // Every message is accounted for, once.
    trial.assert_balanced().await;
}

#[tokio::test]
async fn a_maildir_that_is_gone_is_told_and_the_others_go_on() {
    let other = "[[mailbox]]\nname = \"other\"\nprotocol = \"maildir\"\npath = \"Other\"\n";
    let trial = Trial::with(&usual_url(), &format!("{}{other}", crate::support::trial::SUPPORT)).await;
    let other = trial.mailbox("other").await;
    let failure = trial.works.poll(&other).await.expect_err("there is no such folder");
    assert_eq!(failure.kind, Kind::FolderMissing, "{failure}");
    let alert = alerts(&trial, &format!("mailbox:{}:failing", other.id)).await.remove(0);
    assert!(alert.words.contains("is not there: is this a Maildir?"), "{alert:?}");
    trial.deliver("1.a", &Letter::new("a").bytes());
    assert_eq!(trial.poll().await.fates.total(), 1);
    trial.make_maildir("Other");
    trial.poll_mailbox("other").await;
    assert!(trial.alerts().await.is_empty());
}

async fn scripted(trial: &Trial, script: Script) -> Case {
    let row = trial.mailbox(script.name).await;
    let peer = Peer::start(&script.text).await;
    let port = peer.port;
    let at = |row: &MailboxRow, host: &str, port: u16, tls: Tls| {
        let mut row = row.clone();
        (row.spec.host, row.spec.port, row.spec.tls) = (host.to_owned(), port, tls);
        row
    };
    let working = at(&row, "localhost", port, script.works_by);
    let failing = match script.kind {
        // Nobody is there to fail.
        Kind::Dns => at(&row, "mail.no-such-host.invalid", 1, Tls::Plain),
        Kind::ConnectionRefused => at(&row, "localhost", free_port(), Tls::Plain),
        Kind::Unreachable => at(&row, "127.0.0.1", deaf_port(), Tls::Plain),
        _ => at(&row, "localhost", port, script.fails_by),
    };
    Case {
        name: script.name,
        kind: script.kind,
        failing,
        working,
        peer: Some(peer),
        letters: 1,
        mend: None,
        is_untrusted: false,
    }
}

/// A port where connections are neither taken nor refused: its queue is full, and nobody empties it.
fn deaf_port() -> u16 {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let socket = socket.listen(1).expect("it listens");
    let address = socket.local_addr().expect("bound");
    // Whoever still fits waits there until the end of the process.
    for _ in 0..4 {
        std::mem::forget(std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)));
    }
    std::mem::forget(socket);
    address.port()
}

/// What a real server can be made to do.
const REAL: &[&str] = &[
    "login_refused_by_dovecot",
    "untrusted_certificate_of_dovecot",
    "other_name_of_dovecot",
    "folder_missing_on_dovecot",
];

async fn real(trial: &Trial, dovecot: &'static Dovecot) -> Vec<Case> {
    let mut found = vec![];
    for name in REAL {
        let account = dovecot.account();
        account.deliver(&letter(name));
        let mut working = trial.mailbox(name).await;
        working.spec.port = dovecot.imap;
        working.spec.username = account.user.clone();
        let mut case = Case {
            name,
            kind: Kind::Other,
            failing: working.clone(),
            working,
            peer: None,
            letters: 1,
            mend: None,
            is_untrusted: false,
        };
        match *name {
            "login_refused_by_dovecot" => {
                case.kind = Kind::Login;
                case.failing.spec.username = "nobody-of-that-name".to_owned();
            }
            "untrusted_certificate_of_dovecot" | "other_name_of_dovecot" => {
                (case.working.spec.port, case.working.spec.tls) = (dovecot.imaps, Tls::Tls);
                case.failing = case.working.clone();
                case.is_untrusted = *name == "untrusted_certificate_of_dovecot";
                case.kind = Kind::TlsUntrusted;
                if !case.is_untrusted {
                    case.kind = Kind::TlsName;
                    case.failing.spec.host = "127.0.0.1".to_owned();
                }
            }
            _ => {
                case.kind = Kind::FolderMissing;
                case.working.spec.folders = vec!["Gone".to_owned(), "INBOX".to_owned()];
                case.failing = case.working.clone();
                case.mend = Some(Box::new(move || account.make_folder("Gone")));
            }
        }
        found.push(case);
    }
    found
}

/// Two rounds that fail, one that works; what was told.
async fn live_through(trial: &Trial, case: Case) -> String {
    let Case { name, kind, .. } = case;
    let alert = format!("mailbox:{}:failing", case.failing.id);
    let mut works = trial.works.clone();
    if case.is_untrusted {
        works.extra_roots = None;
    }
    let mut pauses = vec![];
    let mut told = vec![];
    for round in 1..=2 {
        let failure =
            works.poll(&case.failing).await.err().unwrap_or_else(|| panic!("{name}: round {round} works"));
        assert_eq!(failure.kind, kind, "{name}: {failure}");
        assert!(!format!("{failure:?}").contains(PASSWORD), "{name}: {failure}");
        pauses.push(failure.pause(round).as_secs());
        told.push(alerts(trial, &alert).await.len());
        // The others go on.
        trial.deliver(&format!("{name}.{round}"), &Letter::new(&format!("beside.{name}.{round}")).bytes());
        trial.poll().await;
    }
    let expected = if kind.needs_somebody() { [1, 1] } else { [0, 1] };
    assert_eq!(told, expected, "{name}: alerts after each round");
    let standing = alerts(trial, &alert).await.remove(0);
    assert_eq!((standing.kind.as_str(), &standing.cleared), (kind.word(), &None), "{name}");
    if let Some(mend) = case.mend {
        mend();
    }
    trial.works.poll(&case.working).await.unwrap_or_else(|e| panic!("{name}: it should work again: {e}"));
    if let Some(peer) = case.peer {
        peer.finish().await;
    }
    let after = alerts(trial, &alert).await;
    assert!(after.len() == 1 && after[0].cleared.is_some(), "{name}: raised once, cleared once: {after:?}");
    let row = trial.mailbox(name).await;
    assert!(row.failing_since.is_none() && row.failures == 0, "{name}");
    let taken: Vec<String> = trial
        .journal()
        .await
        .iter()
        .filter(|line| line.mailbox == name)
        .filter_map(|line| line.act.clone())
        .collect();
    assert_eq!(taken, vec!["open"; case.letters], "{name}: taken in once");
    let told = if kind.needs_somebody() { "at once" } else { "the second time" };
    format!(
        "== {name}: {}, told {told}, tried again after {pauses:?} s\n{}\n{}\n",
        kind.word(),
        masked(&standing.words),
        standing.advice
    )
}

/// All alerts of that name, also those that are over.
async fn alerts(trial: &Trial, name: &str) -> Vec<AlertLine> {
    let mut alerts = trial.works.store.read().await.unwrap().list_alerts(true, ALL).await.expect("alerts");
    alerts.retain(|alert| alert.name == name);
    alerts
}

/// What differs from run to run and from machine to machine.
fn masked(words: &str) -> String {
    let (words, _) = words.split_once(" (since ").expect("since when");
    let mut words = words.to_owned();
    for (mark, end) in [("(127.0.0.1:", ')'), ("([::1]:", ')')] {
        if let Some((before, rest)) = words.split_once(mark) {
            let rest = rest.split_once(end).map_or("", |(_, rest)| rest);
            words = format!("{before}([address]){rest}");
        }
    }
    // Dovecot says how long it took.
    if let Some((before, _)) = words.split_once(" (0.") {
        words = before.to_owned();
    }
    // What the resolver says is the machine's.
    if let Some((before, _)) = words.split_once("mail.no-such-host.invalid") {
        words = format!("{before}mail.no-such-host.invalid […]");
    }
    format!("{words} (since [then])")
}
