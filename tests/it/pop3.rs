//! The POP3 source against a real Dovecot: what is listed, fetched and deleted, byte for byte, also over a wire that is
//! cut.

mod cut;
mod habits;
mod login;
mod oauth;
mod operator;

use maildesk::failure::Lasting;
use maildesk::intake::source::{Bytes, Handled, Item, SPOOL_FROM, Source as _};
use maildesk::sources::ServerSettings;
use maildesk::sources::pop3::{Pop3Source, examine};

use crate::support::dovecot::{Account, Dovecot, WITH_POP3_LOCK, dovecot};
use crate::support::source::{HELLO, assert_headers_come_alone_and_cut, ids, refusal, whole};

fn settings(dovecot: &Dovecot, account: &Account) -> ServerSettings {
    dovecot.settings(account, dovecot.pop3)
}

async fn connect(dovecot: &Dovecot, account: &Account) -> Pop3Source {
    Pop3Source::connect(settings(dovecot, account)).await.expect("the login works")
}

async fn list(source: &mut Pop3Source) -> Vec<Item> {
    source.open("").await.expect("the mailbox opens").items
}

#[tokio::test]
async fn mail_is_listed_in_order_and_fetched_in_any_order() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let mut source = connect(dovecot, &account).await;
    assert!(list(&mut source).await.is_empty());
    source.close().await.expect("QUIT");
    for n in 0..5 {
        account.deliver(format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n)).as_bytes());
    }
    let mut source = connect(dovecot, &account).await;
    assert_eq!(source.folders(), [""]);
    let listing = source.open("").await.expect("the mailbox opens");
    assert_eq!((listing.validity, listing.items.len()), (0, 5));
    assert_eq!(listing.items[3].size, "Subject: 3\r\n\r\nxxx\r\n".len() as u64);
    let asked = [listing.items[4].clone(), listing.items[0].clone()];
    let fetched = source.fetch(&asked).await.expect("both");
    assert_eq!(fetched[0].source_id, asked[0].source_id);
    let bodies: Vec<Vec<u8>> = fetched.into_iter().map(whole).collect();
    assert_eq!(bodies, [&b"Subject: 4\r\n\r\nxxxx\r\n"[..], b"Subject: 0\r\n\r\n\r\n"]);
    source.close().await.expect("QUIT");
    // The same ids in the next session.
    assert_eq!(list(&mut connect(dovecot, &account).await).await, listing.items);
}

#[tokio::test]
async fn bytes_of_any_kind_arrive_exactly() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let all: Vec<u8> = (0..=255).filter(|b| !b"\r\n".contains(b)).collect();
    let messages: [Vec<u8>; 5] = [
        [b"Subject: any\r\n\r\n", all.as_slice(), b"\r\n"].concat(),
        b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n\r\n.\r\n".to_vec(),
        b"\r\n.\r\n".to_vec(),
        b"Subject: ends\r\n\r\n+OK\r\n-ERR\r\n\r\n\r\n".to_vec(),
        vec![0x80, 0xff, b'\r', b'\n'],
    ];
    for message in &messages {
        account.deliver(message);
    }
    // Not exact copies: a multi-line answer has CRLF line ends, and one at its end.
    account.deliver(b"Subject: bare\n\n.\nlines\n");
    account.deliver(b"no end of line.");
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    let mut bodies: Vec<Vec<u8>> = source.fetch(&items).await.expect("all").into_iter().map(whole).collect();
    assert_eq!(bodies.pop().expect("seven"), b"no end of line.\r\n");
    assert_eq!(bodies.pop().expect("six"), b"Subject: bare\r\n\r\n.\r\nlines\r\n");
    assert_eq!(bodies, messages);
}

#[tokio::test]
async fn large_messages_are_spooled_exactly_and_in_their_place() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let line = |n: u64| format!(".{:020}\r\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let made: Vec<Vec<u8>> = [100u64, SPOOL_FROM - 100, SPOOL_FROM + 100, 5 << 20]
        .map(|size| (0..=size / 23).flat_map(|n| line(n).into_bytes()).collect::<Vec<u8>>())
        // Dovecot does not stuff a dot that is the first byte of all.
        .map(|lines| [b"\r\n".to_vec(), lines].concat())
        .to_vec();
    for message in &made {
        account.deliver(message);
    }
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    for (fetched, message) in source.fetch(&items).await.expect("all").into_iter().zip(&made) {
        assert_eq!(matches!(fetched.bytes, Bytes::Spool(..)), message.len() as u64 > SPOOL_FROM);
        let found = whole(fetched);
        let same = found.iter().zip(message).take_while(|(a, b)| a == b).count();
        assert!(found == *message, "{} bytes came of {}, the same up to {same}", found.len(), message.len());
    }
}

#[tokio::test]
async fn a_message_removed_meanwhile_is_gone_and_the_others_come() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for n in 0..3 {
        account.deliver(format!("Subject: {n}\r\n\r\n{n}\r\n").as_bytes());
    }
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    source.acknowledge(&ids(&items[..1]), &Handled::Delete).await.expect("marked");
    let second = &account.files("")[1];
    let removed = ["new", "cur"].map(|sub| std::fs::remove_file(account.maildir.join(sub).join(second)));
    assert!(removed.iter().any(Result::is_ok), "{removed:?}");
    let fetched = source.fetch(&items[1..]).await.expect("two answers");
    assert!(matches!(fetched[0].bytes, Bytes::Gone), "{fetched:?}");
    assert!(matches!(&fetched[1].bytes, Bytes::Memory(bytes) if bytes.ends_with(b"2\r\n")), "{fetched:?}");
    assert_eq!(source.fetch_headers(&items[1], 1000).await.expect("no failure"), None);
    source.acknowledge(&ids(&items[1..]), &Handled::Delete).await.expect("what is gone needs no DELE");
    source.close().await.expect("QUIT");
    assert!(account.files("").is_empty(), "{:?}", account.files(""));
}

#[tokio::test]
async fn headers_come_alone_and_cut() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    let mut source = connect(dovecot, &account).await;
    assert_headers_come_alone_and_cut(&mut source, "").await;
}

#[tokio::test]
async fn mail_is_deleted_by_quit_and_not_before() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for _ in 0..120 {
        account.deliver(HELLO);
    }
    for (closes, left) in [(false, 120), (true, 1)] {
        let mut source = connect(dovecot, &account).await;
        let items = list(&mut source).await;
        let told = source.acknowledge(&ids(&items[1..]), &Handled::Delete).await.expect("marked");
        assert!(told.holds_after_close && told.words.is_empty(), "{told:?}");
        assert_eq!(account.files("").len(), 120);
        match closes {
            true => source.close().await.expect("QUIT"),
            false => drop(source),
        }
        assert_eq!(account.files("").len(), left);
    }
}

#[tokio::test]
async fn a_session_held_by_another_client_is_told_as_such() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    let locked = ServerSettings { host: WITH_POP3_LOCK.to_owned(), ..settings(dovecot, &account) };
    let other = Pop3Source::connect(locked.clone()).await.expect("the first comes in");
    // Dovecot waits some seconds for the other to end.
    let failure = refusal(Pop3Source::connect(locked.clone()).await);
    assert!(failure.is_temporary(), "{failure:?}");
    assert!(failure.words.contains("another client has the mailbox of"), "{failure}");
    assert!(failure.words.contains("-ERR [IN-USE] Mailbox is locked by another POP3 session"), "{failure}");
    other.close().await.expect("QUIT");
    assert_eq!(list(&mut Pop3Source::connect(locked).await.expect("now")).await.len(), 1);
}

#[tokio::test]
async fn handled_mail_can_only_be_deleted() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    let mut source = connect(dovecot, &account).await;
    let items = list(&mut source).await;
    for handled in [Handled::Seen, Handled::Move("Done".to_owned())] {
        let failure = source.acknowledge(&ids(&items), &handled).await.expect_err("refused");
        assert_eq!(failure.lasting, Lasting::Permanent);
    }
    source.close().await.expect("QUIT");
    assert_eq!(account.files("").len(), 1);
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(HELLO);
    let report = examine(settings(dovecot, &account)).await.expect("a report");
    assert_eq!((report.messages, report.unlisted.as_str(), report.has_top), (1, "", true), "{report:?}");
    assert!(report.capabilities.contains(&"UIDL".to_owned()), "{report:?}");
    assert_eq!(account.files("").len(), 1);
}
