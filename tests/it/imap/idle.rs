//! Waiting for mail: by a script for what servers do, and on a real Dovecot.

use std::time::Duration;

use maildesk::intake::source::Source as _;
use maildesk::sources::ServerSettings;
use maildesk::sources::imap::ImapSource;
use tokio::time::timeout;

use super::{connect, list};
use crate::support::dovecot::dovecot;
use crate::support::peer::Peer;
use crate::support::source::HELLO;

const LOGGED_IN: &str = "
    S: * OK [CAPABILITY IMAP4rev1] ready
    C: $tag LOGIN \"joe\" \"hunter2\"
    S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE IDLE] welcome
";
const LISTED: &str = "
    C: $tag SELECT \"INBOX\"
    S: * 1 EXISTS
    S: * 1 RECENT
    S: * OK [UIDVALIDITY 7] fine
    S: * OK [UIDNEXT 5] fine
    S: $tag OK [READ-WRITE] selected
    C: $tag UID FETCH 1:* (UID FLAGS RFC822.SIZE)
    S: * 1 FETCH (UID 4 FLAGS () RFC822.SIZE 9)
    S: $tag OK listed
";
const LOGOUT: &str = "
    C: $tag LOGOUT
    S: * BYE see you
    S: $tag OK gone
    !close
";
/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);

/// A session that has listed its first folder, then more by the script.
async fn session(listed: &str, script: &str, folders: &[&str]) -> (Peer, ImapSource) {
    let peer = Peer::start(&format!("{LOGGED_IN}{listed}{script}")).await;
    let folders = folders.iter().map(|f| (*f).to_owned()).collect();
    let settings = ServerSettings { folders, ..peer.settings() };
    let mut source = ImapSource::connect(settings).await.expect("the script lets us in");
    assert!(source.offers_idle());
    for folder in source.folders() {
        source.open(&folder).await.expect("the script lists it");
    }
    (peer, source)
}

/// Waits, and then says good-bye: the session is in step.
async fn woken(listed: &str, script: &str, folders: &[&str]) -> bool {
    let (peer, mut source) = session(listed, &format!("{script}{LOGOUT}"), folders).await;
    let waited = timeout(PATIENCE, source.wait(LONG, std::future::pending())).await;
    let has_news = waited.expect("it is woken").expect("no failure");
    source.close().await.expect("LOGOUT");
    peer.finish().await;
    has_news
}

#[tokio::test]
async fn the_server_tells_of_mail_and_the_session_goes_on() {
    for news in
        ["S: * 2 EXISTS", "S: * OK still here\nS: * 1 EXPUNGE\nS: * 0 EXISTS\nS: * 1 EXISTS", "S: * 2 RECENT"]
    {
        let script = format!("C: $tag IDLE\nS: + idling\n{news}\nC: DONE\nS: $tag OK done");
        assert!(woken(LISTED, &script, &["INBOX"]).await, "{news}");
    }
    // While it is begun, and in the answer to DONE.
    assert!(
        woken(LISTED, "C: $tag IDLE\nS: * 2 EXISTS\nS: + idling\nC: DONE\nS: $tag OK done", &["INBOX"]).await
    );
}

#[tokio::test]
async fn what_comes_between_the_listing_and_idle_is_not_missed() {
    let late = LISTED.replace("S: $tag OK listed", "S: * 2 EXISTS\nS: $tag OK listed");
    assert!(woken(&late, "", &["INBOX"]).await, "no IDLE is needed to know");
}

#[tokio::test]
async fn of_several_folders_the_first_is_waited_on_and_uidnext_tells_what_came_meanwhile() {
    let other = LISTED.replace("INBOX", "Other").replace("UIDNEXT 5", "UIDNEXT 900");
    let both = format!("{LISTED}{other}");
    let again = |uid_next: u32| {
        let opened = LISTED.split("    C: $tag UID FETCH").next().expect("a SELECT");
        opened.replace("UIDNEXT 5", &format!("UIDNEXT {uid_next}"))
    };
    assert!(woken(&both, &again(6), &["INBOX", "Other"]).await);
    assert!(woken(&both, &again(5).replace("UIDVALIDITY 7", "UIDVALIDITY 8"), &["INBOX", "Other"]).await);
    let idle = "C: $tag IDLE\nS: + idling\nS: * 2 EXISTS\nC: DONE\nS: $tag OK done";
    assert!(woken(&both, &format!("{}{idle}", again(5)), &["INBOX", "Other"]).await);
}

#[tokio::test]
async fn idle_is_begun_anew_in_time() {
    let script = format!(
        "C: $tag IDLE\nS: + idling\nC: DONE\nS: $tag OK done\nC: $tag IDLE\nS: + again\nS: * 2 EXISTS\nC: DONE\nS: $tag OK done{LOGOUT}"
    );
    let (peer, mut source) = session(LISTED, &script, &["INBOX"]).await;
    // Longer than the silence that commands are allowed.
    let waited = timeout(PATIENCE, source.wait(Duration::from_millis(2500), std::future::pending())).await;
    assert!(waited.expect("woken").expect("no failure"));
    source.close().await.expect("LOGOUT");
    peer.finish().await;
}

#[tokio::test]
async fn who_asks_is_given_the_session_back() {
    let script = format!(
        "C: $tag IDLE\nS: + idling\nC: DONE\nS: * 1 FETCH (FLAGS (\\Seen))\nS: $tag OK done{LISTED}{LOGOUT}"
    );
    let (peer, mut source) = session(LISTED, &script, &["INBOX"]).await;
    let asked = tokio::time::sleep(Duration::from_millis(50));
    assert!(!timeout(PATIENCE, source.wait(LONG, asked)).await.expect("in time").expect("no failure"));
    source.open("INBOX").await.expect("the session takes commands");
    source.close().await.expect("LOGOUT");
    peer.finish().await;
}

#[tokio::test]
async fn whatever_goes_wrong_ends_the_wait_with_words() {
    for (script, words) in [
        ("C: $tag IDLE\nS: $tag NO not now\n!close", "IDLE: the server does not let us wait: NO not now"),
        ("C: $tag IDLE\nS: $tag BAD what?\n!close", "BAD what?"),
        (
            "C: $tag IDLE\nS: + idling\nS: * BYE shutting down\n!close",
            "the server ended the session: shutting down",
        ),
        ("C: $tag IDLE\nS: + idling\n!close", "the server closed the connection"),
        (
            "C: $tag IDLE\nS: + idling\nS: $tag OK enough\n!close",
            "the server does not let us wait: OK enough",
        ),
        ("C: $tag IDLE\n!stall", "silent for 2 s"),
        ("C: $tag IDLE\nS: + idling\nS: * 2 EXISTS\nC: DONE\n!stall", "silent for 2 s"),
        (
            "C: $tag IDLE\nS: + idling\nS: * 2 EXISTS\nC: DONE\nS: $tag BAD no\n!close",
            "the server refused DONE",
        ),
        ("C: $tag IDLE\nS: + idling\n!half \"* 2 EXI\"\n!close", "the server closed the connection"),
    ] {
        let (peer, mut source) = session(LISTED, script, &["INBOX"]).await;
        let waited = timeout(PATIENCE, source.wait(LONG, std::future::pending())).await;
        let failure = waited.expect("no hang").expect_err(script);
        assert!(failure.is_temporary() && failure.to_string().contains(words), "{script}: {failure}");
        let failure = source.open("INBOX").await.expect_err("the session is of no more use");
        assert!(failure.to_string().contains("out of step"), "{failure}");
        drop(source);
        peer.finish().await;
    }
}

#[tokio::test]
async fn dovecot_tells_of_each_message() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let mut source = connect(dovecot, &account).await;
    for n in 1..=3 {
        assert_eq!(list(&mut source).await.len(), n - 1);
        account.deliver(HELLO);
        let waited = timeout(PATIENCE, source.wait(LONG, std::future::pending())).await;
        assert!(waited.expect("woken").expect("no failure"));
    }
    assert_eq!(list(&mut source).await.len(), 3);
    let asked = tokio::time::sleep(Duration::from_millis(50));
    assert!(!source.wait(LONG, asked).await.expect("no failure"), "nothing new");
    source.close().await.expect("LOGOUT");
}
