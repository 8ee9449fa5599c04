//! The mail of gen.py, the generator of mixed mail that lies beside the checkout, for tests in this process.

use std::path::PathBuf;
use std::process::Command;

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
        self.run("seeds", &[], true)
    }

    /// What comes then, with these tag lines of the seeds' tickets.
    pub fn mails(&self, tag_lines: &[String]) -> Vec<Vec<u8>> {
        let tags = self.folder.path().join("tags");
        std::fs::write(&tags, tag_lines.join("\n") + "\n").expect("the tags file is written");
        self.run("mails", &["--tags", &tags.display().to_string()], false)
    }

    fn run(&self, name: &str, arguments: &[&str], of_seeds: bool) -> Vec<Vec<u8>> {
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
        let lines =
            manifest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        lines
            .filter(|line| (line["kind"] == "seed") == of_seeds)
            .map(|line| folder.join(line["file"].as_str().expect("a file")))
            .map(|file| std::fs::read(file).expect("gen.py wrote the message"))
            .collect()
    }
}
