//! The IMAP source against a real Dovecot: what is listed, fetched and acknowledged, byte for byte.

mod habits;
mod idle;
mod login;
mod oauth;

use maildesk::intake::source::{Bytes, Handled, Item, SPOOL_FROM, Source as _};
use maildesk::sources::ServerSettings;
use maildesk::sources::imap::{ImapSource, examine};

use crate::support::dovecot::{Account, Dovecot, WITHOUT_MOVE, WITHOUT_MOVE_AND_UIDPLUS, dovecot};
use crate::support::source::{HELLO, assert_headers_come_alone_and_cut, ids, whole};

fn settings(dovecot: &Dovecot, account: &Account) -> ServerSettings {
    dovecot.settings(account, dovecot.imap)
}

async fn connect(dovecot: &Dovecot, account: &Account) -> ImapSource {
    ImapSource::connect(settings(dovecot, account)).await.expect("the login works")
}

/// A session at an address where the server claims to know less.
async fn connect_at(host: &str, dovecot: &Dovecot, account: &Account) -> ImapSource {
    let settings = ServerSettings { host: host.to_owned(), ..settings(dovecot, account) };
    ImapSource::connect(settings).await.expect("the login works")
}

async fn list(source: &mut ImapSource) -> Vec<Item> {
    source.open("INBOX").await.expect("the inbox opens").items
}

#[tokio::test]
async fn mail_is_listed_in_order_and_fetched_without_a_trace() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for n in 0..5 {
        account.deliver(format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n)).as_bytes());
    }
    let mut source = connect(dovecot, &account).await;
    let listing = source.open("INBOX").await.expect("the inbox opens");
    assert!(listing.validity > 0);
    assert_eq!(ids(&listing.items), ["1", "2", "3", "4", "5"]);
    assert_eq!(listing.items[3].size, "Subject: 3\r\n\r\nxxx\r\n".len() as u64);
    let asked = [listing.items[4].clone(), listing.items[0].clone()];
    let fetched = source.fetch(&asked).await.expect("both");
    assert_eq!(fetched[0].source_id, "5");
    assert!(fetched[0].received.is_some());
    let bodies: Vec<Vec<u8>> = fetched.into_iter().map(whole).collect();
    assert_eq!(bodies, [&b"Subject: 4\r\n\r\nxxxx\r\n"[..], b"Subject: 0\r\n\r\n\r\n"]);
    source.close().await.expect("LOGOUT");
    assert!(account.files("").iter().all(|file| !file.contains('S')), "{:?}", account.files(""));
}

#[tokio::test]
async fn bytes_of_any_kind_arrive_exactly() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    // RFC 3501 §9 CHAR8 has no NUL, and Dovecot sends 0x80 in its place; `habits` has a server that does send it.
    let all: Vec<u8> = (1..=255).filter(|b| !b"\r\n".contains(b)).collect();
    let messages: [Vec<u8>; 4] = [
        [b"Subject: any\r\n\r\n", all.as_slice(), b"\r\n"].concat(),
        b"Subject: {5}\r\n\r\n) * BAD \"\\\r\n{3}\r\nm5 OK\r\n".to_vec(),
        b"no end of line".to_vec(),
        vec![0x80, 0xff, b'\r', b'\n'],
    ];
    for message in &messages {
        account.deliver(message);
    }
    // Not an exact copy: IMAP has CRLF line ends, and Dovecot makes them.
    account.deliver(b"Subject: bare\n\nlines\n");
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    let mut bodies: Vec<Vec<u8>> = source.fetch(&items).await.expect("all").into_iter().map(whole).collect();
    assert_eq!(bodies.pop().expect("five"), b"Subject: bare\r\n\r\nlines\r\n");
    assert_eq!(bodies, messages);
}

/// Deterministic lines that compress and repeat nowhere.
fn large(size: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    let mut n = 0u64;
    while message.len() < size {
        message.extend_from_slice(format!("{:020}\r\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).as_bytes());
        n += 1;
    }
    message.truncate(size);
    message
}

#[tokio::test]
async fn large_messages_are_spooled_exactly_and_in_their_place() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let mib = SPOOL_FROM as usize;
    let sizes = [100, mib, mib + 1, 2 * mib, 5 * mib + 12_345];
    for size in sizes {
        // A message may end without a line end; one with a bare CR or LF would not come back as it went.
        let mut message = large(size - 1);
        while message.ends_with(b"\r") || message.ends_with(b"\n") {
            message.pop();
        }
        message.resize(size, b'x');
        account.deliver(&message);
    }
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    assert_eq!(items.iter().map(|i| i.size as usize).collect::<Vec<_>>(), sizes);
    for (fetched, size) in source.fetch(&items).await.expect("all").into_iter().zip(sizes) {
        assert_eq!(matches!(fetched.bytes, Bytes::Spool(..)), size > mib, "{size}");
        let bytes = whole(fetched);
        assert_eq!(bytes.len(), size);
        let expected = large(size - 1);
        let same = bytes.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        assert!(same + 4 > expected.len(), "{size} bytes differ from {same} on");
    }
}

#[tokio::test]
async fn a_message_removed_meanwhile_is_gone_and_the_others_come() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    account.deliver(&large(SPOOL_FROM as usize + 10));
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    let mut other = connect(dovecot, &account).await;
    list(&mut other).await;
    other.acknowledge(&ids(&items), &Handled::Delete).await.expect("both deleted");
    account.deliver(HELLO);
    let still = list(&mut source).await;
    let fetched = source.fetch(&[items.clone(), still].concat()).await.expect("three answers");
    assert!(matches!(fetched[0].bytes, Bytes::Gone));
    assert!(matches!(fetched[1].bytes, Bytes::Gone));
    assert!(matches!(fetched[2].bytes, Bytes::Memory(_)));
    assert_eq!(source.fetch_headers(&items[0], 1000).await.expect("no failure"), None);
    source.acknowledge(&ids(&items), &Handled::Delete).await.expect("deleting what is gone is done");
}

#[tokio::test]
async fn headers_come_alone_and_cut() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    let mut source = connect(dovecot, &account).await;
    assert_headers_come_alone_and_cut(&mut source, "INBOX").await;
}

#[tokio::test]
async fn deleting_leaves_what_others_flagged() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for _ in 0..3 {
        account.deliver(HELLO);
    }
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    // Another client flags the third, and has not expunged yet.
    let mut other = connect_at(WITHOUT_MOVE_AND_UIDPLUS, dovecot, &account).await;
    list(&mut other).await;
    let flagged = other.acknowledge(&ids(&items[2..]), &Handled::Delete).await.expect("flagged");
    assert!(flagged.words.contains("flagged \\Deleted only"), "{}", flagged.words);
    assert_eq!(ids(&list(&mut source).await), ["1", "2"], "what is flagged is not listed");
    let done = source.acknowledge(&ids(&items[..1]), &Handled::Delete).await.expect("deleted");
    assert_eq!(done.words, "");
    assert_eq!(account.files("").len(), 2, "{:?}", account.files(""));
    assert_eq!(ids(&list(&mut source).await), ["2"]);
}

#[tokio::test]
async fn moving_creates_the_folder_with_and_without_move() {
    let Some(dovecot) = dovecot() else { return };
    for host in ["localhost", WITHOUT_MOVE, WITHOUT_MOVE_AND_UIDPLUS] {
        let account = dovecot.account();
        account.deliver(HELLO);
        account.deliver(HELLO);
        let mut source = connect_at(host, dovecot, &account).await;
        let items = list(&mut source).await;
        let to = Handled::Move("Erledigt/Für & wider".to_owned());
        let done = source.acknowledge(&ids(&items), &to).await.expect("moved");
        let is_whole = done.words.is_empty();
        assert_eq!(is_whole, host != WITHOUT_MOVE_AND_UIDPLUS);
        assert!(list(&mut source).await.is_empty());
        assert_eq!(account.files("Erledigt.F&APw-r &- wider").len(), 2, "{host}");
        assert_eq!(account.files("").len(), if is_whole { 0 } else { 2 }, "{host}");
    }
}

#[tokio::test]
async fn seen_mail_stays_and_is_flagged() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    account.deliver(HELLO);
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    source.acknowledge(&ids(&items[1..]), &Handled::Seen).await.expect("flagged");
    assert_eq!(list(&mut source).await.len(), 2);
    source.close().await.expect("LOGOUT");
    let files = account.files("");
    assert!(!files[0].contains('S') && files[1].ends_with(":2,S"), "{files:?}");
}

#[tokio::test]
async fn folders_have_names_in_any_script() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.make_folder("&U,BTFw-");
    let names = vec!["INBOX".to_owned(), "台北".to_owned(), "no \"such\" folder".to_owned()];
    let settings = ServerSettings { folders: names.clone(), ..settings(dovecot, &account) };
    let mut source = ImapSource::connect(settings.clone()).await.expect("the login works");
    assert_eq!(source.folders(), names);
    assert!(source.open("台北").await.expect("the folder opens").items.is_empty());
    let failure = source.open("no \"such\" folder").await.expect_err("no such folder");
    assert!(failure.is_temporary() && failure.words.contains("SELECT"), "{failure}");

    let report = examine(settings).await.expect("a report");
    assert!(report.has_uidplus && report.has_move && report.has_idle, "{report:?}");
    assert_eq!(report.folders.iter().map(|f| f.messages).collect::<Vec<_>>(), [Some(0), Some(0), None]);
    assert!(report.folders[2].words.contains("NO"), "{report:?}");
}

#[tokio::test]
async fn thousands_of_scattered_messages_go_in_lines_that_servers_take() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for _ in 0..3_000 {
        account.deliver(b"Subject: x\r\n\r\n");
    }
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    assert_eq!(items.len(), 3_000);
    let every_other: Vec<Item> = items.into_iter().step_by(2).collect();
    assert_eq!(source.fetch(&every_other).await.expect("all").len(), 1_500);
    source.acknowledge(&ids(&every_other), &Handled::Delete).await.expect("deleted");
    assert_eq!(list(&mut source).await.len(), 1_500);
}
