//! The command line: one file a command. What is typed becomes an `Output`, here or in the running daemon.
//!
//! A handler is `run(args, &Context) -> Result<Output, CliError>` and prints nothing. `start` decides where it runs: with
//! no desk at all, in the daemon behind its socket, or here on the store that is opened for it.

mod account;
mod alert;
mod attachment;
mod backup;
mod bounce;
mod checkup;
mod config_file;
mod contact;
mod context;
mod conversation;
mod daemons;
mod deliver;
mod demo;
mod dispatch;
mod doctor;
mod each;
mod error_ticket;
mod explain;
mod import;
mod input;
mod install;
mod invalid;
mod job;
mod journal;
mod key;
mod loops;
mod mailbox;
mod man;
mod migrate;
mod oauth;
mod output;
mod poll;
mod queue;
mod relay;
mod replay;
mod restore;
mod row;
mod run;
mod sign_in;
mod sink;
mod start;
mod support_bundle;
mod table;
mod ticket;
mod ticket_type;

pub use context::Context;
pub use dispatch::{control_handler, dispatch};
pub use output::{CliError, Output};
pub use start::main;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The exit codes of sysexits that scripts may rely on.
pub mod code {
    pub const OK: u8 = 0;
    pub const USAGE: u8 = 64;
    pub const DATA: u8 = 65;
    pub const UNAVAILABLE: u8 = 69;
    pub const TRY_AGAIN: u8 = 75;
    pub const CONFIG: u8 = 78;
}

#[derive(Debug, Parser)]
#[command(
    name = "maildesk",
    version,
    about = "Turns support mailboxes into tickets: no message is lost, none is handled twice, each can say what became of it",
    after_help = "Start:\n  \
        maildesk demo                                   see it work, without any account\n  \
        maildesk config example > maildesk.toml         a configuration to start from\n  \
        maildesk config check && maildesk doctor        is it right, do the servers answer\n  \
        maildesk run                                    the daemon\n\n\
        Exit codes: 0 done, 64 usage, 65 bad data, 69 unavailable, 75 try again, 78 configuration.",
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The configuration; else ./maildesk.toml, else /etc/maildesk/config.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON value on standard output, with stable names.
    #[arg(long, global = true)]
    pub json: bool,
    /// Tell more in the log; twice: everything; three times: what the libraries within have to say, too.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Poll(poll::Args),
    Deliver(deliver::Args),
    Import(import::Args),
    Explain(explain::Args),
    Replay(replay::Args),
    /// Mailboxes: list, show, add, edit, delete, test, resume, balance
    #[command(subcommand)]
    Mailbox(mailbox::Verb),
    /// Relays, the accounts that mail leaves through: list, show, add, edit, delete
    #[command(subcommand)]
    Relay(relay::Verb),
    /// Access to mailboxes and relays by an identity provider (OAuth2): login, status, refresh, revoke, import
    #[command(subcommand)]
    Oauth(oauth::Verb),
    /// Ticket types: list, show, add, edit, delete
    #[command(subcommand)]
    Type(ticket_type::Verb),
    /// Tickets: list, show, answer, note, close, assign, merge, delete, restore, …
    #[command(subcommand)]
    Ticket(ticket::Verb),
    /// Mail that fits no type, or may not be trusted onto its ticket
    #[command(subcommand)]
    Invalid(invalid::Verb),
    /// Mail that could not be read
    #[command(subcommand)]
    Error(error_ticket::Verb),
    /// Reports of mail that was not delivered
    #[command(subcommand)]
    Bounce(bounce::Verb),
    /// Mail on its way out: list, show, send, retry, cancel, release, pause, resume
    #[command(subcommand)]
    Queue(queue::Verb),
    /// The people who write: list, show, edit
    #[command(subcommand)]
    Contact(contact::Verb),
    /// The people who sign in: list, show, add, edit, delete
    #[command(subcommand)]
    Account(account::Verb),
    /// The daemons at work on this desk, and what each has
    #[command(subcommand)]
    Daemon(daemons::Verb),
    /// Every message ever seen, and what became of it
    #[command(subcommand)]
    Journal(journal::Verb),
    /// What a person has to know: a mailbox that fails, a balance that is off
    #[command(subcommand)]
    Alert(alert::Verb),
    /// The loop breaker: list, reset
    #[command(subcommand)]
    Loop(loops::Verb),
    /// What the daemon does at its time, such as the daily backup
    #[command(subcommand)]
    Job(job::Verb),
    /// The configuration file: check, show, example
    #[command(subcommand)]
    Config(config_file::Verb),
    /// The keys of this desk: rotate
    #[command(subcommand)]
    Key(key::Verb),
    Backup(backup::Args),
    Restore(restore::Args),
    Migrate(migrate::Args),
    Doctor(doctor::Args),
    SupportBundle(support_bundle::Args),
    Completions(config_file::CompletionsArgs),
    Man(man::Args),
    Install(install::Args),
    /// The named points at which a test may kill the process
    #[command(hide = true)]
    CrashPoints,
}

/// How much of a listing to show.
#[derive(Clone, Copy, Debug, Args)]
pub struct Page {
    /// Show the newest N; 0: all [default: 50, with --json all]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Page {
    const FOR_PEOPLE: i64 = 50;

    /// The state of which things are shown; empty: of all.
    pub fn state(all: bool, named: Option<String>) -> String {
        named.unwrap_or_else(|| if all { String::new() } else { "open".to_owned() })
    }

    pub fn limit(self, context: &Context) -> i64 {
        match (self.limit, context.wants_json) {
            (Some(0), _) | (None, true) => crate::store::listing::ALL,
            (Some(limit), _) => i64::from(limit),
            (None, false) => Page::FOR_PEOPLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_password_on_the_command_line() {
        for words in [["mailbox", "add"], ["mailbox", "edit"], ["relay", "add"], ["relay", "edit"]] {
            let typed = ["maildesk", words[0], words[1], "--password", "hunter2"];
            assert!(Cli::try_parse_from(typed).is_err(), "{words:?}");
        }
    }
}
