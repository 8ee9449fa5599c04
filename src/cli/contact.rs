//! `maildesk contact …`

use serde_json::json;

use super::output::{CliError, Output, json};
use super::row::Seen;
use super::table::{Table, id};
use super::{Context, Page};
use crate::mail::Address;
use crate::store::{BlockRow, ContactEdit, ContactRow};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// All of them, or those whose name or address holds some words
    List {
        #[arg(long, value_name = "WORDS", default_value = "")]
        search: String,
        #[command(flatten)]
        page: Page,
    },
    /// One, with its addresses
    Show {
        /// Its id or one of its addresses
        contact: String,
    },
    #[command(
        after_help = "Example:\n  maildesk contact edit ann@example.com --add-address ann@home.example"
    )]
    Edit(EditArgs),
    /// Whose mail goes to the invalid queue
    Blocked,
    /// Let mail of these senders go to the invalid queue from now on
    #[command(after_help = "Example:\n  maildesk contact block spam@example.com @spam.example")]
    Block {
        /// An address, or a domain as @example.com
        #[arg(required = true)]
        patterns: Vec<String>,
    },
    /// Take them off the block list
    Unblock {
        #[arg(required = true)]
        patterns: Vec<String>,
    },
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its id or one of its addresses
    contact: String,
    #[arg(long)]
    name: Option<String>,
    #[arg(long, value_parser = ["customer", "lead", "student", "tutor", "admin"])]
    role: Option<String>,
    /// Mail from there is this contact's, too
    #[arg(long, value_name = "ADDRESS")]
    add_address: Vec<Address>,
    #[arg(long, value_name = "ADDRESS")]
    remove_address: Vec<Address>,
    #[command(flatten)]
    seen: Seen,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List { search, page } => {
            let lines = context.store.read().await?.contacts(&search, page.limit(context)).await?;
            Output::list(&lines, context.wants_json, table)
        }
        Verb::Show { contact } => {
            let row = context.store.read().await?.find_contact(&contact).await?;
            Ok(Output::thing(json(row)?))
        }
        Verb::Edit(args) => edit(args, context).await,
        Verb::Blocked => {
            let lines = context.store.read().await?.block_list().await?;
            Output::list(&lines, context.wants_json, |lines| {
                Table::of(["PATTERN", "VERDICT", "SINCE"], "nobody is blocked", lines, |b: &BlockRow| {
                    [b.pattern.clone(), b.verdict.clone(), b.created.clone()]
                })
            })
        }
        Verb::Block { patterns } => block(&patterns, true, context).await,
        Verb::Unblock { patterns } => block(&patterns, false, context).await,
    }
}

fn table(lines: &[ContactRow]) -> Table {
    Table::of(["ID", "NAME", "ROLE", "ADDRESSES", "TICKETS"], "no contact", lines, |c| {
        let addresses: Vec<&str> = c.addresses.iter().map(|a| a.address.as_str()).collect();
        [id(c.id), c.name.clone(), c.role.clone(), addresses.join(", "), c.tickets.to_string()]
    })
}

/// All of them or none.
async fn block(patterns: &[String], is_blocked: bool, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.desk().await?;
    let mut changed = vec![];
    for pattern in patterns {
        let is_pattern = match pattern.strip_prefix('@') {
            Some(domain) => !domain.is_empty() && !domain.contains(['@', ' ']),
            None => pattern.parse::<Address>().is_ok(),
        };
        if !is_pattern {
            let words = format!("{pattern:?} is neither an address nor a domain such as @example.com");
            return Err(CliError::usage(words));
        }
        let is_changed = match is_blocked {
            true => tx.block(pattern, context.clock.now()).await?,
            false => tx.unblock(pattern).await?,
        };
        changed.extend(is_changed.then(|| pattern.to_lowercase()));
    }
    tx.commit().await?;
    let word = if is_blocked { "blocked" } else { "unblocked" };
    let words = match changed.as_slice() {
        [] => format!("nothing to do: {word} before"),
        changed => format!("{word}: {}", changed.join(", ")),
    };
    Ok(Output::said(words, json!({ "changed": changed, "blocked": is_blocked })))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.desk().await?;
    let row = tx.find_contact(&args.contact).await?;
    let edit =
        ContactEdit { name: args.name, role: args.role, add: args.add_address, remove: args.remove_address };
    tx.edit_contact(row.id, args.seen.or(row.version), &edit).await?;
    let after = tx.contact(row.id).await?;
    tx.commit().await?;
    let words = format!("contact #{} changed, now version {}", row.id, after.version);
    Ok(Output::said(words, json!({ "id": row.id, "version": after.version })))
}
