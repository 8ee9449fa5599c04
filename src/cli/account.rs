//! `maildesk account …`

use serde_json::json;

use super::Context;
use super::output::{CliError, Output};
use super::row::{self, Named, Seen};
use super::table::{Table, id};
use crate::config::{AccountFlags, AccountSection, AccountSpec};
use crate::mail::Address;
use crate::store::AccountRow;
use crate::ticket::AccountId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// All of them
    List,
    /// One, with all its settings
    Show { account: String },
    #[command(after_help = "Example:\n  \
        maildesk account add --login ann --name 'Ann Example' --role agent --addresses ann@example.org")]
    Add(AddArgs),
    #[command(
        after_help = "A list that is given takes the place of the old one; `--addresses ''` empties it."
    )]
    Edit(EditArgs),
    /// Delete one that nothing depends on
    Delete(DeleteArgs),
}

/// Add one
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    flags: AccountFlags,
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its login or id
    account: String,
    #[command(flatten)]
    flags: AccountFlags,
    #[command(flatten)]
    seen: Seen,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its login or id
    account: String,
    #[command(flatten)]
    seen: Seen,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List => list(context).await,
        Verb::Show { account } => {
            let row = context.store.read().await?.find_account(&account).await?;
            Ok(Output::thing(shown(&row)?))
        }
        Verb::Add(args) => add(args, context).await,
        Verb::Edit(args) => edit(args, context).await,
        Verb::Delete(args) => delete(args, context).await,
    }
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let rows = context.store.read().await?.accounts().await?;
    row::list(&rows, context, shown, |rows| {
        let heads = ["ID", "LOGIN", "NAME", "ROLE", "ADDRESSES", "STATE"];
        Table::of(heads, "no account; `maildesk account add --help` says how to add one", rows, |a| {
            let spec = &a.spec;
            [
                id(a.id),
                spec.login.clone(),
                spec.name.clone(),
                spec.role.to_string(),
                spec.addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", "),
                (if spec.is_active { "on" } else { "off" }).to_owned(),
            ]
        })
    })
}

fn shown(row: &AccountRow) -> Result<serde_json::Value, CliError> {
    let rest = json!({
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
    });
    row::shown(row.id, AccountSection::from(&row.spec), rest)
}

fn called(id: AccountId, spec: &AccountSpec) -> Named<'_> {
    Named { word: "account", id: id.0, key: "login", name: &spec.login }
}

async fn add(args: AddArgs, context: &Context) -> Result<Output, CliError> {
    let mut section = AccountSection::default();
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let mut tx = context.store.write().await?;
    let id = tx.create_account(&spec, &context.stamp()).await?;
    tx.commit().await?;
    Ok(called(id, &spec).added(""))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_account(&args.account).await?;
    let mut section = AccountSection::from(&row.spec);
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let version = args.seen.or(row.version);
    tx.update_account(row.id, version, &spec).await?;
    tx.commit().await?;
    Ok(called(row.id, &spec).changed(version + 1, ""))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_account(&args.account).await?;
    tx.delete_account(row.id, args.seen.or(row.version)).await?;
    tx.commit().await?;
    Ok(called(row.id, &row.spec).deleted())
}
