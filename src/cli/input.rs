//! What a command reads besides its arguments: a password, the text of an answer. The process that was typed to reads it,
//! with its own rights and folder, so that it means the same where the daemon does the work.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use super::oauth::{self, Handed};
use super::output::CliError;
use super::{Command, error_ticket, mailbox, relay, ticket};
use crate::config::{Auth, Env, read_secret};
use crate::seal::Secret;
use crate::store::PasswordChange;

/// Longest text from standard input.
const TEXT_LIMIT: u64 = 32 << 20;

/// How a password is given. Never as an argument: those stand in the history and in the list of processes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PasswordInput {
    /// Read the password from standard input: its first line; at a terminal it is asked for.
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
}

/// How the passphrase of a backup is given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PassphraseInput {
    /// Its first line is the passphrase of the sealing key in the backup
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask for the passphrase at the terminal
    #[arg(long, conflicts_with = "passphrase_file")]
    pub ask_passphrase: bool,
}

impl PassphraseInput {
    /// From the file, the terminal or the environment; empty where none is given. A new one is asked for twice.
    fn read(&self, env: &Env, is_new: bool) -> Result<Vec<u8>, CliError> {
        if let Some(path) = &self.passphrase_file {
            let secret = read_secret(path).map_err(|e| CliError::data(format!("--passphrase-file: {e}")))?;
            return Ok(secret.expose().as_bytes().to_vec());
        }
        if !self.ask_passphrase {
            return Ok(env.passphrase.as_ref().map_or(vec![], |p| p.expose().as_bytes().to_vec()));
        }
        let first = asked("Passphrase: ")?;
        match is_new && asked("Once more: ")? != first {
            true => Err(CliError::data("the two are not the same")),
            false => Ok(first),
        }
    }
}

/// The secret that was gathered, if one was.
pub fn secret_of(stdin: &[u8]) -> Result<Option<Secret>, CliError> {
    match std::str::from_utf8(stdin) {
        Ok("") => Ok(None),
        Ok(words) => Ok(Some(Secret::new(words))),
        Err(_) => Err(CliError::data("the passphrase is not UTF-8 text")),
    }
}

/// What stands on standard input for the command, read here.
pub fn gather(command: &Command, env: &Env) -> Result<Vec<u8>, CliError> {
    match command {
        Command::Backup(args) if !args.without_key => args.passphrase.read(env, true),
        Command::Restore(args) if args.key_file.is_none() => args.passphrase.read(env, false),
        Command::Mailbox(
            mailbox::Verb::Add(given) | mailbox::Verb::Edit(mailbox::EditArgs { given, .. }),
        ) => password(given.flags.password_file.as_deref(), &given.password),
        Command::Relay(relay::Verb::Add(given) | relay::Verb::Edit(relay::EditArgs { given, .. })) => {
            password(given.flags.password_file.as_deref(), &given.password)
        }
        Command::Oauth(oauth::Verb::Login(args)) => {
            let client_secret = client_secret(&args.wish)?;
            Handed { client_secret, ..Handed::default() }.bytes()
        }
        Command::Oauth(oauth::Verb::Import(args)) => {
            let refresh_token = match &args.file {
                Some(path) => {
                    let read = read_secret(path).map_err(|e| CliError::data(format!("--file: {e}")))?;
                    read.expose().to_owned()
                }
                None => utf8(asked("Refresh token: ")?)?,
            };
            let client_secret = client_secret(&args.wish)?;
            Handed { refresh_token: Some(refresh_token), client_secret, ..Handed::default() }.bytes()
        }
        Command::Ticket(ticket::Verb::Answer(args)) => text(&args.text),
        Command::Ticket(ticket::Verb::Note(args)) => text(&args.text),
        _ => Ok(vec![]),
    }
}

/// The file that the command's bytes go to, written here as well.
pub fn destination(command: &Command) -> Option<PathBuf> {
    match command {
        Command::Ticket(ticket::Verb::Attachment(args)) => args.to.clone(),
        Command::Error(error_ticket::Verb::Export { to, .. }) => to.clone(),
        _ => None,
    }
}

/// What a handler makes of the password that was gathered: none gathered, none changed.
pub fn password_change(stdin: &[u8], auth: Auth) -> Result<PasswordChange, CliError> {
    match std::str::from_utf8(stdin) {
        Ok("") => Ok(PasswordChange::Keep),
        Ok(_) if auth == Auth::Oauth2 => {
            Err(CliError::usage("a password and --auth oauth2 exclude each other: leave the password out"))
        }
        Ok(words) => Ok(PasswordChange::Set(Secret::new(words))),
        Err(_) => Err(CliError::data("the password is not UTF-8 text")),
    }
}

fn client_secret(wish: &oauth::WishArgs) -> Result<Option<String>, CliError> {
    let Some(path) = &wish.client_secret_file else { return Ok(None) };
    let secret = read_secret(path).map_err(|e| CliError::data(format!("--client-secret-file: {e}")))?;
    Ok(Some(secret.expose().to_owned()))
}

fn utf8(bytes: Vec<u8>) -> Result<String, CliError> {
    String::from_utf8(bytes).map_err(|_| CliError::data("what was given is not UTF-8 text"))
}

fn password(file: Option<&str>, input: &PasswordInput) -> Result<Vec<u8>, CliError> {
    if let Some(path) = file.filter(|path| !path.is_empty()) {
        let secret =
            read_secret(Path::new(path)).map_err(|e| CliError::data(format!("--password-file: {e}")))?;
        return Ok(secret.expose().as_bytes().to_vec());
    }
    if !input.password_stdin {
        return Ok(vec![]);
    }
    asked("Password: ")
}

/// A secret from standard input: its next line; at a terminal it is asked for, and not shown.
fn asked(prompt: &str) -> Result<Vec<u8>, CliError> {
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        eprint!("{prompt}");
        echo(false);
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().take(64 * 1024).read_line(&mut line);
    if is_terminal {
        echo(true);
        eprintln!();
    }
    read.map_err(|e| CliError::data(format!("standard input: {e}")))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(CliError::data("nothing was given")),
        line => Ok(line.as_bytes().to_vec()),
    }
}

/// Without stty what is typed is seen; it is taken all the same.
fn echo(is_on: bool) {
    let mut stty = std::process::Command::new("stty");
    if stty.arg(if is_on { "echo" } else { "-echo" }).status().is_err() {
        eprint!("(it will be seen) ");
    }
}

fn text(args: &ticket::TextArgs) -> Result<Vec<u8>, CliError> {
    if let Some(words) = args.text.as_ref().filter(|words| !words.trim().is_empty()) {
        return Ok(words.clone().into_bytes());
    }
    let file = args.file.as_deref();
    let mut bytes = vec![];
    let read = match file {
        Some(path) => {
            std::fs::File::open(path).and_then(|file| file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes))
        }
        None => std::io::stdin().lock().take(TEXT_LIMIT + 1).read_to_end(&mut bytes),
    };
    let name = || file.map_or("standard input".to_owned(), |path| path.display().to_string());
    match read {
        Err(e) => Err(CliError::data(format!("{}: {e}", name()))),
        Ok(n) if n as u64 > TEXT_LIMIT => Err(CliError::data(format!("{} is too long", name()))),
        Ok(_) if bytes.trim_ascii().is_empty() => {
            Err(CliError::data(format!("{}: there is no text", name())))
        }
        Ok(_) => Ok(bytes),
    }
}
