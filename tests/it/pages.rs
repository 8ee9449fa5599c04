//! What is generated for people at a terminal: manual pages that render without a word, completions that shells read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{find_program, skipped};

const PROGRAM: &str = env!("CARGO_BIN_EXE_maildesk");

#[track_caller]
fn maildesk(words: &[&str]) -> String {
    let said = Command::new(PROGRAM).args(words).output().expect("maildesk starts");
    assert!(said.status.success(), "{words:?}: {said:?}");
    String::from_utf8(said.stdout).expect("text")
}

/// The pages in a folder, and their paths.
fn pages() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    maildesk(&["man", "--dir", &folder.path().display().to_string()]);
    let mut pages = vec![];
    for section in ["man1", "man5"] {
        let entries = std::fs::read_dir(folder.path().join(section)).expect("a section");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    pages.sort();
    (folder, pages)
}

#[test]
fn manual_pages_render_without_a_warning() {
    let (_folder, pages) = pages();
    assert!(pages.len() > 50, "{}", pages.len());
    let Some(groff) = find_program("groff") else {
        return skipped("there is no groff (the Debian package groff-base has it)");
    };
    let said = Command::new(groff)
        .args(["-man", "-Tutf8", "-ww", "-z"])
        .args(&pages)
        .output()
        .expect("groff starts");
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{words}");
    if let Some(mandoc) = find_program("mandoc") {
        let said = Command::new(mandoc).args(["-T", "lint", "-W", "warning"]).args(&pages).output();
        let said = said.expect("mandoc starts");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }
}

#[test]
fn man_shows_the_page_with_exit_codes_files_and_settings() {
    let Some(man) = find_program("man") else {
        return skipped("there is no man (the Debian package man-db has it)");
    };
    let (_folder, pages) = pages();
    let show = |name: &str| {
        let page = pages.iter().find(|page| page.ends_with(name)).unwrap_or_else(|| panic!("no {name}"));
        let mut command = Command::new(&man);
        command.arg("--warnings").arg("-l").arg(page).env("MANWIDTH", "100").env("MANPAGER", "cat");
        let said = command.env("LC_ALL", "C.UTF-8").output().expect("man starts");
        assert!(
            said.status.success() && said.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&said.stderr)
        );
        String::from_utf8_lossy(&said.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let program = show("maildesk.1");
    for words in [
        "EXIT STATUS 0 Done.",
        "75 Try again",
        "ENVIRONMENT MAILDESK_KEY The sealing key",
        "/etc/maildesk/config.toml The configuration otherwise",
    ] {
        assert!(program.contains(words), "{words:?} is not in {program}");
    }
    let config = show("maildesk-config.5");
    for words in ["[web]", "listen = \"127.0.0.1:8025\"", "[[mailbox]]", "name (must be given)"] {
        assert!(config.contains(words), "{words:?} is not in {config}");
    }
    assert!(show("maildesk-ticket-answer.1").contains("maildesk-ticket-answer - "));
    assert!(maildesk(&["man"]).starts_with(".ie"), "maildesk(1) alone goes to standard output");
}

#[test]
fn shells_read_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = maildesk(&["completions", shell]);
        assert!(script.contains("maildesk"), "{shell}");
        let Some(program) = find_program(shell) else {
            skipped(&format!("{shell} is not there to read its completions"));
            continue;
        };
        check_syntax(&program, &script);
    }
}

fn check_syntax(shell: &Path, script: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("completions");
    std::fs::write(&file, script).expect("written");
    let said = Command::new(shell).arg("-n").arg(&file).output().expect("the shell starts");
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{}: {words}", shell.display());
}
