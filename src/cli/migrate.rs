//! `maildesk migrate`

use serde_json::json;

use super::Context;
use super::output::{CliError, Output};

/// Bring the store's schema up to this program's, and lay down what the configuration declares
#[derive(Debug, clap::Args)]
#[command(after_help = "Forward only, and running it again does nothing. Make a copy of the store first.\n\
    A new store is set up by whichever command opens it first.")]
pub struct Args {}

pub async fn run(_args: Args, context: &Context) -> Result<Output, CliError> {
    // The context was opened for this: what was to do is done.
    let schema = context.store.schema().await?;
    let words = format!("the store's schema is version {}, as this program needs it", schema.found);
    Ok(Output::said(words, json!({ "schema": schema.found })))
}
