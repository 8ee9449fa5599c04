//! `maildesk poll`

use super::Context;
use super::output::{CliError, Output};

/// One round over the mailboxes now; says what became of each message
#[derive(Debug, clap::Args)]
#[command(after_help = "Beside a running daemon it asks the daemon for a round.\n\n\
    Example:\n  maildesk poll --mailbox support --json")]
pub struct Args {
    /// Of this one alone
    #[arg(long, value_name = "NAME")]
    pub mailbox: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    if let Some(named) = &args.mailbox {
        context.store.read().await?.find_mailbox(named).await?;
    }
    // SEAM: intake's round over the mailboxes, progress by `context.tell`.
    Err(CliError::not_built_yet("poll"))
}
