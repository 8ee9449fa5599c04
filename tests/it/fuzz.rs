//! The inputs of the fuzz targets, without a fuzzer: those that were written or found for them, those that were findings
//! once, and mutations of both. `scripts/fuzz` lets libFuzzer look for more.

#[path = "../../fuzz/src/checks/mod.rs"]
mod checks;

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::support::setting;

/// The inputs of a target, with the paths by which a failure is told.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for kind in ["corpus", "findings"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            found.push((path.display().to_string(), std::fs::read(&path).expect("our own file")));
        }
    }
    found.sort();
    found
}

fn holds(check: checks::Check, name: &str, bytes: &[u8]) {
    if std::panic::catch_unwind(|| check(bytes)).is_err() {
        panic!("{name} is a finding, see above:\n{}", bytes.escape_ascii());
    }
}

#[test]
fn every_input_that_is_kept_holds() {
    for (target, check) in checks::TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() >= 5, "{target} has {} inputs", inputs.len());
        inputs.iter().for_each(|(name, bytes)| holds(check, name, bytes));
    }
}

/// `MAILDESK_FUZZ_SEED=7` takes other ways than usual; MAILDESK_LONG goes further on them.
#[test]
fn mutations_of_them_hold() {
    let seed = setting("MAILDESK_FUZZ_SEED").and_then(|s| s.parse().ok()).unwrap_or(1);
    let time = Duration::from_millis(if setting("MAILDESK_LONG").is_some() { 20_000 } else { 300 });
    for (target, check) in checks::TARGETS {
        let seeds: Vec<Vec<u8>> = inputs(target).into_iter().map(|(_, bytes)| bytes).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let (started, mut rounds) = (Instant::now(), 0);
        while started.elapsed() < time {
            let bytes = mutated(&seeds, &mut random);
            holds(check, &format!("{target}, round {rounds} of seed {seed}"), &bytes);
            rounds += 1;
        }
        println!("{target}: {rounds} inputs");
    }
}

/// One input with pieces cut, doubled, changed, or taken from another.
fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    const WORDS: [&str; 10] =
        ["\r\n", "> ", "-- ", "<div ", "wrote:\n", "=?utf-8?B?", "begin 644 ", "\0", "\u{ff1a}", "From: "];
    let mut raw = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=raw.len());
        let length = random.random_range(0..=(raw.len() - at).min(200));
        match random.random_range(0..5) {
            0 => drop(raw.drain(at..at + length)),
            1 => {
                let piece = raw[at..at + length].repeat(random.random_range(1..20));
                raw.splice(at..at, piece).for_each(drop);
            }
            2 => raw[at..at + length].iter_mut().take(8).for_each(|b| *b = random.random()),
            3 => {
                let word = WORDS.choose(random).map_or(&b""[..], |w| w.as_bytes());
                raw.splice(at..at, word.iter().copied()).for_each(drop);
            }
            _ => {
                let other = seeds.choose(random).map_or(&b""[..], Vec::as_slice);
                let from = random.random_range(0..=other.len());
                let end = (from + random.random_range(0..300)).min(other.len());
                raw.splice(at..at + length, other[from..end].iter().copied()).for_each(drop);
            }
        }
    }
    raw.truncate(32 << 10);
    raw
}

/// The fuzz targets are built from the rooms that `fuzz/src/lib.rs` names: what those import must be among them.
#[test]
fn the_fuzz_targets_have_the_rooms_that_they_need() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = std::fs::read_to_string(root.join("fuzz/src/lib.rs")).expect("our own file");
    let rooms: Vec<&str> =
        lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(|l| l.trim_end_matches(';')).collect();
    let mut files: Vec<std::path::PathBuf> = rooms
        .iter()
        .flat_map(|r| [format!("src/{r}"), format!("src/{r}.rs")])
        .map(|p| root.join(p))
        .collect();
    while let Some(path) = files.pop() {
        if let Ok(entries) = std::fs::read_dir(&path) {
            files.extend(entries.map(|e| e.expect("an entry").path()));
        } else if let Ok(code) = std::fs::read_to_string(&path) {
            for import in code.split("crate::").skip(1) {
                let room =
                    import.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                assert!(room.is_empty() || rooms.contains(&room), "{} needs {room}", path.display());
            }
        }
    }
}
