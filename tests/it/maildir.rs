//! The Maildir source on a real directory, with other clients that move its files about.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use maildesk::intake::source::{Bytes, Fetched, Handled, Item, SPOOL_FROM, Source as _};
use maildesk::sources::maildir::MaildirSource;
use tempfile::TempDir;

use crate::support::inbox::RestlessClient;
use crate::support::trial::{Letter, Trial, make_maildir, on_both_stores};

struct Maildir(TempDir);

impl Maildir {
    fn new() -> Maildir {
        let dir = TempDir::new().expect("a temporary directory");
        make_maildir(dir.path());
        Maildir(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, message: &[u8]) {
        fs::write(self.path(name), message).expect("our own directory");
    }

    fn source(&self) -> MaildirSource {
        MaildirSource::new(self.0.path())
    }

    /// `new/…` and `cur/…` of the Maildir at `root`.
    fn files(root: &Path) -> Vec<String> {
        let mut files = Vec::new();
        for sub in ["new", "cur"] {
            for entry in fs::read_dir(root.join(sub)).expect("a Maildir") {
                let name = entry.expect("readable").file_name();
                files.push(format!("{sub}/{}", name.to_string_lossy()));
            }
        }
        files.sort();
        files
    }
}

async fn list(source: &mut MaildirSource) -> Vec<Item> {
    source.open("").await.expect("a Maildir").items
}

fn ids(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.source_id.clone()).collect()
}

fn in_memory(fetched: &Fetched) -> &[u8] {
    match &fetched.bytes {
        Bytes::Memory(bytes) => bytes,
        other => panic!("in memory, not {other:?}"),
    }
}

#[tokio::test]
async fn both_directories_are_listed_in_order_of_delivery() {
    let maildir = Maildir::new();
    maildir.put("cur/1000000001.b.host:2,S", b"second");
    maildir.put("new/1000000002.c.host", b"third\n");
    maildir.put("new/999999999.a.host", b"1st");
    maildir.put("new/.hidden", b"no message");
    fs::create_dir(maildir.path("cur/a directory")).expect("our own directory");
    let mut source = maildir.source();
    assert_eq!(source.folders(), [""]);
    let listing = source.open("").await.expect("a Maildir");
    assert_eq!(listing.validity, 0);
    let items = listing.items;
    assert_eq!(ids(&items), ["999999999.a.host", "1000000001.b.host", "1000000002.c.host"]);
    assert_eq!(items.iter().map(|item| item.size).collect::<Vec<_>>(), [3, 6, 6]);
    let fetched = source.fetch(&items).await.expect("all");
    assert_eq!(fetched.iter().map(in_memory).collect::<Vec<_>>(), [&b"1st"[..], b"second", b"third\n"]);
    assert!(fetched.iter().all(|f| f.received.is_some()));
    assert_eq!(Maildir::files(maildir.0.path()).len(), 5, "nothing has moved");
}

#[tokio::test]
async fn a_moved_file_is_found_again_and_a_removed_one_is_gone() {
    let maildir = Maildir::new();
    maildir.put("new/1.moved", b"moved");
    maildir.put("new/2.removed", b"removed");
    let mut source = maildir.source();
    let items = list(&mut source).await;
    fs::rename(maildir.path("new/1.moved"), maildir.path("cur/1.moved:2,RS")).expect("our own file");
    fs::remove_file(maildir.path("new/2.removed")).expect("our own file");
    let fetched = source.fetch(&items).await.expect("two answers");
    assert_eq!(in_memory(&fetched[0]), b"moved");
    assert!(matches!(fetched[1].bytes, Bytes::Gone));
    assert_eq!(source.fetch_headers(&items[1], 10).await.expect("no failure"), None);
    source.acknowledge(&ids(&items), &Handled::Delete).await.expect("both are away");
    assert!(Maildir::files(maildir.0.path()).is_empty());
}

#[tokio::test]
async fn a_large_message_is_handed_over_as_its_file() {
    let maildir = Maildir::new();
    let message = vec![b'x'; SPOOL_FROM as usize + 1];
    maildir.put("new/1.large", &message);
    let mut source = maildir.source();
    let items = list(&mut source).await;
    let mut fetched = source.fetch(&items).await.expect("one");
    let Some(Fetched { bytes: Bytes::Spool(mut file, length), .. }) = fetched.pop() else {
        panic!("a file");
    };
    source.acknowledge(&ids(&items), &Handled::Delete).await.expect("unlinked, though open");
    let mut read = Vec::new();
    file.read_to_end(&mut read).expect("readable");
    assert!(read == message && length == message.len() as u64);
}

#[tokio::test]
async fn headers_end_at_the_blank_line() {
    let maildir = Maildir::new();
    maildir.put("new/1.lf", b"Subject: x\n\nbody\r\n\r\n");
    maildir.put("new/2.crlf", b"Subject: x\r\n\r\nbody\n\n");
    let mut source = maildir.source();
    let items = list(&mut source).await;
    for (item, headers) in items.iter().zip([&b"Subject: x\n\n"[..], b"Subject: x\r\n\r\n"]) {
        let read = source.fetch_headers(item, 1000).await.expect("readable").expect("there");
        assert_eq!(read, headers);
        let cut = source.fetch_headers(item, 3).await.expect("readable").expect("there");
        assert_eq!(cut, b"Sub");
    }
}

#[tokio::test]
async fn seen_mail_moves_to_cur_with_its_flag() {
    let maildir = Maildir::new();
    maildir.put("new/1.a", b"");
    maildir.put("cur/2.b:2,RT", b"");
    maildir.put("cur/3.c:2,S", b"");
    let mut source = maildir.source();
    let items = list(&mut source).await;
    source.acknowledge(&ids(&items), &Handled::Seen).await.expect("flagged");
    let flagged = ["cur/1.a:2,S", "cur/2.b:2,RST", "cur/3.c:2,S"];
    assert_eq!(Maildir::files(maildir.0.path()), flagged);
    source.acknowledge(&ids(&items), &Handled::Seen).await.expect("once more is no harm");
    assert_eq!(Maildir::files(maildir.0.path()), flagged);
}

#[tokio::test]
async fn moving_makes_the_target_a_maildir() {
    let maildir = Maildir::new();
    let elsewhere = maildir.path("elsewhere/done");
    for (folder, target) in [
        ("Done/2026".to_owned(), maildir.path(".Done.2026")),
        (elsewhere.to_string_lossy().into_owned(), elsewhere.clone()),
    ] {
        maildir.put("new/1.a", b"one");
        maildir.put("cur/2.b:2,S", b"two");
        let mut source = maildir.source();
        let items = list(&mut source).await;
        source.acknowledge(&ids(&items), &Handled::Move(folder)).await.expect("moved");
        assert_eq!(Maildir::files(&target), ["cur/1.a:2,", "cur/2.b:2,S"]);
        assert!(Maildir::files(maildir.0.path()).is_empty());
    }
}

#[tokio::test]
async fn moving_never_overwrites_and_never_leaves_the_maildir_by_a_trick() {
    let maildir = Maildir::new();
    maildir.put("new/1.a", b"mine");
    fs::create_dir_all(maildir.path(".Done/cur")).expect("our own directory");
    maildir.put(".Done/cur/1.a:2,", b"other");
    let mut source = maildir.source();
    let ids = ids(&list(&mut source).await);
    let failure = source.acknowledge(&ids, &Handled::Move("Done".to_owned())).await.expect_err("taken");
    assert!(failure.to_string().contains("is there already"), "{failure}");
    assert_eq!(fs::read(maildir.path(".Done/cur/1.a:2,")).expect("there"), b"other");
    for folder in ["", "..", "../x", "/.."] {
        let moved = source.acknowledge(&ids, &Handled::Move(folder.to_owned())).await;
        assert!(moved.is_err(), "{folder:?}");
    }
    assert_eq!(Maildir::files(maildir.0.path()), ["new/1.a"]);
}

#[tokio::test]
async fn what_is_no_maildir_is_named() {
    let empty = TempDir::new().expect("a temporary directory");
    let failure = MaildirSource::new(empty.path()).open("").await.expect_err("no Maildir");
    assert!(failure.words.contains("is this a Maildir?"), "{failure}");
}

#[tokio::test]
async fn mail_that_another_client_moves_and_flags_is_listed_each_time() {
    let maildir = Maildir::new();
    let all = 100;
    for n in 0..all {
        maildir.put(&format!("new/{n}.a"), b"x\n");
    }
    let client = RestlessClient::start(maildir.0.path().to_owned());
    let mut source = maildir.source();
    for _ in 0..100 {
        let items = list(&mut source).await;
        assert_eq!(items.len(), all, "{items:?}");
        assert!(items.iter().all(|item| item.size == 2));
    }
    let items = list(&mut source).await;
    let fetched = source.fetch(&items).await.expect("all");
    assert!(fetched.iter().all(|f| in_memory(f) == b"x\n"));
    source.acknowledge(&ids(&items), &Handled::Delete).await.expect("deleted");
    drop(client);
    assert!(Maildir::files(maildir.0.path()).is_empty());
}

on_both_stores!(mail_that_another_client_moves_meanwhile_is_taken_in_once);

async fn mail_that_another_client_moves_meanwhile_is_taken_in_once(url: String) {
    let trial = Trial::new(&url).await;
    let client = RestlessClient::start(trial.folder.path().join("Maildir"));
    let mut count = 0;
    for _ in 0..5 {
        for _ in 0..30 {
            trial.deliver(&format!("{count}.a"), &Letter::new(&format!("m{count}")).bytes());
            count += 1;
        }
        trial.poll().await;
    }
    // What came to lie there while the last round listed.
    trial.poll().await;
    drop(client);
    assert_eq!((trial.remaining(), trial.tickets().await.len()), (0, count));
    assert_eq!(trial.states().await, vec!["acked"; count]);
    trial.assert_balanced().await;
}
