//! `maildesk account …`

use serde_json::json;

use super::Context;
use super::output::{CliError, Output, json};
use super::relay::lay_over;
use super::table::{Table, id};
use crate::config::{AccountFlags, AccountSection};
use crate::mail::Address;
use crate::store::AccountRow;

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
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    version: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its login or id
    account: String,
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    version: Option<i64>,
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
    let lines: Vec<serde_json::Value> = rows.iter().map(shown).collect::<Result<_, _>>()?;
    Output::list(&lines, context.wants_json, |_| {
        let heads = ["ID", "LOGIN", "NAME", "ROLE", "ADDRESSES", "STATE"];
        Table::of(
            heads,
            "no account; `maildesk account add --help` says how to add one",
            &rows,
            |a: &AccountRow| {
                let spec = &a.spec;
                [
                    id(a.id),
                    spec.login.clone(),
                    spec.name.clone(),
                    spec.role.to_string(),
                    spec.addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", "),
                    (if spec.is_active { "on" } else { "off" }).to_owned(),
                ]
            },
        )
    })
}

fn shown(row: &AccountRow) -> Result<serde_json::Value, CliError> {
    let mut shown = json!({ "id": row.id });
    lay_over(&mut shown, json(AccountSection::from(&row.spec))?);
    let rest = json!({
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
    });
    lay_over(&mut shown, rest);
    Ok(shown)
}

async fn add(args: AddArgs, context: &Context) -> Result<Output, CliError> {
    let mut section = AccountSection::default();
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let mut tx = context.store.write().await?;
    let id = tx.create_account(&spec, &context.stamp()).await?;
    tx.commit().await?;
    let words = format!("account #{id} {:?} added", spec.login);
    Ok(Output::said(words, json!({ "id": id, "login": spec.login, "version": 1 })))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_account(&args.account).await?;
    let mut section = AccountSection::from(&row.spec);
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let version = args.version.unwrap_or(row.version);
    tx.update_account(row.id, version, &spec).await?;
    tx.commit().await?;
    let words = format!("account #{} {:?} changed, now version {}", row.id, spec.login, version + 1);
    Ok(Output::said(words, json!({ "id": row.id, "login": spec.login, "version": version + 1 })))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_account(&args.account).await?;
    tx.delete_account(row.id, args.version.unwrap_or(row.version)).await?;
    tx.commit().await?;
    let words = format!("account #{} {:?} deleted", row.id, row.spec.login);
    Ok(Output::said(words, json!({ "id": row.id, "login": row.spec.login, "deleted": true })))
}
