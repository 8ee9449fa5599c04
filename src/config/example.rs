//! `config example` and `config show`, from the definition of the sections.

use std::fmt::Write as _;

use super::backup::BackupSection;
use super::base::{KeysSection, RunSection, StoreSection};
use super::load::File;
use super::section::{Key, Section, Shown};
use super::{AccountSection, MailboxSection, RelaySection, TypeSection};

/// The commented example: every key with its manual text; what is commented out is the default or an example.
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of maildesk. `maildesk config check` reads it and says what is wrong, with the line.\n\
         # Paths are relative to the folder of this file. What is declared here is set up at start and read-only for\n\
         # commands; what leaves this file is switched off, never deleted.\n",
    );
    section::<StoreSection>(&mut text, "[store]");
    section::<KeysSection>(&mut text, "[keys]");
    section::<RunSection>(&mut text, "[run]");
    section::<BackupSection>(&mut text, "[backup]");
    section::<RelaySection>(&mut text, "[[relay]]");
    section::<MailboxSection>(&mut text, "[[mailbox]]");
    section::<TypeSection>(&mut text, "[[type]]");
    section::<AccountSection>(&mut text, "[[account]]");
    text
}

fn section<S: Section>(text: &mut String, head: &str) {
    text.push('\n');
    comment(text, S::ABOUT);
    line(text, head);
    let defaults = toml::Table::try_from(S::default()).expect("a section's defaults are plain TOML values");
    for key in S::KEYS {
        comment(text, key.manual);
        line(text, &key_line(key, &defaults));
    }
}

fn key_line(key: &Key, defaults: &toml::Table) -> String {
    let name = key.name;
    match key.shown {
        Shown::Required(value) | Shown::Live(value) => format!("{name} = {value}"),
        Shown::Example(value) => format!("# {name} = {value}"),
        Shown::Default => format!("# {name} = {}", defaults[name]),
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for words in lines {
        line(text, &format!("#{words}"));
    }
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{words}").expect("writing to a String cannot fail");
}

/// The effective configuration as TOML: defaults filled in, secrets as `***`.
pub fn show(file: &File) -> String {
    toml::to_string(&shown(file)).expect("a file that was read as TOML is written as TOML")
}

/// The effective configuration as JSON.
pub fn show_json(file: &File) -> serde_json::Value {
    serde_json::to_value(shown(file)).expect("sections are maps with text keys")
}

fn shown(file: &File) -> File {
    let mut file = file.clone();
    file.store.url = without_password(&file.store.url);
    file
}

/// `postgres://user:***@host/db`, also where the password stands as a parameter.
pub fn without_password(url: &str) -> String {
    let (url, parameters) = url.split_once('?').map_or((url, None), |(url, p)| (url, Some(p)));
    let mut shown = url.to_owned();
    if let Some((scheme, rest)) = url.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        shown = format!("{scheme}://{user}:***@{host}");
    }
    if let Some(parameters) = parameters {
        let masked = parameters.split('&').map(|p| match p.split_once('=') {
            Some((name, _)) if name.contains("password") => format!("{name}=***"),
            _ => p.to_owned(),
        });
        shown = format!("{shown}?{}", masked.collect::<Vec<_>>().join("&"));
    }
    shown
}
