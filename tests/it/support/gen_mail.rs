//! The mail of gen.py, the generator of mixed mail that lies beside the checkout.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::{bench_folder, find_program, skipped};

pub struct Generator {
    program: PathBuf,
    folder: tempfile::TempDir,
    messages: usize,
    seeds: usize,
}

impl Generator {
    /// `None` where it cannot be run here: the reason has been printed.
    pub fn find(messages: usize, seeds: usize) -> Option<Generator> {
        let Some(bench) = bench_folder() else {
            skipped("no gen.py in ../shared/bench; MAILDESK_BENCH names its folder");
            return None;
        };
        if find_program("python3").is_none() {
            skipped("no python3 here, which gen.py needs");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for the mail");
        Some(Generator { program: bench.join("gen.py"), folder, messages, seeds })
    }

    /// What comes first and becomes tickets.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mail = self.make("seeds", &[]);
        mail.seeds().map(|seed| mail.bytes(seed)).collect()
    }

    /// What comes then, with these tag lines of the seeds' tickets.
    pub fn mails(&self, tag_lines: &[String]) -> Vec<Vec<u8>> {
        let mail = self.make("mails", &["--tags", &self.tags(tag_lines)]);
        mail.messages().map(|message| mail.bytes(message)).collect()
    }

    /// The path of a file with these tag lines.
    pub fn tags(&self, tag_lines: &[String]) -> String {
        let tags = self.folder.path().join("tags");
        std::fs::write(&tags, tag_lines.join("\n") + "\n").expect("the tags file is written");
        tags.display().to_string()
    }

    /// Into a folder of this name. The seeds are the same each time.
    pub fn make(&self, name: &str, arguments: &[&str]) -> Mail {
        let folder = self.folder.path().join(name);
        let made = Command::new("python3")
            .arg(&self.program)
            .arg(&folder)
            .args(["-n", &self.messages.to_string(), "--seeds", &self.seeds.to_string()])
            .args(arguments)
            .output()
            .expect("python3 starts");
        assert!(made.status.success(), "gen.py: {}", String::from_utf8_lossy(&made.stderr));
        let manifest =
            std::fs::read_to_string(folder.join("manifest.jsonl")).expect("gen.py wrote a manifest");
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("manifest: {e} in {line}"));
        Mail { manifest: manifest.lines().map(read).collect(), folder }
    }
}

/// All that gen.py wrote in one go.
pub struct Mail {
    folder: PathBuf,
    pub manifest: Vec<Message>,
}

impl Mail {
    pub fn seeds(&self) -> impl Iterator<Item = &Message> {
        self.manifest.iter().filter(|m| m.kind == "seed")
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.manifest.iter().filter(|m| m.kind != "seed")
    }

    pub fn bytes(&self, message: &Message) -> Vec<u8> {
        std::fs::read(self.folder.join(&message.file)).expect("gen.py wrote the message")
    }
}

/// A line of gen.py's manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// The token that stands in its subject and in its text.
    pub key: String,
    pub kind: String,
    pub sub: String,
    pub msgid: String,
    /// Of which seed it speaks; a seed names itself.
    pub seed: Option<usize>,
    pub subject: String,
    file: PathBuf,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    Ticket,
    Comment,
    Note,
    Bounce,
}
