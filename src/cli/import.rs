//! `maildesk import`

use std::path::PathBuf;

use super::Context;
use super::output::{CliError, Output};

/// Take old mail in from .eml files, an mbox or a Maildir, silently
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is sent for what is imported, unless --notify is given. What is known already is not taken in again.\n\n\
    Example:\n  maildesk import --mailbox support archive.mbox"
)]
pub struct Args {
    /// The mailbox that it counts as arrived in
    #[arg(long, value_name = "NAME")]
    pub mailbox: String,
    /// Tell the team and answer, as for mail that has just arrived
    #[arg(long)]
    pub notify: bool,
    /// Files or folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    context.store.read().await?.find_mailbox(&args.mailbox).await?;
    // SEAM: keep and decide each message; `context.cwd` is where the paths start.
    Err(CliError::not_built_yet("import"))
}
