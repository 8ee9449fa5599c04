//! Every mail that others collected is read without a fault, and as its collectors read it.
//!
//! The corpora are not part of the project: `MAILDESK_CORPORA` names their folder, else `../shared/corpora` is tried.

use std::path::{Path, PathBuf};

use maildesk::mail::{self, Defect, Message};

pub fn corpora() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test has no config")]
    let named = std::env::var("MAILDESK_CORPORA");
    let root = PathBuf::from(
        named.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora").into()),
    );
    if !root.is_dir() {
        println!("skipped: no corpora at {}", root.display());
        return None;
    }
    Some(root)
}

fn read(path: &Path) -> Message {
    let raw = std::fs::read(path).unwrap();
    mail::parse(&mail::scan(&mut raw.as_slice()).unwrap())
}

/// All files below any `data` folder.
fn mails(folder: &Path, in_data: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            mails(&path, in_data || path.ends_with("data"), found);
        } else if in_data {
            found.push(path);
        }
    }
}

#[test]
fn every_collected_mail_is_read_without_a_fault() {
    let Some(root) = corpora() else { return };
    let mut files = Vec::new();
    mails(&root, false, &mut files);
    assert!(!files.is_empty(), "no data folders below {}", root.display());
    for file in &files {
        let message = read(file);
        assert!(!message.defects.contains(&Defect::ParserPanicked), "{}", file.display());
        assert!(!message.text.contains('\0'), "{}", file.display());
    }
    println!("{} mails read", files.len());
}

#[test]
fn subject_and_sender_are_what_the_collectors_expect() {
    let Some(root) = corpora() else { return };
    let root = root.join("stalwart-mail-parser");
    let Ok(expected) = std::fs::read_to_string(root.join("expected.jsonl")) else {
        println!("skipped: no stalwart-mail-parser/expected.jsonl");
        return;
    };
    let (mut subjects, mut senders) = (Tally::default(), Tally::default());
    for line in expected.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = row["file"].as_str().unwrap();
        let message = read(&root.join(file));
        // Where the collectors' reader gave up on a raw byte, ours does not.
        let is_readable = |s: &&str| !s.trim().is_empty() && !s.contains('\u{fffd}');
        if let Some(subject) = row["subject"].as_str().filter(is_readable) {
            subjects.compare(file, &spaced(subject), &spaced(&message.subject));
        }
        if let Some(sender) = row["from"]["List"][0]["address"].as_str().filter(|s| s.contains('@')) {
            let said = message.from.map(|f| f.address.to_string()).unwrap_or_default();
            senders.compare(file, &sender.to_lowercase(), &said);
        }
    }
    subjects.reaches(97, "subjects");
    senders.reaches(97, "senders");
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Tally {
    right: usize,
    all: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn compare(&mut self, file: &str, expected: &str, said: &str) {
        self.all += 1;
        if expected == said {
            self.right += 1;
        } else {
            self.wrong.push(format!("{file}: expected {expected:?}, read {said:?}"));
        }
    }

    fn reaches(&self, percent: usize, what: &str) {
        println!("{what}: {}/{}\n{}", self.right, self.all, self.wrong.join("\n"));
        assert!(self.right * 100 >= self.all * percent, "{what}: {}/{}", self.right, self.all);
    }
}
