//! The contract of the store: every public function of it does the same on SQLite and on PostgreSQL.
//!
//! A scenario is written once and runs on both engines (`on_both!`), each on a fresh, empty database. What it asserts is
//! what callers lean on: what is there afterwards, what is refused, what two at a time may do. One file a table or
//! question, as in `src/store`. The last tests read the sources: no function of the store is forgotten here, and none is
//! there that only this contract calls.

#[macro_use]
mod world;

mod alerts;
mod arrivals;
mod balance;
mod clues;
mod contacts;
mod copies;
mod counters;
mod delivery;
mod events;
mod folders;
mod health;
mod hold;
mod jobs;
mod journal;
mod leases;
mod listing;
mod loops;
mod oauth;
mod opening;
mod outbox;
mod provisioning;
mod queues;
mod raw;
mod refusals;
mod rules;
mod secrets;
mod settings;
mod shadows;
mod tickets;

use std::path::{Path, PathBuf};

/// Functions that need no call of their own here, and why.
const NEED_NO_CALL: &[(&str, &str)] = &[
    ("hold_again", "tests/it/failures/store.rs, with a PostgreSQL that goes and comes back"),
    ("connect_within", "tests/it/failures/store.rs, with a store that is locked"),
    ("note_mail", SILENCE),
    ("quiet_mailboxes", SILENCE),
    ("times_of_mail", SILENCE),
    ("events_behind", UNDELIVERED),
    ("set_cursor", UNDELIVERED),
    ("failed_deliveries", UNDELIVERED),
    ("hold_within", "tests/it/deliver, where calls of deliver wait for each other"),
    ("connect_existing", "tests/it/deliver, which makes no store"),
    ("remember", CLUSTER),
    ("hold_behind", CLUSTER),
    ("fell_behind", CLUSTER),
    ("held", CLUSTER),
    ("restore_as_it_stands", CLUSTER),
    ("move_to", MOVING),
    ("connect_target", MOVING),
    ("stay", MOVING),
    ("require_ready", MOVING),
    ("take_waits_back", "tests/it/failures/clock.rs, on both stores"),
];
const CLUSTER: &str = "tests/it/failures/cluster.rs, with failovers of a real PostgreSQL";
const MOVING: &str = "tests/it/moving.rs, with the real program";
const SILENCE: &str = "tests/it/failures/told.rs, on both stores, through weeks of mail";
const UNDELIVERED: &str = "tests/it/failures/told.rs, on both stores, with a relay that refuses";

#[test]
fn every_function_of_the_store_is_called_by_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract: String =
        texts(&root.join("tests/it/store_contract")).into_iter().map(|(_, text)| text).collect();
    let mut found = 0;
    let mut forgotten = vec![];
    for (file, text) in texts(&root.join("src/store")) {
        for name in public_functions(&text) {
            found += 1;
            let is_called = [".", "::"].iter().any(|before| contract.contains(&format!("{before}{name}(")));
            if !is_called && !NEED_NO_CALL.iter().any(|(allowed, _)| *allowed == name) {
                forgotten.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(found > 100, "only {found} functions were found: the sources are read wrongly");
    assert!(forgotten.is_empty(), "never called in tests/it/store_contract:\n{}", forgotten.join("\n"));
    for (name, why) in NEED_NO_CALL {
        assert!(!why.is_empty() && !contract.contains(&format!(".{name}(")), "{name} need not be allowed");
    }
}

#[test]
fn every_function_of_the_store_is_called_by_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program: String = texts(&root.join("src")).into_iter().map(|(_, text)| text).collect();
    for (file, text) in texts(&root.join("src/store")) {
        for name in public_functions(&text) {
            let is_called = [".", "::"].iter().any(|before| program.contains(&format!("{before}{name}(")));
            assert!(is_called, "nothing in src calls {name} of {}", file.display());
        }
    }
}

/// The names behind `pub async fn`.
fn public_functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("pub async fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next())
}

/// The Rust files under a folder, unit tests left out.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).expect("the sources lie beside the manifest") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            found.push((path, text));
        }
    }
    found
}
