//! What is said when a store does not open: where, what to do, and never the password.

use std::path::Path;

use maildesk::store::{Error, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{postgres, server};

/// What is said instead of opening it.
async fn said(url: &str) -> Error {
    let error = Store::connect(url).await.expect_err("it does not open");
    let words = error.to_string();
    assert!(!words.contains("s3cret") && !format!("{error:?}").contains("s3cret"), "{words}");
    assert!(!words.contains("(code:"), "{words}");
    error
}

#[track_caller]
fn assert_lasting(error: &Error, parts: &[&str]) {
    assert!(matches!(error, Error::CannotOpen(_)) && !error.is_temporary(), "{error:?}");
    assert_holds(error, parts);
}

#[track_caller]
fn assert_passing(error: &Error, parts: &[&str]) {
    assert!(matches!(error, Error::Unreachable(_)) && error.is_temporary(), "{error:?}");
    assert_holds(error, parts);
}

#[track_caller]
fn assert_holds(error: &Error, parts: &[&str]) {
    let words = error.to_string();
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in: {words}");
    }
}

fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

#[tokio::test]
async fn an_address_of_neither_engine_is_refused() {
    for url in ["", "desk.db", "mysql://root:s3cret@127.0.0.1/desk", "/var/lib/maildesk/desk.db"] {
        assert!(matches!(said(url).await, Error::BadUrl), "{url}");
    }
    assert_lasting(&said("postgres://me:s3cret@127.0.0.1:port/desk").await, &["store.url", "port"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not there/desk.db");
    let words = [folder.path().join("not there").display().to_string(), "create it".to_owned()];
    assert_lasting(&said(&sqlite(&path)).await, &[&words[0], &words[1]]);
    assert!(!path.exists());
    assert_lasting(&said(&sqlite(folder.path())).await, &["is a folder"]);
}

#[tokio::test]
async fn a_file_that_may_not_be_made_is_named_with_the_reason() {
    // Nobody makes files there, not even root.
    assert_lasting(&said("sqlite:/proc/desk.db").await, &["/proc/desk.db cannot be made ("]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "s3cret notes\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    assert_lasting(
        &said(&sqlite(&path)).await,
        &["notes.txt is not a SQLite database", "nothing was changed"],
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
}

#[tokio::test]
async fn a_damaged_file_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.db");
    let store = Store::connect(&sqlite(&path)).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..16384].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    assert_lasting(&said(&sqlite(&path)).await, &["desk.db is damaged", "restore the last backup"]);
}

/// A small file system in a folder; only root may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then(|| SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|done| done.success()), "{} is still mounted", self.0.path().display());
    }
}

#[tokio::test]
async fn a_full_disk_is_called_so() {
    let Some(disk) = SmallDisk::new() else {
        crate::support::skipped("a small file system cannot be mounted here");
        return;
    };
    let (path, filler) = (disk.0.path().join("desk.db"), disk.0.path().join("filler"));
    assert!(std::fs::write(&filler, vec![0; 20 << 20]).is_err(), "the disk is full now");
    assert_passing(&said(&sqlite(&path)).await, &["the disk is full", "desk.db"]);
    std::fs::remove_file(&filler).unwrap();
    let store = Store::connect(&sqlite(&path)).await.unwrap();
    store.migrate().await.unwrap();
    assert!(std::fs::write(&filler, vec![0; 20 << 20]).is_err());
    let write = async || {
        let mut tx = store.write().await?;
        for n in 0..100 {
            tx.set_setting(&n.to_string(), &"x".repeat(10_000)).await?;
        }
        tx.commit().await
    };
    let error = write().await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert_holds(&error, &["the disk is full"]);
    std::fs::remove_file(&filler).unwrap();
    write().await.expect("with space it goes on, without a restart");
    store.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_named() {
    let port = server::free_port();
    let error = said(&format!("postgres://me:s3cret@127.0.0.1:{port}/desk")).await;
    assert_passing(
        &error,
        &[&format!("PostgreSQL at 127.0.0.1:{port} refuses the connection"), "listen_addresses"],
    );
}

#[tokio::test]
async fn a_host_without_an_address_is_named() {
    let error = said("postgres://me:s3cret@nowhere.invalid/desk").await;
    assert_passing(&error, &["PostgreSQL at nowhere.invalid:5432", "store.url"]);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let Some(url) = postgres::database() else { return };
    let (server, _) = url.rsplit_once('/').unwrap();
    let error = said(&format!("{server}/not-made")).await;
    assert_lasting(&error, &["has no database \"not-made\"", "createdb", "127.0.0.1:"]);
}

#[tokio::test]
async fn a_user_that_is_not_known_is_named() {
    let Some(url) = postgres::database() else { return };
    let url = url.replace("postgres://postgres@", "postgres://stranger:s3cret@");
    assert_lasting(&said(&url).await, &["does not let user \"stranger\" in", "pg_hba.conf"]);
}

/// A server that answers whoever comes with one error.
async fn answering(code: &'static str, message: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "a listener of the tests")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            // PostgreSQL 15, 55.2.10: a request for TLS has eight bytes, and N says: go on without.
            let mut length = stream.read(&mut request).await.unwrap_or(0);
            if length == 8 {
                stream.write_all(b"N").await.ok();
                length = stream.read(&mut request).await.unwrap_or(0);
            }
            assert!(length > 8, "it says who it is");
            let mut body = vec![];
            for (field, value) in [("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", message)] {
                body.extend_from_slice(format!("{field}{value}\0").as_bytes());
            }
            body.push(0);
            let mut answer = vec![b'E'];
            answer.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            answer.extend_from_slice(&body);
            stream.write_all(&answer).await.ok();
        }
    });
    format!("postgres://me:s3cret@127.0.0.1:{port}/desk")
}

#[tokio::test]
async fn what_a_server_says_is_passed_on_with_what_to_do() {
    let url = answering("28P01", "password authentication failed for user \"me\"").await;
    assert_lasting(
        &said(&url).await,
        &["127.0.0.1:", "user \"me\"", "password authentication failed", "percent-encoded"],
    );
    let url = answering("53300", "sorry, too many clients already").await;
    assert_passing(&said(&url).await, &["no connection left", "max_connections"]);
    let url = answering("57P03", "the database system is starting up").await;
    assert_passing(&said(&url).await, &["is not ready yet"]);
    let url = answering("58000", "out of luck").await;
    assert_passing(&said(&url).await, &["PostgreSQL at 127.0.0.1:", "out of luck"]);
}
