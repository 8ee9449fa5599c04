//! `maildesk config …` and `maildesk completions`: what needs no store.

use clap::CommandFactory as _;
use serde_json::json;

use super::output::{CliError, Output};
use super::{Cli, Global};
use crate::config::{Config, Env, KeySource, example};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Read it and say what is wrong, with the line; the files with secrets are read, too
    #[command(after_help = "It talks to nobody: `maildesk doctor` asks the servers.")]
    Check,
    /// The effective configuration: defaults filled in, secrets as ***
    Show,
    /// A commented configuration to start from
    #[command(after_help = "Example:\n  maildesk config example > maildesk.toml")]
    Example,
}

/// What your shell needs to complete maildesk's words
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  maildesk completions bash > /etc/bash_completion.d/maildesk")]
pub struct CompletionsArgs {
    shell: clap_complete::Shell,
}

pub fn run(verb: &Verb, global: &Global, env: &Env) -> Result<Output, CliError> {
    match verb {
        Verb::Example => {
            let text = example::example();
            Ok(Output { json: json!(text), human: text, ..Output::default() })
        }
        Verb::Show => {
            let config = Config::load(global.config.as_deref(), env)?;
            let text = example::show(&config.written);
            Ok(Output { human: text, json: example::show_json(&config.written), ..Output::default() })
        }
        Verb::Check => check(&Config::load(global.config.as_deref(), env)?),
    }
}

fn check(config: &Config) -> Result<Output, CliError> {
    config.store_url()?;
    let declared = config.declared()?;
    if let KeySource::Given(path) | KeySource::Made(path) = &config.keys
        && path.exists()
    {
        crate::config::read_secret(path).map_err(|e| CliError::config(format!("the sealing key {e}")))?;
    }
    let file = config.path.display().to_string();
    let counts = [
        ("relay", declared.relays.len()),
        ("mailbox", declared.mailboxes.len()),
        ("type", declared.types.len()),
        ("account", declared.accounts.len()),
    ];
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{word}: {count}")).collect();
    let human = format!("{file} is good ({})", words.join(", "));
    let [relays, mailboxes, types, accounts] = counts.map(|(_, count)| count);
    let json = json!({
        "file": file, "good": true, "relays": relays, "mailboxes": mailboxes, "types": types, "accounts": accounts,
    });
    Ok(Output::said(human, json))
}

pub fn completions(args: &CompletionsArgs) -> Output {
    Output { human: String::from_utf8_lossy(&script(args.shell)).into_owned(), ..Output::default() }
}

/// The completions for a shell, as it reads them.
pub(super) fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "maildesk", &mut script);
    script
}
