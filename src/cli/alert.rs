//! `maildesk alert …`

use super::output::{CliError, Output, json};
use super::table::{Table, id, maybe};
use super::{Context, Page};
use crate::store::Error;
use crate::store::listing::AlertLine;
use crate::ticket::AlertId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// What stands now
    List {
        /// With those that are over
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
    },
    /// One of them, with what to do
    Show {
        /// As `list` has it
        alert: String,
    },
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { all, page } => list(all, &page, context).await,
        Verb::Show { alert } => show(&alert, context).await,
    }
}

/// By `7`, `#7`, or the name of one that stands.
async fn show(named: &str, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.read().await?;
    let found = match named.trim_start_matches('#').parse() {
        Ok(id) => tx.alert(AlertId(id)).await?,
        Err(_) => {
            let standing = tx.standing_alert(named).await?;
            standing.ok_or_else(|| Error::Missing(format!("alert {named:?} that stands")))?
        }
    };
    Ok(Output::thing(json(&found)?))
}

async fn list(all: bool, page: &Page, context: &Context) -> Result<Output, CliError> {
    let lines = context.store.read().await?.list_alerts(all, page.limit(context)).await?;
    Output::list(&lines, context.wants_json, |lines| {
        Table::of(["ID", "NAME", "RAISED", "TOLD", "CLEARED", "WORDS"], "no alert", lines, |a: &AlertLine| {
            [
                id(a.id),
                a.name.clone(),
                a.raised.clone(),
                maybe(a.told.as_ref()),
                maybe(a.cleared.as_ref()),
                a.words.clone(),
            ]
        })
    })
}
