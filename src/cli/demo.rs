//! `maildesk demo`

use std::path::PathBuf;

use super::output::{CliError, Output};

/// All of it on one machine in a minute, without any account or network
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It makes a folder with a Maildir of sample mail, a configuration and a store, takes the mail in, and says what\n\
    became of each message and why. It starts afresh each time and touches no other desk."
)]
pub struct Args {
    /// The folder to work in
    #[arg(long, value_name = "D", default_value = "maildesk-demo")]
    pub dir: PathBuf,
    /// Go on as a daemon afterwards
    #[arg(long)]
    pub serve: bool,
}

pub async fn run(_args: Args, _wants_json: bool) -> Result<Output, CliError> {
    // SEAM: write the samples, take them in, print the table.
    Err(CliError::not_built_yet("demo"))
}
