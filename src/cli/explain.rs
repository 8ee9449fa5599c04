//! `maildesk explain`

mod files;
mod shown;
mod stored;

use std::path::PathBuf;

use super::Context;
use super::output::{CliError, Output};
use crate::ticket::ArrivalId;

pub use files::run_on_files;

/// Why: what would become of a message, or became of it, which rules looked at it and what each found
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Files need no configuration and no store, and nothing is written. With --json one object a line for each file.\n\
    With --config FILE they are decided by the types of that file; what a desk knows beyond it (tickets, contacts)\n\
    plays no part. Whether the sender is who it says is read from the header as [trust] authserv_id has it; --online asks DNS.\n\n\
    Examples:\n  maildesk explain message.eml\n  maildesk explain --arrival 12\n  maildesk explain --message-id '<a@example.com>' --anew"
)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["files", "arrival", "message_id"])))]
pub struct Args {
    /// Raw messages
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A stored message by its number in the journal
    #[arg(long, value_name = "ID")]
    pub arrival: Option<ArrivalId>,
    /// Stored messages by their Message-ID
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// Of stored mail: decide again under today's rules, without writing
    #[arg(long, conflicts_with = "files")]
    pub anew: bool,
    /// Of files: ask DNS
    #[arg(long, requires = "files")]
    pub online: bool,
}

impl Args {
    pub fn is_of_files(&self) -> bool {
        !self.files.is_empty()
    }
}

/// Of what is stored.
pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    stored::run(&args, context).await
}
