//! The peers that the tests run against, started privately on free ports, and stopped when dropped.

pub mod certs;
pub mod clamd;
pub mod cluster;
pub mod cutter;
pub mod dns;
pub mod dovecot;
pub mod gen_mail;
pub mod identity;
pub mod inbox;
pub mod listing;
pub mod peer;
pub mod postgres;
pub mod program;
pub mod scripted_smtp;
pub mod server;
pub mod shelf;
pub mod signer;
pub mod smtp;
pub mod source;
pub mod tokens;
pub mod trial;
pub mod web;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A setting of the test run, from the environment. Empty counts as not there.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests read their environment")]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the long tier is asked for (`scripts/test all`).
pub fn long_tier() -> bool {
    setting("MAILDESK_LONG").is_some_and(|value| value != "0")
}

/// Says in the test run's own output, where no capture hides it, that something was left out and why.
pub fn skipped(why: &str) {
    say(&format!("skipped {}: {why}\n", std::thread::current().name().unwrap_or("a test")));
}

/// Prints past libtest's capture, in one piece.
pub fn say(words: &str) {
    std::io::stderr().write_all(words.as_bytes()).expect("stderr is open");
}

/// Asks again and again until there is an answer. What it waits for is named when it does not come.
#[track_caller]
pub fn wait_until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < deadline, "waited {deadline:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program by its name, in PATH and where Debian keeps the daemons.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = setting("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The folder of gen.py, the generator of mixed mail, which lies beside the checkout and not in it.
pub fn bench_folder() -> Option<PathBuf> {
    let folder = setting("MAILDESK_BENCH")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bench"));
    folder.join("gen.py").is_file().then_some(folder)
}

/// The Rust files below a folder of the repository, each with its name and text; without those that are tests.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                found.push((name, std::fs::read_to_string(&path).expect("a source file is text")));
            }
        }
    }
    found.sort();
    found
}
