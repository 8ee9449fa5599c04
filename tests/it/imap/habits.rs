//! Bad habits of IMAP servers, as scripts: each ends in a failure with words, never in lost mail, a hang or a crash.

use std::time::{Duration, Instant};

use maildesk::failure::{Failure, Lasting};
use maildesk::intake::source::{Bytes, Fetched, Handled, Item, SPOOL_FROM, Source as _};
use maildesk::sources::imap::{ImapSource, rights};

use crate::support::peer::Peer;
use crate::support::source::{ids, whole};

/// What every server says before the habit shows.
const LOGGED_IN: &str = "
    S: * OK [CAPABILITY IMAP4rev1] ready
    C: $tag LOGIN \"joe\" \"hunter2\"
    S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE] welcome
";

const SELECTED: &str = "
    C: $tag SELECT \"INBOX\"
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 7] fine
    S: $tag OK [READ-WRITE] selected
";

/// A session with a server that logs us in and then follows the script.
async fn session(script: &str) -> (Peer, ImapSource) {
    let peer = Peer::start(&format!("{LOGGED_IN}{script}")).await;
    let source = ImapSource::connect(peer.settings()).await.expect("the script lets us in");
    (peer, source)
}

fn item(uid: u32, size: u64) -> Item {
    Item { source_id: uid.to_string(), size }
}

async fn fetch(script: &str, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
    let (peer, mut source) = session(script).await;
    let fetched = source.fetch(items).await;
    drop(source);
    peer.finish().await;
    fetched
}

/// The one message, said to be of this size.
async fn fetch_one(script: &str, size: u64) -> Fetched {
    fetch(script, &[item(1, size)]).await.expect("fetched").remove(0)
}

async fn fetch_fails(script: &str, words: &str) {
    let failure = fetch(script, &[item(1, 9), item(2, 9)]).await.expect_err("a failure");
    assert!(failure.is_temporary() && failure.to_string().contains(words), "{failure}");
}

#[tokio::test]
async fn a_refused_fetch_is_a_failure_and_no_empty_mailbox() {
    for answer in ["NO [UNAVAILABLE] try later", "BAD what?"] {
        let words = answer.to_owned();
        let script = format!(
            "C: $tag UID FETCH 1:2 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"123456789\")\nS: $tag {answer}"
        );
        fetch_fails(&script, &words).await;
        let script = format!("{SELECTED}\nC: $tag UID FETCH 1:* *\nS: $tag {answer}");
        let (peer, mut source) = session(&script).await;
        let failure = source.open("INBOX").await.expect_err("a failure");
        assert!(failure.to_string().contains(&words), "{failure}");
        drop(source);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_message_that_alone_is_refused_is_told_from_the_others() {
    let refused =
        "C: $tag UID FETCH 1:2 *\nS: $tag NO cannot\nC: $tag UID FETCH 1 *\nS: $tag NO cannot read it\n";
    let second = "C: $tag UID FETCH 2 *\nS: * 2 FETCH (UID 2 BODY[]<0> \"123456789\")\nS: $tag OK";
    let fetched =
        fetch(&format!("{refused}{second}"), &[item(1, 9), item(2, 9)]).await.expect("the other one");
    let words = "the server refused UID FETCH: NO cannot read it";
    assert!(matches!(&fetched[0].bytes, Bytes::Refused(said) if said == words), "{fetched:?}");
    assert!(matches!(fetched[1].bytes, Bytes::Memory(_)), "{fetched:?}");
    // One that is refused in the midst of it, after pieces that were given.
    let large = SPOOL_FROM + 9;
    let script = "C: $tag UID FETCH 1 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"123456789\")\nS: $tag OK\n\
         C: $tag UID FETCH 1 (UID BODY.PEEK[]<9.*\nS: $tag NO cannot read it";
    let fetched = fetch(script, &[item(1, large)]).await.expect("a session that goes on");
    assert!(matches!(fetched[0].bytes, Bytes::Refused(_)), "{fetched:?}");
}

/// Taken for a message it would be removed there, and its words lost.
#[tokio::test]
async fn an_empty_answer_is_no_message_of_some_size() {
    let piece = "C: $tag UID FETCH 1 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"\")\nS: $tag OK\n";
    let whole = piece.replace("<0> ", " ");
    for script in [piece.repeat(2), whole.clone()] {
        let fetched = fetch_one(&script, 9).await;
        let words = "it gives nothing of the 9 bytes that it announces";
        assert!(matches!(&fetched.bytes, Bytes::Refused(said) if said == words), "{fetched:?}");
    }
    assert!(matches!(fetch_one(&whole, 0).await.bytes, Bytes::Memory(bytes) if bytes.is_empty()));
}

#[tokio::test]
async fn a_server_that_refuses_all_messages_is_a_failure() {
    let each: String = (1..=10).map(|n| format!("C: $tag UID FETCH {n} *\nS: $tag NO cannot\n")).collect();
    let items: Vec<Item> = (1..=10).map(|n| item(n, 9)).collect();
    let failure = fetch(&format!("C: $tag UID FETCH 1:10 *\nS: $tag NO cannot\n{each}"), &items).await;
    let failure = failure.expect_err("it is not the messages");
    assert!(failure.words.starts_with("none of 10 messages is given: "), "{failure}");
}

#[tokio::test]
async fn a_right_that_an_acl_withholds_is_named() {
    let rights = |answer: &str, wants_delete| {
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1] ready\nC: $tag LOGIN *\nS: $tag OK [CAPABILITY IMAP4rev1 ACL] welcome\n\
             {SELECTED}C: $tag MYRIGHTS \"INBOX\"\n{answer}\nC: $tag LOGOUT\nS: * BYE\nS: $tag OK bye"
        );
        async move {
            let peer = Peer::start(&script).await;
            let found = rights(peer.settings(), wants_delete, None).await.expect("an answer");
            peer.finish().await;
            found.refused.into_iter().map(|(_, words)| words).collect::<Vec<_>>()
        }
    };
    let ok = "S: $tag OK done";
    let none: Vec<String> = vec![];
    assert_eq!(rights(&format!("S: * MYRIGHTS INBOX lrswite\n{ok}"), true).await, none);
    assert_eq!(
        rights(&format!("S: * MYRIGHTS INBOX lrs\n{ok}"), true).await,
        [
            "the server gives the account the rights \"lrs\", and not t (flag them as deleted), e (expunge them)"
        ]
    );
    assert_eq!(rights(&format!("S: * MYRIGHTS INBOX lrs\n{ok}"), false).await, none);
    assert_eq!(rights(&format!("S: * MYRIGHTS INBOX lr\n{ok}"), false).await.len(), 1);
    assert_eq!(rights(&format!("S: * MYRIGHTS INBOX lrswipcda\n{ok}"), true).await, none, "RFC 2086");
    assert_eq!(rights("S: $tag NO not for you", true).await, none, "nothing is said where nothing is known");
}

#[tokio::test]
async fn a_session_that_ends_between_messages_is_a_failure() {
    let one = "C: $tag UID FETCH 1:2 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"123456789\")\n";
    fetch_fails(&format!("{one}S: * BYE shutting down\n!close"), "ended the session: shutting down").await;
    fetch_fails(&format!("{one}!close"), "closed the connection").await;
    fetch_fails(&format!("{one}!reset"), "connection").await;
    fetch_fails(
        &format!("{one}!half \"* 2 FETCH (UID 2 BODY[]<0> {{500}}\\r\\nhalf\"\n!close"),
        "within an answer",
    )
    .await;
    fetch_fails(&format!("{one}S: m999 OK another's"), "answered another command").await;
    fetch_fails(&format!("{one}S: + go on"), "asks for more").await;
}

#[tokio::test]
async fn a_stalled_server_meets_the_deadline() {
    for stall in ["!stall", "!half \"* 1 FETCH (UID 1 BODY[]<0> {500}\\r\\nha\"\n!stall"] {
        let begun = Instant::now();
        fetch_fails(&format!("C: $tag UID FETCH 1:2 *\n{stall}"), "silent for 2 s").await;
        assert!(begun.elapsed() < Duration::from_secs(7));
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for_but_not_for_ever() {
    let mut script = "C: $tag UID FETCH 1:2 *\n!half \"* 1 FETCH (UID 1 BODY[]<0> {9}\\r\\n\"\n".to_owned();
    for _ in 0..9 {
        script.push_str("!stall 300ms\n!half \"x\"\n");
    }
    let fetched =
        fetch(&format!("{script}S: )\nS: $tag OK"), &[item(1, 9), item(2, 9)]).await.expect("slowly");
    assert!(matches!(&fetched[0].bytes, Bytes::Memory(bytes) if bytes == b"xxxxxxxxx"));

    let drip = "!stall 500ms\nS: * OK still here\n".repeat(40);
    let (_peer, mut source) = session(&format!("C: $tag UID FETCH 1:2 *\n{drip}")).await;
    let failure = source.fetch(&[item(1, 9), item(2, 9)]).await.expect_err("enough");
    assert!(failure.words.contains("not finished within 8 s"), "{failure}");
}

#[tokio::test]
async fn after_a_failure_or_a_dropped_command_the_session_takes_no_more() {
    let (peer, mut source) = session("C: $tag UID FETCH 1 *\n!stall").await;
    let items = [item(1, 9)];
    let dropped = tokio::time::timeout(Duration::from_millis(100), source.fetch(&items)).await;
    assert!(dropped.is_err(), "the script stalls");
    let failure = source.fetch(&items).await.expect_err("out of step");
    assert!(failure.words.contains("out of step"), "{failure}");
    drop(source);
    peer.finish().await;
}

#[tokio::test]
async fn a_nul_byte_arrives_though_no_server_may_send_it() {
    let script =
        "C: $tag UID FETCH 1 *\n!half \"* 1 FETCH (BODY[]<0> {3}\\r\\na\\0b UID 1)\\r\\n\"\nS: $tag OK";
    let fetched = fetch(script, &[item(1, 3)]).await.expect("fetched");
    assert!(matches!(&fetched[0].bytes, Bytes::Memory(bytes) if bytes == b"a\0b"));
}

#[tokio::test]
async fn an_item_without_uid_or_body_is_none_of_ours() {
    let script = "
        C: $tag UID FETCH 1:2 *
        S: * 1 FETCH (BODY[]<0> \"whose?\")
        S: * 1 FETCH (UID 99999999999 BODY[]<0> \"whose?\")
        S: * 1 FETCH (UID 7 BODY[]<0> \"not asked for\")
        S: * 1 FETCH (UID 1 BODY[]<0> \"mine \\\\ \\\"quoted\\\"\")
        S: * 1 FETCH (UID 1 FLAGS (\\Seen))
        S: * 2 FETCH (UID 2 BODY[]<0> NIL)
        S: $tag OK";
    let fetched = fetch(script, &[item(1, 9), item(2, 9)]).await.expect("fetched");
    assert!(matches!(&fetched[0].bytes, Bytes::Memory(bytes) if bytes == b"mine \\ \"quoted\""));
    assert!(matches!(fetched[1].bytes, Bytes::Gone));
}

#[tokio::test]
async fn a_message_larger_than_announced_goes_on_in_a_file() {
    let piece = SPOOL_FROM + (64 << 10);
    let script = format!(
        "C: $tag UID FETCH 1:2 (UID INTERNALDATE BODY.PEEK[]<0.{piece}>)
        !half \"* 1 FETCH (UID 1 BODY[]<0> {{{piece}}}\\r\\n\"
        !fill {piece}
        S: )
        !half \"* 2 FETCH (UID 2 BODY[]<0> {{100000}}\\r\\n\"
        !fill 100000
        S: )
        S: $tag OK
        C: $tag UID FETCH 1 (UID BODY.PEEK[]<{piece}.1048576>)
        S: * 1 FETCH (UID 1 BODY[]<{piece}> \"the end\")
        S: $tag OK"
    );
    let fetched = fetch(&script, &[item(1, 9), item(2, 9)]).await.expect("fetched");
    assert!(fetched.iter().all(|f| matches!(f.bytes, Bytes::Spool(..)) && f.announced_size == 9));
    let bodies: Vec<Vec<u8>> = fetched.into_iter().map(whole).collect();
    assert!(bodies[0].len() as u64 == piece + 7 && bodies[0].ends_with(b"xxthe end"));
    assert!(bodies[1].len() == 100_000);
}

#[tokio::test]
async fn a_message_smaller_than_announced_ends_where_it_ends() {
    let script = "
        C: $tag UID FETCH 1 (UID INTERNALDATE BODY.PEEK[]<0.1048576>)
        S: * 1 FETCH (UID 1 INTERNALDATE \" 1-Jan-2026 00:00:00 +0100\" BODY[]<0> {5}
        S: abc
        S: )
        S: $tag OK
        C: $tag UID FETCH 1 (UID BODY.PEEK[]<5.1048576>)
        S: * 1 FETCH (UID 1 BODY[]<5> \"\")
        S: $tag OK";
    let fetched = fetch_one(script, 9 << 20).await;
    assert!(fetched.received.is_some());
    assert_eq!(whole(fetched), b"abc\r\n");
}

#[tokio::test]
async fn a_server_may_cut_pieces_as_it_likes() {
    let script = "
        C: $tag UID FETCH 1 *
        S: * 1 FETCH (UID 1 BODY[]<0> \"one \")
        S: $tag OK
        C: $tag UID FETCH 1 (UID BODY.PEEK[]<4.*
        S: * 1 FETCH (UID 1 BODY[]<4> \"two \")
        S: $tag OK
        C: $tag UID FETCH 1 (UID BODY.PEEK[]<8.*
        S: * 1 FETCH (UID 1 BODY[]<8> NIL)
        S: $tag OK";
    assert_eq!(whole(fetch_one(script, 2 << 20).await), b"one two ");
}

#[tokio::test]
async fn a_small_message_cut_short_is_fetched_to_its_end() {
    let script = "
        C: $tag UID FETCH 1 *
        S: * 1 FETCH (UID 1 BODY[]<0> \"one \")
        S: $tag OK
        C: $tag UID FETCH 1 (UID BODY.PEEK[]<4.*
        S: * 1 FETCH (UID 1 BODY[]<4> \"two\")
        S: $tag OK";
    let fetched = fetch_one(script, 7).await;
    assert!(matches!(&fetched.bytes, Bytes::Memory(bytes) if bytes == b"one two"));
}

#[tokio::test]
async fn a_server_without_partial_fetch_sends_the_whole_once() {
    let script = "
        C: $tag UID FETCH 2 *
        !half \"* 2 FETCH (UID 2 BODY[] {1500000}\\r\\n\"
        !fill 1500000
        S: )
        S: $tag OK
        C: $tag UID FETCH 1 *
        !half \"* 1 FETCH (UID 1 BODY[] {3000000}\\r\\n\"
        !fill 3000000
        S: )
        S: $tag OK";
    let fetched = fetch(script, &[item(1, 3_000_000), item(2, 9)]).await.expect("fetched");
    let sizes: Vec<usize> = fetched.into_iter().map(|f| whole(f).len()).collect();
    assert_eq!(sizes, [3_000_000, 1_500_000]);
}

#[tokio::test]
async fn a_wrong_piece_and_a_message_gone_halfway_are_told_apart() {
    let first = "C: $tag UID FETCH 1 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"one\")\nS: $tag OK\n";
    let script = format!("{first}C: $tag UID FETCH 1 *\nS: * 1 FETCH (UID 1 BODY[]<0> \"one\")\nS: $tag OK");
    let failure = fetch(&script, &[item(1, 2 << 20)]).await.expect_err("the wrong piece");
    assert!(failure.words.contains("another piece"), "{failure}");
    let script = format!("{first}C: $tag UID FETCH 1 *\nS: $tag OK none");
    let fetched = fetch(&script, &[item(1, 2 << 20)]).await.expect("fetched");
    assert!(matches!(fetched[0].bytes, Bytes::Gone));
}

#[tokio::test]
async fn what_would_exhaust_memory_or_stack_is_cut_off() {
    fetch_fails(
        "C: $tag UID FETCH 1:2 *\n!half \"* 1 FETCH (UID 1 BODY[] {500000000}\\r\\n\"\n!stall",
        "larger than",
    )
    .await;
    let deep = "(".repeat(5000);
    fetch_fails(&format!("C: $tag UID FETCH 1:2 *\nS: * 1 FETCH (BODYSTRUCTURE {deep}"), "nested deeper")
        .await;
    fetch_fails("C: $tag UID FETCH 1:2 *\n!half \"* OK \"\n!fill 1000000\n!stall", "a line longer").await;
}

#[tokio::test]
async fn what_the_parser_cannot_read_ends_the_session_and_shows_no_mail() {
    let unreadable =
        "C: $tag UID FETCH 1:2 *\n!half \"* 1 FETCH (UID 1 BODY[] ~{9}\\r\\nintimate!)\\r\\n\"\n!stall";
    let failure = fetch(unreadable, &[item(1, 9), item(2, 9)]).await.expect_err("unreadable");
    assert!(failure.words.contains("cannot be read"), "{failure}");
    assert!(!format!("{failure} {failure:?}").contains("intimate"), "{failure:?}");
    // imap-proto 0.17 panics on this one.
    fetch_fails("C: $tag UID FETCH 1:2 *\n!half \"* OK [ALERT]\\xc3\\xa4h\\r\\n\"\n!stall", "cannot be read")
        .await;
}

#[tokio::test]
async fn the_list_skips_deleted_mail_and_knows_each_message_once() {
    let script = format!(
        "{SELECTED}
        C: $tag UID FETCH 1:* (UID FLAGS RFC822.SIZE)
        S: * 3 FETCH (UID 30 FLAGS (\\Seen) RFC822.SIZE 300)
        S: * 1 FETCH (UID 10 FLAGS () RFC822.SIZE 100)
        S: * 4 FETCH (UID 40 FLAGS (\\deleted) RFC822.SIZE 400)
        S: * 2 FETCH (UID 20 FLAGS () RFC822.SIZE 9999999999)
        S: * 1 FETCH (UID 10 FLAGS (\\Seen))
        S: * 5 FETCH (FLAGS () RFC822.SIZE 500)
        S: * 6 EXISTS
        S: $tag OK
        C: $tag SELECT \"empty\"
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY 4294967295] fine
        S: $tag OK selected
        C: $tag SELECT \"no names\"
        S: * 1 EXISTS
        S: * NO [UIDNOTSTICKY] sorry
        S: $tag OK selected
        C: $tag LOGOUT
        S: * BYE bye
        S: $tag OK"
    );
    let (peer, mut source) = session(&script).await;
    let listing = source.open("INBOX").await.expect("listed");
    assert_eq!(listing.validity, 7);
    assert_eq!(listing.items, [item(10, 100), item(20, 1 << 32), item(30, 300)]);
    let empty = source.open("empty").await.expect("listed");
    assert!(empty.items.is_empty() && empty.validity == i64::from(u32::MAX));
    let failure = source.open("no names").await.expect_err("no UIDVALIDITY");
    assert_eq!(failure.lasting, Lasting::Permanent);
    source.close().await.expect("LOGOUT");
    peer.finish().await;
}

#[tokio::test]
async fn without_uidplus_nothing_is_expunged() {
    let peer = Peer::start(
        "S: * OK [CAPABILITY IMAP4rev1] ready
        C: $tag LOGIN *
        S: $tag OK [CAPABILITY IMAP4rev1] welcome
        C: $tag UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
        S: $tag OK stored
        C: $tag UID COPY 3 \"Done\"
        S: $tag NO [TRYCREATE] no such folder
        C: $tag CREATE \"Done\"
        S: $tag OK created
        C: $tag UID COPY 3 \"Done\"
        S: $tag OK copied
        C: $tag UID STORE 3 +FLAGS.SILENT (\\Deleted)
        S: $tag OK stored",
    )
    .await;
    let mut source = ImapSource::connect(peer.settings()).await.expect("logged in");
    for (ids, handled) in [
        (ids(&[item(1, 0), item(2, 0)]), Handled::Delete),
        (ids(&[item(3, 0)]), Handled::Move("Done".to_owned())),
    ] {
        let done = source.acknowledge(&ids, &handled).await.expect("flagged");
        assert!(done.words.starts_with("flagged \\Deleted only"), "{}", done.words);
    }
    drop(source);
    peer.finish().await;
}

#[tokio::test]
async fn a_refused_acknowledgement_is_a_failure_in_the_servers_words() {
    for (handled, script) in [
        (Handled::Delete, "C: $tag UID STORE *\nS: $tag NO read-only folder"),
        (
            Handled::Delete,
            "C: $tag UID STORE *\nS: $tag OK\nC: $tag UID EXPUNGE 5\nS: $tag NO read-only folder",
        ),
        (Handled::Seen, "C: $tag UID STORE 5 +FLAGS.SILENT (\\Seen)\nS: $tag NO read-only folder"),
        (Handled::Move("x".to_owned()), "C: $tag UID MOVE 5 \"x\"\nS: $tag NO read-only folder"),
        (
            Handled::Move("x".to_owned()),
            "C: $tag UID MOVE 5 \"x\"\nS: $tag NO [TRYCREATE]\nC: $tag CREATE \"x\"\nS: $tag NO read-only folder",
        ),
    ] {
        let (peer, mut source) = session(script).await;
        let failure = source.acknowledge(&["5".to_owned()], &handled).await.expect_err("refused");
        assert!(failure.is_temporary() && failure.words.contains("NO read-only folder"), "{failure}");
        drop(source);
        peer.finish().await;
    }
}

#[tokio::test]
async fn no_identifier_but_a_uid_reaches_the_wire() {
    let (peer, mut source) = session("!stall").await;
    for id in ["1:*", "", "4294967296", "5 EXPUNGE"] {
        let failure = source.acknowledge(&[id.to_owned()], &Handled::Delete).await.expect_err("no UID");
        assert_eq!(failure.lasting, Lasting::Permanent);
    }
    drop(source);
    peer.finish().await;
}
