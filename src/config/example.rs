//! `config example` and `config show`, from the definition of the sections.

use std::fmt::Write as _;

use super::backup::BackupSection;
use super::base::{KeysSection, RunSection, StoreSection};
use super::load::File;
use super::loops::LoopsSection;
use super::section::{Key, Section, Shown};
use super::virus_scanner::VirusScannerSection;
use super::web::WebSection;
use super::{
    AccountSection, MailboxSection, OauthProviderSection, PredecessorSection, RelaySection, TrustSection,
    TypeSection,
};

/// A section for whoever reads about it.
pub struct Described {
    /// `[store]`, or `[[relay]]` where there may be several.
    pub head: &'static str,
    pub about: &'static [&'static str],
    pub keys: Vec<DescribedKey>,
}

pub struct DescribedKey {
    pub name: &'static str,
    pub manual: &'static [&'static str],
    /// As TOML; `None`: it must be given.
    pub default: Option<String>,
    shown: String,
}

/// Every section that the file may have, in order.
pub fn sections() -> Vec<Described> {
    vec![
        section::<StoreSection>("[store]"),
        section::<KeysSection>("[keys]"),
        section::<RunSection>("[run]"),
        section::<BackupSection>("[backup]"),
        section::<WebSection>("[web]"),
        section::<TrustSection>("[trust]"),
        section::<VirusScannerSection>("[virus_scanner]"),
        section::<PredecessorSection>("[predecessor]"),
        section::<LoopsSection>("[loops]"),
        section::<OauthProviderSection>("[[oauth_provider]]"),
        section::<RelaySection>("[[relay]]"),
        section::<MailboxSection>("[[mailbox]]"),
        section::<TypeSection>("[[type]]"),
        section::<AccountSection>("[[account]]"),
    ]
}

/// The commented example: every key with its manual text; what is commented out is the default or an example.
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of maildesk. `maildesk config check` reads it and says what is wrong, with the line.\n\
         # Paths are relative to the folder of this file. What is declared here is set up at start and read-only for\n\
         # commands; what leaves this file is switched off, never deleted.\n",
    );
    for section in sections() {
        text.push('\n');
        comment(&mut text, section.about);
        line(&mut text, section.head);
        for key in &section.keys {
            comment(&mut text, key.manual);
            line(&mut text, &key.shown);
        }
    }
    text
}

/// The same for a service: the desk below /var, the socket below /run, and nothing declared yet.
pub fn installed() -> String {
    let mut text = String::from(
        "# The configuration of maildesk as a service. `maildesk config check` reads it and says what is wrong, with the\n\
         # line; `systemctl restart maildesk` puts it into effect. What it declares is read-only for commands; what leaves\n\
         # this file is switched off, never deleted. Files with passwords lie beside it, readable for the service alone:\n\
         #   install -m 640 -o root -g maildesk /dev/stdin /etc/maildesk/support.password\n",
    );
    for section in sections() {
        text.push('\n');
        comment(&mut text, section.about);
        // A list is there to be uncommented: nothing is read before somebody has said what.
        let is_list = section.head.starts_with("[[");
        let live = |words: &str| {
            if is_list && !words.starts_with('#') { format!("# {words}") } else { words.to_owned() }
        };
        line(&mut text, &live(section.head));
        for key in &section.keys {
            comment(&mut text, key.manual);
            let place = PLACES.iter().find(|(head, name, _)| (*head, *name) == (section.head, key.name));
            match place {
                Some((_, name, path)) => line(&mut text, &format!("{name} = {path:?}")),
                None => line(&mut text, &live(&key.shown)),
            }
        }
    }
    text
}

/// Where the things of the service lie; the unit makes these folders.
const PLACES: &[(&str, &str, &str)] = &[
    ("[store]", "url", "sqlite:/var/lib/maildesk/desk.db"),
    ("[run]", "socket", "/run/maildesk/maildesk.sock"),
    ("[run]", "spool", "/var/lib/maildesk/spool"),
];

fn section<S: Section>(head: &'static str) -> Described {
    let defaults = toml::Table::try_from(S::default()).expect("a section's defaults are plain TOML values");
    let key = |key: &Key| DescribedKey {
        name: key.name,
        manual: key.manual,
        // A secret has no default, and serializes to nothing.
        default: match key.shown {
            Shown::Required(_) => None,
            _ => Some(defaults.get(key.name).map_or("\"\"".to_owned(), toml::Value::to_string)),
        },
        shown: key_line(key, &defaults),
    };
    Described { head, about: S::ABOUT, keys: S::KEYS.iter().map(key).collect() }
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
