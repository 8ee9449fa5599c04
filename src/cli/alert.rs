//! `maildesk alert …`

use super::output::{CliError, Output};
use super::table::{Table, id, maybe};
use super::{Context, Page};
use crate::store::listing::AlertLine;

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
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let Verb::List { all, page } = verb;
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
