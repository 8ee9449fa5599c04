//! `maildesk doctor`

use super::Context;
use super::output::{CliError, Output};

/// Talk to every server that is configured; say what is wrong and what to do
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, _context: &Context) -> Result<Output, CliError> {
    // SEAM: store, each mailbox (IMAP: UIDPLUS, MOVE), each relay (SMTP: VERP), one finding a line.
    Err(CliError::not_built_yet("doctor"))
}
