//! This machine: the key, the folders and their room, the clock, the socket, the backups.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::Context;
use super::super::checkup::{self, Checkup};
use super::senders::senders;
use crate::backup::Daily;
use crate::clock::Micros;
use crate::config::KeySource;
use crate::scanner::Scanner;

/// Below this the disk is as good as full, and below that somebody should look.
const NO_ROOM: u64 = 200 << 20;
const LITTLE_ROOM: u64 = 2 << 30;
/// More than that, and dates of mails and the times of retries are wrong.
const SKEW: i64 = 2 * 60 * Micros::SECOND;
/// A daily backup that was missed once.
const OLD: i64 = 36 * 3600 * Micros::SECOND;
const MB: u64 = 1_000_000;

pub async fn here(context: &Context) -> Vec<Checkup> {
    vec![
        key(context).await,
        spool(context).await,
        room(context).await,
        clock(context).await,
        scanner(context).await,
        senders(context).await,
        socket(context),
        backups(context).await,
        held(context).await,
    ]
}

async fn key(context: &Context) -> Checkup {
    let mut it = Checkup::of("key");
    let opened = async { context.store.read().await?.count_opened(&context.key).await };
    match opened.await {
        Ok((all, opened)) if all == opened => {
            it.ok(format!("the sealing key opens all {all} secrets of this desk"))
        }
        Ok((all, opened)) => it.fail(
            format!("the sealing key opens {opened} of {all} secrets"),
            "give the passwords anew (`maildesk mailbox edit`, `relay edit`), or restore a backup",
        ),
        Err(e) => it.fail(e.to_string(), "check the store"),
    }
    if let KeySource::Made(path) | KeySource::Given(path) = &context.config.keys {
        is_private(&mut it, path, "the sealing key");
    }
    let written = &context.config.written;
    let has_password = written.mailbox.iter().any(|m| m.password.0.is_some())
        || written.relay.iter().any(|r| r.password.0.is_some());
    if has_password {
        is_private(&mut it, &context.config.path, "the configuration, which holds passwords,");
    }
    it
}

fn is_private(it: &mut Checkup, path: &Path, what: &str) {
    match std::fs::metadata(path).map(|m| m.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o007 != 0 => it.fail(
            format!("{what} {} can be read by everybody (mode {mode:o})", path.display()),
            "`chmod 600` it, and change what stood in it",
        ),
        Ok(mode) if mode & 0o070 != 0 => {
            it.warn(
                format!("{what} {} can be read by its group (mode {mode:o})", path.display()),
                "`chmod 600` it",
            );
        }
        Ok(_) => {}
        Err(e) => it.warn(format!("{}: {e}", path.display()), ""),
    }
}

async fn spool(context: &Context) -> Checkup {
    let mut it = Checkup::of("here");
    let spool = &context.config.run.spool;
    match checkup::writable(spool).await {
        Ok(()) => it.ok(format!("the spool {} can be written to", spool.display())),
        Err(e) => it.fail(format!("spool: {e}"), "large mail cannot be taken in: see `spool` in [run]"),
    }
    it
}

/// The disks of store, spool and backups.
async fn room(context: &Context) -> Checkup {
    let mut it = Checkup::of("disk");
    let mut places: Vec<(&str, PathBuf)> = vec![("spool", context.config.run.spool.clone())];
    if let Some(folder) = context.store.folder() {
        places.push(("store", folder));
    }
    if context.config.backup.schedule.is_some() {
        places.push(("backups", context.config.backup.folder.clone()));
    }
    for (what, path) in places {
        // What is not made yet lies where its parent does.
        let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned();
        let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&there));
        let free = match looked.await {
            Ok(Ok(disk)) => disk.f_bavail * disk.f_frsize,
            Ok(Err(e)) => {
                it.warn(format!("{what} {}: {e}", path.display()), "");
                continue;
            }
            Err(_) => continue,
        };
        let words = format!("{what} {}: {} MB free", path.display(), free / MB);
        match free {
            0..NO_ROOM => it.fail(words, "nothing can be written soon: make room"),
            NO_ROOM..LITTLE_ROOM => it.warn(words, "make room before it is full"),
            _ => it.ok(words),
        }
    }
    it
}

/// Against the database's own, and against what was written before.
async fn clock(context: &Context) -> Checkup {
    let mut it = Checkup::of("clock");
    let now = context.clock.now();
    let asked = async { context.store.read().await?.other_clock().await };
    match asked.await {
        Ok(Some(other)) if (other.0 - now.0).abs() > SKEW => it.warn(
            format!("it says {}, and the database server says {}", now.rfc3339(), other.rfc3339()),
            "set both by NTP",
        ),
        Ok(_) => {}
        Err(e) => it.warn(e.to_string(), ""),
    }
    let newest = async { context.store.read().await?.last_kept().await };
    match newest.await {
        Ok(Some(newest)) if newest.0 - now.0 > SKEW => it.fail(
            format!("it says {}, but mail was taken in at {}: it went back", now.rfc3339(), newest.rfc3339()),
            "set it by NTP; mails that wait are sent late until then",
        ),
        Ok(_) => {}
        Err(e) => it.warn(e.to_string(), ""),
    }
    if it.findings.is_empty() {
        it.ok(format!("it says {}; `--mail` compares it with the servers' dates", now.rfc3339()));
    }
    it
}

/// Asked for its version: nothing is sent to be looked at.
async fn scanner(context: &Context) -> Checkup {
    let mut it = Checkup::of("virus scanner");
    let Some(settings) = context.config.virus_scanner.clone() else { return it };
    let address = settings.address.to_string();
    match (Scanner { settings }).version().await {
        Ok(version) => it.ok(format!("{address}: {version}")),
        Err(e) => it.fail(e.to_string(), "see that clamd runs, and that `[virus_scanner]` names its socket"),
    }
    it
}

fn socket(context: &Context) -> Checkup {
    let mut it = Checkup::of("socket");
    let path = &context.config.run.socket;
    let Ok(found) = std::fs::metadata(path) else {
        it.ok(format!("{}: no daemon answers there, commands open the store themselves", path.display()));
        return it;
    };
    match found.permissions().mode() & 0o777 {
        mode if mode & 0o007 != 0 => it.fail(
            format!(
                "{} is open to everybody (mode {mode:o}): whoever opens it may do everything",
                path.display()
            ),
            "restart the daemon: it makes it with mode 0660",
        ),
        mode => it.ok(format!("{} is open to owner and group (mode {mode:o})", path.display())),
    }
    it
}

async fn backups(context: &Context) -> Checkup {
    let mut it = Checkup::of("backups");
    let settings = &context.config.backup;
    if settings.schedule.is_none() {
        it.warn(
            "the daily backup is switched off",
            "set `schedule` in [backup], unless you take them by other means",
        );
    }
    if settings.passphrase_file.is_none() {
        it.ok("the daily backup is without the sealing key: keep a copy of the key file elsewhere");
    } else if let Err(words) = settings.passphrase() {
        it.fail(format!("passphrase_file: {words}"), "without it no backup is taken");
    }
    let last = async { context.store.read().await?.setting(crate::backup::LAST).await };
    let last = last.await.ok().flatten().and_then(|text| text.parse().ok()).map(Micros);
    let (now, newest) = (context.clock.now(), Daily::newest(settings));
    match last {
        None => it.warn("no daily backup was taken yet", "`maildesk backup FILE` takes one at once"),
        Some(last) if settings.schedule.is_some() && now.0 - last.0 > OLD => it.fail(
            format!("the last one is of {}", last.rfc3339()),
            "`maildesk alert list` says why; `maildesk backup FILE` takes one at once",
        ),
        Some(last) => match newest {
            Some(file) => it.ok(format!("the last one is of {}: {}", last.rfc3339(), file.display())),
            None => it.warn(
                format!(
                    "the last one is of {}, and none lies in {}",
                    last.rfc3339(),
                    settings.folder.display()
                ),
                "see whether somebody moved them",
            ),
        },
    }
    it
}

/// After a restore.
async fn held(context: &Context) -> Checkup {
    let mut it = Checkup::of("desk");
    let asked = async {
        let mut tx = context.store.read().await?;
        Ok::<_, crate::store::Error>((tx.held().await?, tx.held_mails().await?.len()))
    };
    let Ok((held, mails)) = asked.await else { return it };
    if let Some(words) = held {
        it.warn(words, "look around, then let it go live");
    }
    if mails > 0 {
        it.warn(
            format!("{mails} mails wait in hold since a restore"),
            "`maildesk queue list --state held`, then `queue release` or `queue cancel`",
        );
    }
    it
}
