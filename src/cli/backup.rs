//! `maildesk backup`

use std::path::PathBuf;

use super::Context;
use super::input::{PassphraseInput, secret_of};
use super::output::{CliError, Output, json};
use crate::backup;

/// Take a backup: one file with all of the desk, while it goes on working
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The sealing key goes along only under a passphrase: of --passphrase-file, --ask-passphrase, the variable\n\
    MAILDESK_PASSPHRASE, or `passphrase_file` in [backup]. Without one the backup is of use only together with the key\n\
    file. Beside a running daemon it is the daemon that writes the file.\n\n\
    Example:\n  maildesk backup --ask-passphrase /mnt/safe/desk.backup"
)]
pub struct Args {
    /// A new file; its mode is 0600
    pub file: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseInput,
    /// Leave the sealing key out
    #[arg(long, conflicts_with_all = ["passphrase_file", "ask_passphrase"])]
    pub without_key: bool,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let passphrase = match secret_of(&context.stdin)? {
        _ if args.without_key => None,
        Some(given) => Some(given),
        None => context.config.backup.passphrase().map_err(CliError::config)?,
    };
    let path = context.cwd.join(&args.file);
    let watched = context.clone();
    let told = move |done: u64, total: u64| watched.tell(done, total, "rows written and read again");
    let taken = backup::take(context.source(), passphrase, &path, Box::new(told)).await?;
    context.tell(taken.rows * 2, taken.rows * 2, "rows written and read again");
    let key = match taken.has_key {
        true => "The sealing key is in it, under the passphrase.",
        false => {
            "It is without its key: keep the key file as well, in another place. Without that file nobody can \
             restore it."
        }
    };
    let words = format!(
        "{}: {} rows, {} bytes, as of {}, read again and found whole.\n{key}\n",
        taken.file.display(),
        taken.rows,
        taken.bytes,
        taken.taken
    );
    Ok(Output { human: words, json: json(&taken)?, ..Output::default() })
}
