//! From the file to what it declares: read, checked, resolved.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::backup::BackupSection;
use super::base::{KeysSection, RunSection, StoreSection};
use super::conflicts::conflicts;
use super::file::{ConfigError, Problem, Source};
use super::loops::LoopsSection;
use super::section::{Section, Shown};
use super::virus_scanner::VirusScannerSection;
use super::web::WebSection;
use super::{
    AccountSection, AccountSpec, Backups, Dns, Env, KeySource, MailboxSection, MailboxSpec,
    OauthProviderSection, PredecessorSection, ProviderSpec, RelaySection, RelaySpec, Run, Surroundings,
    TrustSection, TypeSection, TypeSpec, VirusScanner, Wrong,
};
use crate::seal::Secret;
use crate::triage::Rules;

/// Where a configuration is looked for when none is named.
pub const PLACES: &[&str] = &["maildesk.toml", "/etc/maildesk/config.toml"];

/// The file as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub store: StoreSection,
    pub keys: KeysSection,
    pub run: RunSection,
    pub backup: BackupSection,
    pub web: WebSection,
    pub trust: TrustSection,
    pub virus_scanner: VirusScannerSection,
    pub predecessor: PredecessorSection,
    pub loops: LoopsSection,
    pub oauth_provider: Vec<OauthProviderSection>,
    pub relay: Vec<RelaySection>,
    pub mailbox: Vec<MailboxSection>,
    pub r#type: Vec<TypeSection>,
    pub account: Vec<AccountSection>,
}

/// The configuration, checked. Secrets are read by `declared` and `store_url`, when they are needed.
#[derive(Clone, Debug)]
pub struct Config {
    pub path: PathBuf,
    /// Relative paths start here.
    pub folder: PathBuf,
    pub written: File,
    pub keys: KeySource,
    pub run: Run,
    pub backup: Backups,
    /// Where health and metrics are told.
    pub web: Option<SocketAddr>,
    pub virus_scanner: Option<VirusScanner>,
    pub surroundings: Surroundings,
    pub dns: Dns,
    providers: Vec<ProviderSpec>,
    relays: Vec<RelaySpec>,
    mailboxes: Vec<MailboxSpec>,
    types: Vec<TypeSpec>,
    accounts: Vec<AccountSpec>,
    text: String,
}

/// What the file declares, to be provisioned (G3).
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub surroundings: Surroundings,
    pub providers: Vec<(ProviderSpec, Option<Secret>)>,
    pub relays: Vec<(RelaySpec, Option<Secret>)>,
    pub mailboxes: Vec<(MailboxSpec, Option<Secret>)>,
    pub types: Vec<TypeSpec>,
    pub accounts: Vec<AccountSpec>,
}

impl Config {
    /// Reads the file named, else the first that is there of `PLACES`.
    pub fn load(named: Option<&Path>, env: &Env) -> Result<Config, ConfigError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => PLACES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
                let words = "is not there, nor is /etc/maildesk/config.toml; `maildesk config example > maildesk.toml` \
                             writes one to start from, `--config FILE` names another";
                unread(Path::new(PLACES[0]), words)
            })?,
        };
        let text = std::fs::read_to_string(&path).map_err(|e| unread(&path, &e.to_string()))?;
        Config::of_text(path, text, env)
    }

    pub fn of_text(path: PathBuf, text: String, env: &Env) -> Result<Config, ConfigError> {
        let absolute = std::path::absolute(&path).map_err(|e| unread(&path, &e.to_string()))?;
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let source = Source::parse(&path, &text)?;
        let written: File = toml::from_str(&text).map_err(|error| source.refused(&error))?;
        let mut check = Check { source: &source, problems: missing_keys(&source) };
        let run = check.one("run", 0, written.run.resolve(&folder));
        let backup = check.one("backup", 0, written.backup.resolve(&folder, &desk_folder(&written, &folder)));
        let web = check.one("web", 0, written.web.resolve());
        let trust = check.one("trust", 0, written.trust.resolve());
        let virus_scanner = check.one("virus_scanner", 0, written.virus_scanner.resolve(&folder));
        let predecessor = check.one("predecessor", 0, written.predecessor.resolve());
        let loops = check.one("loops", 0, written.loops.resolve());
        let providers = check.all("oauth_provider", &written.oauth_provider, |s| s.resolve());
        let relays = check.all("relay", &written.relay, |s| s.resolve(&folder));
        let mailboxes = check.all("mailbox", &written.mailbox, |s| s.resolve(&folder));
        let types = check.all("type", &written.r#type, |s| s.resolve());
        let accounts = check.all("account", &written.account, |s| s.resolve());
        check.no_doubles("oauth_provider", "name", providers.iter().map(|(at, p)| (*at, p.name.as_str())));
        check.no_doubles("relay", "name", relays.iter().map(|(at, r)| (*at, r.name.as_str())));
        check.no_doubles("mailbox", "name", mailboxes.iter().map(|(at, m)| (*at, m.name.as_str())));
        check.no_doubles("type", "name", types.iter().map(|(at, t)| (*at, t.name.as_str())));
        check.no_doubles("account", "login", accounts.iter().map(|(at, a)| (*at, a.login.as_str())));
        let addresses = accounts.iter().flat_map(|(at, a)| a.addresses.iter().map(|a| (*at, a.as_str())));
        check.no_doubles("account", "addresses", addresses);
        check.names_of_types(&types, &written);
        check.conflicts_of_types(&types, &mailboxes);
        let (Some(run), Some(backup), Some(web), []) = (run, backup, web, check.problems.as_slice()) else {
            let mut problems = check.problems;
            problems.sort_by_key(|p| p.line);
            return Err(source.error(problems));
        };
        let keys = written.keys.resolve(&folder, env);
        let (predecessor_tags, first_ticket_number) = predecessor.unwrap_or_default();
        let (verdicts, trust, dns) = trust.unwrap_or_default();
        let surroundings = Surroundings {
            verdicts,
            trust,
            predecessor_tags,
            first_ticket_number,
            loops: loops.unwrap_or_default(),
        };
        Ok(Config {
            surroundings,
            dns,
            keys,
            run,
            backup,
            web,
            virus_scanner: virus_scanner.flatten(),
            providers: values(providers),
            relays: values(relays),
            mailboxes: values(mailboxes),
            types: values(types),
            accounts: values(accounts),
            written,
            folder,
            path,
            text,
        })
    }

    /// The store's url. It may hold a password.
    pub fn store_url(&self) -> Result<String, ConfigError> {
        self.written.store.resolve(&self.folder).map_err(|wrong| self.wrong("store", 0, wrong))
    }

    /// Reads the secrets and gives what is to be provisioned.
    pub fn declared(&self) -> Result<Declared, ConfigError> {
        let mut declared = Declared {
            surroundings: self.surroundings.clone(),
            types: self.types.clone(),
            accounts: self.accounts.clone(),
            ..Declared::default()
        };
        for (at, (spec, section)) in self.providers.iter().zip(&self.written.oauth_provider).enumerate() {
            let secret =
                section.read_secret(&self.folder).map_err(|wrong| self.wrong("oauth_provider", at, wrong))?;
            declared.providers.push((spec.clone(), secret));
        }
        for (at, (spec, section)) in self.relays.iter().zip(&self.written.relay).enumerate() {
            let password =
                section.read_password(&self.folder).map_err(|wrong| self.wrong("relay", at, wrong))?;
            declared.relays.push((spec.clone(), password));
        }
        for (at, (spec, section)) in self.mailboxes.iter().zip(&self.written.mailbox).enumerate() {
            let password =
                section.read_password(&self.folder).map_err(|wrong| self.wrong("mailbox", at, wrong))?;
            declared.mailboxes.push((spec.clone(), password));
        }
        Ok(declared)
    }

    /// What decisions go by, as far as the file lays it down: for what is decided without a store.
    pub fn rules(&self) -> Rules {
        super::rules::Sections {
            surroundings: &self.surroundings,
            relays: &self.relays,
            mailboxes: &self.mailboxes,
            types: &self.types,
            accounts: &self.accounts,
        }
        .rules()
    }

    fn wrong(&self, section: &str, index: usize, wrong: Wrong) -> ConfigError {
        match Source::parse(&self.path, &self.text) {
            Ok(source) => source.error(vec![source.problem(section, index, wrong.key, wrong.words)]),
            Err(error) => error,
        }
    }
}

/// Where the desk's own files lie: beside its SQLite file, else beside its spool.
fn desk_folder(written: &File, folder: &Path) -> PathBuf {
    let file = written.store.url.strip_prefix("sqlite:").filter(|_| written.store.url_file.is_empty());
    let file = file.map(|path| path.strip_prefix("//").unwrap_or(path)).unwrap_or(&written.run.spool);
    super::under(folder, file).parent().unwrap_or(folder).to_owned()
}

fn unread(path: &Path, words: &str) -> ConfigError {
    let problem = Problem { line: 0, key: String::new(), words: words.to_owned() };
    ConfigError { file: path.into(), problems: vec![problem] }
}

fn values<T>(list: Vec<(usize, T)>) -> Vec<T> {
    list.into_iter().map(|(_, value)| value).collect()
}

/// Keys that a section must give, by their definition.
fn missing_keys(source: &Source<'_>) -> Vec<Problem> {
    let lists = [
        ("oauth_provider", OauthProviderSection::KEYS),
        ("relay", RelaySection::KEYS),
        ("mailbox", MailboxSection::KEYS),
        ("type", TypeSection::KEYS),
        ("account", AccountSection::KEYS),
    ];
    let mut problems = vec![];
    for (section, keys) in lists {
        for index in 0..source.count(section) {
            for key in keys.iter().filter(|key| matches!(key.shown, Shown::Required(_))) {
                if !source.gives(section, index, key.name) {
                    problems.push(source.problem(section, index, key.name, "must be given"));
                }
            }
        }
    }
    problems
}

/// Collects every problem, so that one run shows them all.
struct Check<'s> {
    source: &'s Source<'s>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn one<T>(&mut self, section: &str, index: usize, result: Result<T, Wrong>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(wrong) => {
                let problem = self.source.problem(section, index, wrong.key, wrong.words);
                // A key that is missing has been told already.
                let is_told = |p: &Problem| p.line == problem.line && p.key == problem.key;
                if !self.problems.iter().any(is_told) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    fn all<S, T>(
        &mut self,
        section: &str,
        written: &[S],
        resolve: impl Fn(&S) -> Result<T, Wrong>,
    ) -> Vec<(usize, T)> {
        let resolved = written.iter().enumerate();
        resolved.filter_map(|(at, s)| self.one(section, at, resolve(s)).map(|value| (at, value))).collect()
    }

    fn no_doubles<'n>(
        &mut self,
        section: &str,
        key: &'static str,
        names: impl Iterator<Item = (usize, &'n str)>,
    ) {
        let mut seen = std::collections::HashSet::new();
        for (at, name) in names {
            if !seen.insert(name) {
                self.problems.push(self.source.problem(section, at, key, format!("{name:?} is there twice")));
            }
        }
    }

    /// Names as written: a mailbox with a mistake of its own is there all the same.
    fn names_of_types(&mut self, types: &[(usize, TypeSpec)], written: &File) {
        let mailboxes: Vec<&str> = written.mailbox.iter().map(|m| m.name.as_str()).collect();
        let relays: Vec<&str> = written.relay.iter().map(|r| r.name.as_str()).collect();
        for (at, one) in types {
            for (key, name, names) in [("mailbox", &one.mailbox, &mailboxes), ("relay", &one.relay, &relays)]
            {
                if !name.is_empty() && !names.contains(&name.as_str()) {
                    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    let words =
                        format!("there is no [[{key}]] named {name:?} in this file; there is: {known}");
                    self.problems.push(self.source.problem("type", *at, key, words));
                }
            }
        }
    }

    fn conflicts_of_types(&mut self, types: &[(usize, TypeSpec)], mailboxes: &[(usize, MailboxSpec)]) {
        let specs: Vec<TypeSpec> = types.iter().map(|(_, t)| t.clone()).collect();
        let active = mailboxes.iter().filter(|(_, m)| m.is_active);
        let usernames: Vec<String> = active.map(|(_, m)| m.username.clone()).collect();
        for conflict in conflicts(&specs, &usernames) {
            let at = types[conflict.at].0;
            self.problems.push(self.source.problem("type", at, conflict.key, conflict.words));
        }
    }
}
