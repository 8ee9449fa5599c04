//! Bad habits of POP3 servers, as scripts: each ends in a failure with words, never in lost mail, a hang or a crash.

use std::time::{Duration, Instant};

use maildesk::failure::{Failure, Lasting};
use maildesk::intake::source::{Bytes, Fetched, Handled, Item, Source as _};
use maildesk::lease::Leases;
use maildesk::sources::pop3::Pop3Source;
use maildesk::store::Store;

use super::list;
use crate::support::peer::Peer;
use crate::support::source::{ids, whole};

/// A server of before RFC 2449.
const LOGGED_IN: &str = "
    S: +OK ready
    C: CAPA
    S: -ERR what?
    C: USER joe
    S: +OK
    C: PASS hunter2
    S: +OK
";

/// Two messages, a and b, of nine bytes each.
const LISTED: &str = "
    C: STAT
    S: +OK 2 18
    C: UIDL
    S: +OK
    S: 1 a
    S: 2 b
    S: .
    C: LIST
    S: +OK 2 messages
    S: 1 9
    S: 2 9 octets
    S: .
";

/// A session with a server that logs us in and then follows the script.
async fn session(script: &str) -> (Peer, Pop3Source) {
    let peer = Peer::start(&format!("{LOGGED_IN}{script}")).await;
    let source = Pop3Source::connect(peer.settings()).await.expect("the script lets us in");
    (peer, source)
}

/// The same, listed.
async fn listed(script: &str) -> (Peer, Pop3Source, Vec<Item>) {
    let (peer, mut source) = session(&format!("{LISTED}{script}")).await;
    let items = list(&mut source).await;
    (peer, source, items)
}

async fn fetch(script: &str) -> Result<Vec<Fetched>, Failure> {
    let (peer, mut source, items) = listed(script).await;
    let fetched = source.fetch(&items).await;
    drop(source);
    peer.finish().await;
    fetched
}

async fn fetch_fails(script: &str, words: &str) {
    let failure = fetch(script).await.expect_err("a failure");
    assert!(failure.is_temporary() && failure.to_string().contains(words), "{failure}");
}

async fn open_fails(script: &str, words: &str) -> Failure {
    let (peer, mut source) = session(script).await;
    let failure = source.open("").await.expect_err("a failure");
    assert!(failure.to_string().contains(words), "{failure}");
    drop(source);
    peer.finish().await;
    failure
}

#[tokio::test]
async fn a_refused_listing_is_a_failure_and_no_empty_mailbox() {
    open_fails("C: STAT\nS: -ERR not now", "refused STAT: -ERR not now").await;
    open_fails("C: STAT\nS: +OK", "answer to STAT has no number").await;
    let stat = "C: STAT\nS: +OK 2 18\nC: UIDL\n";
    open_fails(&format!("{stat}S: -ERR [SYS/TEMP] busy"), "refused UIDL: -ERR [SYS/TEMP] busy").await;
    open_fails(&format!("{stat}S: +OK\nS: ."), "its UIDL lists none").await;
    open_fails(&format!("{stat}S: +OK\nS: one a\nS: ."), "cannot be read: \"one a\"").await;
    let uidl = format!("{stat}S: +OK\nS: 1 a\nS: 2 b\nS: .\nC: LIST\n");
    open_fails(&format!("{uidl}S: -ERR no"), "refused LIST: -ERR no").await;
    open_fails(&format!("{uidl}S: +OK\nS: 1 9\nS: ."), "LIST leaves out message 2").await;
    open_fails(&format!("{uidl}S: +OK\nS: 1 9\n!close"), "closed the connection within an answer").await;
    open_fails(&format!("{uidl}S: +OK\n!fill 10000\n!stall"), "a line longer").await;
}

#[tokio::test]
async fn a_server_without_uidl_is_refused_with_advice() {
    let script = "C: STAT\nS: +OK 1 9\nC: UIDL\nS: -ERR unknown command";
    let failure = open_fails(script, "refused UIDL: -ERR unknown command").await;
    assert_eq!(failure.lasting, Lasting::Permanent);
    assert!(failure.words.contains("read the mailbox by IMAP"), "{failure}");
}

#[tokio::test]
async fn copies_that_share_an_id_are_told_apart() {
    let script = "
        C: STAT
        S: +OK 4 36
        C: UIDL
        S: +OK
        S: 1 same
        S: 2 other
        S: 3 same
        S: 4 same
        S: .
        C: LIST
        S: +OK
        S: 1 9
        S: 2 9
        S: 3 9
        S: 4 9
        S: .
        C: DELE 3
        S: +OK";
    let (peer, mut source) = session(script).await;
    let items = list(&mut source).await;
    assert_eq!(ids(&items), ["same", "other", "same 2", "same 3"]);
    source.acknowledge(&ids(&items[2..3]), &Handled::Delete).await.expect("marked");
    drop(source);
    peer.finish().await;
}

#[tokio::test]
async fn an_empty_mailbox_is_not_asked_for_its_list() {
    let (peer, mut source) = session("C: STAT\nS: +OK 0 0\nC: QUIT\nS: +OK bye").await;
    assert!(list(&mut source).await.is_empty());
    source.close().await.expect("QUIT");
    peer.finish().await;
}

#[tokio::test]
async fn a_session_that_ends_within_a_message_is_a_failure() {
    let begun = "C: RETR 1\nS: +OK\nS: half of\n";
    fetch_fails(&format!("{begun}!close"), "closed the connection within an answer").await;
    fetch_fails(&format!("{begun}!reset"), "connection").await;
    fetch_fails(&format!("{begun}!half \".\"\n!close"), "closed the connection within an answer").await;
    fetch_fails("C: RETR 1\n!close", "RETR: the server closed the connection").await;
    fetch_fails("C: RETR 1\nS: * 1 FETCH", "neither +OK nor -ERR").await;
    fetch_fails("C: RETR 1\nS: + go on", "asks for more than there is").await;
}

#[tokio::test]
async fn a_stalled_server_meets_the_deadline() {
    for stall in ["!stall", "S: +OK\n!half \"begun\"\n!stall", "S: +OK\nS: a\nS: b\n!half \".\\r\"\n!stall"] {
        let begun = Instant::now();
        fetch_fails(&format!("C: RETR 1\n{stall}"), "silent for 2 s").await;
        assert!(begun.elapsed() < Duration::from_secs(7));
    }
    let drip = "!stall 500ms\nS: and another line\n".repeat(40);
    let (_peer, mut source, items) = listed(&format!("C: RETR 1\nS: +OK\n{drip}")).await;
    let failure = source.fetch(&items).await.expect_err("enough");
    assert!(failure.words.contains("not finished within 8 s"), "{failure}");
}

#[tokio::test]
async fn after_a_failure_or_a_dropped_command_the_session_takes_no_more() {
    let (peer, mut source, items) = listed("C: RETR 1\n!stall").await;
    let dropped = tokio::time::timeout(Duration::from_millis(100), source.fetch(&items)).await;
    assert!(dropped.is_err(), "the script stalls");
    let failure = source.acknowledge(&ids(&items), &Handled::Delete).await.expect_err("out of step");
    assert!(failure.words.contains("out of step"), "{failure}");
    let failure = source.close().await.expect_err("out of step");
    assert!(failure.words.contains("out of step"), "{failure}");
    peer.finish().await;
}

#[tokio::test]
async fn a_bare_line_feed_before_a_dot_does_not_end_a_message() {
    let script = "C: RETR 1\n!half \"+OK\\r\\na\\n.\\n+OK\\n..\\r\\n..b\\r\\n.\\r\\n\"\nC: RETR 2\nS: +OK\nS: two\nS: .";
    let bodies: Vec<Vec<u8>> = fetch(script).await.expect("both").into_iter().map(whole).collect();
    assert_eq!(bodies, [&b"a\n.\n+OK\n..\r\n.b\r\n"[..], b"two\r\n"]);
}

#[tokio::test]
async fn a_message_larger_than_announced_goes_on_in_a_file() {
    let script = "C: RETR 1\nS: +OK\n!fill 100000\nS:  end\nS: .\nC: RETR 2\nS: +OK\nS: two\nS: .";
    let fetched = fetch(script).await.expect("both");
    assert!(matches!(fetched[0].bytes, Bytes::Spool(..)) && fetched[0].announced_size == 9);
    let bodies: Vec<usize> = fetched.into_iter().map(|f| whole(f).len()).collect();
    assert_eq!(bodies, [100_006, 5]);
}

#[tokio::test]
async fn a_refused_message_that_is_there_still_is_told_from_the_others() {
    let again = format!("C: QUIT\nS: +OK\n---\n{LOGGED_IN}{LISTED}");
    let script = format!("C: RETR 1\nS: -ERR cannot read it\nC: RETR 2\nS: +OK\nS: two\nS: .\n{again}");
    let fetched = fetch(&script).await.expect("the other one");
    let words = "the server refused RETR: -ERR cannot read it";
    assert!(matches!(&fetched[0].bytes, Bytes::Refused(said) if said == words), "{fetched:?}");
    assert!(matches!(fetched[1].bytes, Bytes::Memory(_)));
    // What is said of the whole account is a failure.
    let locked = script.replace("-ERR cannot read it", "-ERR [SYS/TEMP] cannot read it");
    let words = "message a of 9 bytes: the server refused RETR: -ERR [SYS/TEMP] cannot read it";
    fetch_fails(&locked, words).await;
    // One that a new session does not list is gone, and no failure.
    let at = script.rfind("    S: 1 a\n").expect("listed again");
    let script = format!("{}{}", &script[..at], &script[at + "    S: 1 a\n".len()..]);
    let fetched = fetch(&script).await.expect("one is gone");
    assert!(matches!(fetched[0].bytes, Bytes::Gone) && matches!(fetched[1].bytes, Bytes::Memory(_)));
}

#[tokio::test]
async fn headers_come_without_top_too() {
    let retr = "C: RETR 1\nS: +OK\nS: Subject: x\nS: \nS: long\nS: body\nS: .";
    for (top, expected) in [
        ("C: TOP 1 0\nS: +OK\nS: Subject: x\nS: \nS: .".to_owned(), &b"Subject: x\r\n\r\n"[..]),
        (format!("C: TOP 1 0\nS: -ERR what?\n{retr}"), b"Subject: x\r\n\r\n"),
    ] {
        let (peer, mut source, items) = listed(&top).await;
        let headers = source.fetch_headers(&items[0], 1000).await.expect("headers");
        assert_eq!(headers.as_deref(), Some(expected));
        drop(source);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_refused_deletion_is_a_failure_in_the_servers_words() {
    let (peer, mut source, items) = listed("C: DELE 1\nS: +OK\nC: DELE 2\nS: -ERR read-only").await;
    let failure = source.acknowledge(&ids(&items), &Handled::Delete).await.expect_err("refused");
    assert!(failure.words.contains("message 2: the server refused DELE: -ERR read-only"), "{failure}");
    drop(source);
    peer.finish().await;
}

#[tokio::test]
async fn a_refused_or_lost_quit_says_what_it_means() {
    let doubt = "whether the server has deleted what it was told shows in the next session";
    for (answer, words) in [
        ("S: -ERR some deleted messages not removed", "refused QUIT: -ERR some deleted messages not removed"),
        ("!close", "QUIT: the server closed the connection"),
        ("!stall", "silent for 2 s"),
    ] {
        let (peer, mut source, items) = listed(&format!("C: DELE 1\nS: +OK\nC: QUIT\n{answer}")).await;
        source.acknowledge(&ids(&items[..1]), &Handled::Delete).await.expect("marked");
        let failure = source.close().await.expect_err("no QUIT");
        assert!(failure.is_temporary() && failure.to_string().contains(words), "{failure}");
        assert!(failure.words.starts_with(doubt), "{failure}");
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_server_with_a_login_delay_gets_one_session_a_round() {
    for (stated, is_limited) in [("LOGIN-DELAY 60", false), ("LOGIN-DELAY 0", true), ("TOP", true)] {
        let capa = format!("C: CAPA\nS: +OK\nS: USER\nS: {stated}\nS: .\n");
        let login = "C: USER joe\nS: +OK\nC: PASS hunter2\nS: +OK\n";
        let peer = Peer::start(&format!("S: +OK\n{capa}{login}{capa}")).await;
        let source = Pop3Source::connect(peer.settings()).await.expect("logged in");
        assert_eq!(source.session_limit().is_some(), is_limited, "{stated}");
        drop(source);
        peer.finish().await;
    }
}

#[tokio::test]
async fn commands_run_ahead_only_where_the_server_allows_it() {
    let capa = "C: CAPA\nS: +OK\nS: USER\nS: PIPELINING\nS: .\n";
    let login = "C: USER joe\nS: +OK\nC: PASS hunter2\nS: +OK\n";
    let ahead = "C: RETR 1\nC: RETR 2\nS: +OK\nS: one\nS: .\nS: +OK\nS: two\nS: .\nC: DELE 1\nC: DELE 2\nS: +OK\nS: +OK";
    let peer = Peer::start(&format!("S: +OK\n{capa}{login}{capa}{LISTED}{ahead}")).await;
    let mut source = Pop3Source::connect(peer.settings()).await.expect("logged in");
    let items = list(&mut source).await;
    let bodies: Vec<Vec<u8>> = source.fetch(&items).await.expect("both").into_iter().map(whole).collect();
    assert_eq!(bodies, [b"one\r\n", b"two\r\n"]);
    source.acknowledge(&ids(&items), &Handled::Delete).await.expect("both");
    drop(source);
    peer.finish().await;
}

/// A refused message has the mailbox listed anew, in another session: the QUIT of the first one deletes what was marked.
#[tokio::test]
async fn a_session_is_not_ended_in_the_midst_of_a_round_under_a_lease_that_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("desk.db").display());
    let store = Store::connect(&url).await.expect("a store");
    store.migrate().await.expect("a schema");
    let leases = Leases::new(&store, Duration::from_secs(60));
    leases.join("run").await.expect("a life");
    let lease = leases.take_one("mailbox:1").await.expect("a store").expect("it is free");
    for is_lost in [false, true] {
        let again =
            if is_lost { String::new() } else { format!("C: QUIT\nS: +OK\n---\n{LOGGED_IN}{LISTED}") };
        let refused = "C: DELE 1\nS: +OK\nC: RETR 2\nS: -ERR cannot read it\n";
        let peer = Peer::start(&format!("{LOGGED_IN}{LISTED}{refused}{again}")).await;
        let source = Pop3Source::connect(peer.settings()).await.expect("the script lets us in");
        let mut source = source.under(store.under(lease.fence.clone()));
        let items = list(&mut source).await;
        source.acknowledge(&ids(&items[..1]), &Handled::Delete).await.expect("marked");
        if is_lost {
            let mut tx = store.write().await.expect("a transaction");
            tx.forget_daemons().await.expect("forgotten");
            tx.commit().await.expect("a commit");
        }
        let fetched = source.fetch(&items[1..]).await;
        match is_lost {
            true => {
                let failure = fetched.expect_err("it is somebody else's");
                assert!(failure.to_string().contains("the lease mailbox:1 is over"), "{failure}");
            }
            false => assert!(matches!(fetched.expect("told")[0].bytes, Bytes::Refused(_))),
        }
        drop(source);
        peer.finish().await;
    }
}
