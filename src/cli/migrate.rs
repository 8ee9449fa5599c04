//! `maildesk migrate`: a store brought up to this program, and a desk moved to another store.

use std::path::Path;

use serde_json::json;

use super::Context;
use super::output::{CliError, Output};
use super::sink::Shown;
use crate::clock::Clock;
use crate::config::base::StoreSection;
use crate::control::Progress;
use crate::seal::{random, to_hex};
use crate::store::{MoveStep, Moving, Owner, Store};

/// Bring the store's schema up to this program's, or move the desk to PostgreSQL
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The schema goes forward only, and running it again does nothing. Make a copy of the store first.\n\
    A new store is set up by whichever command opens it first.\n\n\
    --from and --to move a whole desk from a SQLite file into an empty PostgreSQL database. No daemon may run on it. Each\n\
    row is compared at the end. Broken off, it goes on when it is given once more. Afterwards the old file refuses to work;\n\
    set store.url to the new place, and keep the sealing key where it is.\n\n\
    Example:\n  maildesk migrate --from sqlite:desk.db --to postgres://maildesk@db.example.com/maildesk"
)]
pub struct Args {
    /// Move the desk of this store
    #[arg(long, value_name = "URL", requires = "where_to")]
    pub from: Option<String>,
    /// into this one, which is empty
    #[arg(long, value_name = "URL", requires = "from", group = "where_to")]
    pub to: Option<String>,
    /// The url of --to from a file, for one that holds a password
    #[arg(long, value_name = "FILE", requires = "from", group = "where_to")]
    pub to_file: Option<String>,
    /// The desk of --from stays there after all
    #[arg(long, requires = "from", group = "where_to")]
    pub undo: bool,
}

pub async fn run(_args: Args, context: &Context) -> Result<Output, CliError> {
    // The context was opened for this: what was to do is done.
    let schema = context.store.schema().await?;
    let words = format!("the store's schema is version {}, as this program needs it", schema.found);
    Ok(Output::said(words, json!({ "schema": schema.found })))
}

/// With --from. No configuration is asked: it names one store, and here are two.
pub async fn move_desk(args: &Args) -> Result<Output, CliError> {
    let cwd = std::env::current_dir().map_err(|e| CliError::unavailable(format!("this folder: {e}")))?;
    let section = StoreSection { url: args.from.clone().unwrap_or_default(), ..StoreSection::default() };
    let source = Store::connect_existing(&url(&section, &cwd, "from")?).await?;
    let owner = Owner { command: "migrate", pid: std::process::id(), since: Clock::system().now() };
    source.require_schema().await?;
    if args.undo {
        return stay(&source, &owner).await;
    }
    let section = StoreSection {
        url: args.to.clone().unwrap_or_default(),
        url_file: args.to_file.clone().unwrap_or_default(),
    };
    let target = source.connect_target(&url(&section, &cwd, "to")?).await?;
    if target.schema().await?.found == 0 {
        target.migrate().await?;
    }
    target.require_schema().await?;
    let begun = std::time::Instant::now();
    let mut bar = Shown::default();
    let mut told = |step: MoveStep| {
        bar.show(&Progress { done: step.done, total: step.rows, words: step.words.into() });
    };
    let moving = Moving { owner, id: to_hex(&random::<8>()) };
    let moved = source.move_to(&target, &moving, &mut told).await?;
    let (rows, seconds) = (moved.tables.iter().map(|t| t.rows).sum::<u64>(), begun.elapsed().as_secs_f64());
    let (from, to) = (source.place(), target.place());
    let json = json!({
        "from": from, "to": to, "rows": rows, "rows_before": moved.rows_before, "was_done": moved.was_done,
        "equal": true, "tables": moved.tables, "seconds": (seconds * 10.0).round() / 10.0,
    });
    let mut human = match moved.was_done {
        true => format!("The desk of {from} had moved to {to} before: nothing was left to do.\n"),
        false => format!(
            "{rows} rows in {} tables went from {from} to {to}; all are there, and the same.\n",
            moved.tables.len()
        ),
    };
    human.push_str(&format!(
        "Set store.url to the new place, and start the daemon there. The sealing key stays the same.\n{from} is marked as \
         moved and refuses to work; `maildesk migrate --undo --from sqlite:{from}` would take that back.\n"
    ));
    Ok(Output { human, json, ..Output::default() })
}

async fn stay(store: &Store, owner: &Owner) -> Result<Output, CliError> {
    let Some(to) = store.stay(owner).await? else {
        return Err(CliError::data(format!("the desk of {} has not moved: it is here", store.place())));
    };
    let words = format!(
        "The desk of {} stays here. Nothing may be done on what stands in {to}: throw it away.",
        store.place()
    );
    Ok(Output::said(words, json!({ "stays": store.place(), "not": to })))
}

fn url(section: &StoreSection, cwd: &Path, flag: &str) -> Result<String, CliError> {
    section.resolve(cwd).map_err(|wrong| CliError::usage(format!("--{flag}: {}", wrong.words)))
}
