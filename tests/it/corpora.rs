//! Every mail that others collected is read without a fault, and as its collectors read it.
//!
//! The corpora are not part of the project: `MAILDESK_CORPORA` names their folder, else `../shared/corpora` is tried.

use std::path::{Path, PathBuf};

use maildesk::mail::{self, Attachment, Defect, Message};
use maildesk::triage::{self, Clues, Kind, Rules};

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
        let decision = triage::decide(&message, &Rules::default(), &Clues::none());
        for step in triage::Explanation::of(&message, &decision, &triage::Place::default()).trace {
            let is_silent = [&step.rule, &step.evidence, &step.verdict].iter().any(|w| w.trim().is_empty());
            assert!(!is_silent, "{}: {step:?}", file.display());
        }
    }
    println!("{} mails read", files.len());
}

#[test]
fn subject_sender_and_attachments_are_what_the_collectors_expect() {
    let Some(root) = corpora() else { return };
    let root = root.join("stalwart-mail-parser");
    let Ok(expected) = std::fs::read_to_string(root.join("expected.jsonl")) else {
        println!("skipped: no stalwart-mail-parser/expected.jsonl");
        return;
    };
    let (mut subjects, mut senders) = (Tally::default(), Tally::default());
    let (mut names, mut attachments) = (Tally::default(), Tally::default());
    for line in expected.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = row["file"].as_str().unwrap();
        let message = read(&root.join(file));
        if let Some(subject) = row["subject"].as_str().filter(|s| !s.trim().is_empty()) {
            let certain = message.subject_as_sent.as_ref().unwrap_or(&message.subject);
            subjects.compare(file, &spaced(subject), &spaced(certain));
        }
        if let Some(sender) = row["from"]["List"][0]["address"].as_str().filter(|s| s.contains('@')) {
            let said = message.from.map(|f| f.address.to_string()).unwrap_or_default();
            senders.compare(file, &sender.to_lowercase(), &said);
        }
        // Where the collectors' reader gave up on a raw byte of a name, ours does not.
        let is_readable = |s: &&str| !s.trim().is_empty() && !s.contains('\u{fffd}');
        for theirs in attached(&root.join(row["json"].as_str().unwrap()), &row["attachments"]) {
            // ADR 0028: where theirs gave up on a raw byte, any name will do.
            let is_it = |a: &&Attachment| {
                [a.content_type.as_str(), "/"].contains(&theirs.content_type.as_str())
                    && (a.name == theirs.name
                        || !theirs.name.is_empty() && !is_readable(&theirs.name.as_str()))
            };
            let found = message.attachments.iter().find(is_it);
            // A text without a name is shown among the words.
            let is_shown = theirs.last_word.as_ref().is_some_and(|word| message.text.contains(word));
            let said =
                if found.is_some() || is_shown { &theirs.content_type } else { "neither file nor words" };
            attachments.compare(file, &theirs.content_type, said);
            if is_readable(&theirs.name.as_str()) {
                names.compare(file, &theirs.name, found.map_or("", |a| &a.name));
            }
        }
    }
    subjects.reaches(99, "subjects");
    senders.reaches(99, "senders");
    names.reaches(99, "names of attachments");
    attachments.reaches(99, "attachments");
}

/// A part that the collectors count as an attachment.
struct Attached {
    /// Without a path, as ours; empty where it has none.
    name: String,
    /// `/` where the part states none.
    content_type: String,
    /// Of a text without a name; empty where the text is.
    last_word: Option<String>,
}

fn attached(json: &Path, attachments: &serde_json::Value) -> Vec<Attached> {
    let message: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let read = |part: &serde_json::Value| {
        let headers: Vec<&serde_json::Value> = part["headers"].as_array().into_iter().flatten().collect();
        let attributes = headers.iter().flat_map(|h| h["value"]["ContentType"]["attributes"].as_array());
        let named = attributes.flatten().find(|a| matches!(a["name"].as_str(), Some("filename" | "name")));
        let name = named.and_then(|a| a["value"].as_str()).unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default().trim().to_owned();
        let stated = headers.iter().find(|h| h["name"] == "content_type").map(|h| &h["value"]["ContentType"]);
        let half = |which: &str| stated.and_then(|s| s[which].as_str()).unwrap_or_default().to_lowercase();
        let text = part["body"]["Text"].as_str().filter(|_| name.is_empty());
        let last_word = text.map(|text| text.split_whitespace().next_back().unwrap_or_default().to_owned());
        let content_type = format!("{}/{}", half("c_type"), half("c_subtype"));
        Attached { name, content_type, last_word }
    };
    let indexes = attachments.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64);
    indexes.map(|at| read(&message["parts"][usize::try_from(at).expect("an index")])).collect()
}

/// What a decision without a desk says of a file: its kind, and the recipients of its report.
fn decided(path: &Path) -> (Kind, Vec<String>) {
    let decision = triage::decide(&read(path), &Rules::default(), &Clues::none());
    let mut named: Vec<String> =
        decision.bounces.iter().filter_map(|b| b.recipient.as_ref().map(ToString::to_string)).collect();
    named.sort();
    named.dedup();
    (decision.kind, named)
}

fn rows(folder: &Path) -> Vec<serde_json::Value> {
    let Ok(expected) = std::fs::read_to_string(folder.join("expected.jsonl")) else {
        println!("skipped: no {}/expected.jsonl", folder.display());
        return vec![];
    };
    expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted<'v>(addresses: impl Iterator<Item = Option<&'v str>>) -> Vec<String> {
    let mut all: Vec<String> = addresses.flatten().map(str::to_lowercase).filter(|a| !a.is_empty()).collect();
    all.sort();
    all.dedup();
    all
}

/// Which recipients a report names. The share of files whose whole set is right.
#[test]
fn reports_name_the_recipients_that_the_collectors_expect() {
    let Some(root) = corpora() else { return };
    let mut sets = Tally::default();
    let folder = root.join("sisimai");
    for row in rows(&folder).iter().filter(|r| r["group"] == "maildir/bsd") {
        let expected = row["expected"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_report = |e: &serde_json::Value| {
            !matches!(e["reason"].as_str(), Some("vacation" | "feedback" | "delivered"))
        };
        let is_sure = row["recipient_confidence"] != "sisimai-only"
            && row["label"].as_str().unwrap_or_default().starts_with("gold");
        if expected.is_empty() || !is_sure || !expected.iter().all(is_report) {
            continue;
        }
        let file = row["file"].as_str().unwrap();
        let want = sorted(expected.iter().map(|e| e["recipient"].as_str()));
        sets.compare(file, &want.join(" "), &decided(&folder.join(file)).1.join(" "));
    }
    for name in ["php-bounce-handler", "phpmailer-bmh"] {
        let folder = root.join(name);
        for row in rows(&folder).iter().filter(|r| r["votes_agree"].as_i64() >= Some(2)) {
            let want =
                sorted(row["consensus"].as_array().into_iter().flatten().map(serde_json::Value::as_str));
            if !want.is_empty() {
                let file = row["file"].as_str().unwrap();
                sets.compare(file, &want.join(" "), &decided(&folder.join(file)).1.join(" "));
            }
        }
    }
    sets.reaches(98, "sets of recipients");
}

#[test]
fn ordinary_mail_is_no_report_and_its_writers_are_no_machines() {
    let Some(root) = corpora() else { return };
    let folder = root.join("spamassassin-ham-sample");
    let is_ordinary =
        |r: &&serde_json::Value| r["is_bounce"] != true && r["flags"].as_array().is_none_or(Vec::is_empty);
    for row in rows(&folder).iter().filter(is_ordinary) {
        let file = row["file"].as_str().unwrap();
        assert_ne!(decided(&folder.join(file)).0, Kind::Bounce, "{file}");
    }
    let mut answers = Tally::default();
    for row in rows(&root.join("autoreply-index")) {
        let file = row["file"].as_str().unwrap();
        if !root.join(file).exists() {
            continue;
        }
        let kind = decided(&root.join(file)).0;
        match row["is_auto_response"] == true {
            true => answers.compare(file, "auto_reply", kind.as_str()),
            false => assert_ne!(kind, Kind::AutoReply, "{file}"),
        }
    }
    answers.reaches(90, "automatic answers");
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
