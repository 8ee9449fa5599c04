//! `maildesk type …`

use serde_json::json;

use super::Context;
use super::output::{CliError, Output};
use super::row::{self, Named, Seen};
use super::table::{Table, id};
use crate::config::{TypeFlags, TypeSection, TypeSpec};
use crate::store::TypeRow;
use crate::ticket::TypeId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// All of them
    List,
    /// One, with all its settings
    Show {
        #[arg(value_name = "TYPE")]
        named: String,
    },
    #[command(after_help = "Example:\n  \
        maildesk type add --name Support --mailbox support --relay out --addresses support@example.com \\\n    \
        --addresses 'help-*@example.com' --admin admin@example.org")]
    Add(AddArgs),
    #[command(after_help = "A list that is given takes the place of the old one; `--forward ''` empties it.")]
    Edit(EditArgs),
    /// Delete one that nothing depends on
    Delete(DeleteArgs),
}

/// Add one
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    flags: TypeFlags,
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its name or id
    #[arg(value_name = "TYPE")]
    named: String,
    #[command(flatten)]
    flags: TypeFlags,
    #[command(flatten)]
    seen: Seen,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its name or id
    #[arg(value_name = "TYPE")]
    named: String,
    #[command(flatten)]
    seen: Seen,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List => list(context).await,
        Verb::Show { named } => {
            let row = context.store.read().await?.find_type(&named).await?;
            Ok(Output::thing(shown(&row)?))
        }
        Verb::Add(args) => add(args, context).await,
        Verb::Edit(args) => edit(args, context).await,
        Verb::Delete(args) => delete(args, context).await,
    }
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let rows = context.store.read().await?.types().await?;
    row::list(&rows, context, shown, |rows| {
        let heads = ["ID", "NAME", "TAG", "FLOW", "MAILBOX", "RELAY", "ADDRESSES", "ADMIN", "STATE"];
        Table::of(heads, "no type; `maildesk type add --help` says how to add one", rows, |t| {
            let spec = &t.spec;
            [
                id(t.id),
                spec.name.clone(),
                spec.tag.clone(),
                spec.flow.to_string(),
                spec.mailbox.clone(),
                spec.relay.clone(),
                spec.patterns.join(", "),
                spec.admin.as_ref().map_or("-".to_owned(), ToString::to_string),
                (if spec.is_active { "on" } else { "off" }).to_owned(),
            ]
        })
    })
}

fn shown(row: &TypeRow) -> Result<serde_json::Value, CliError> {
    let rest = json!({
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
    });
    row::shown(row.id, TypeSection::from(&row.spec), rest)
}

fn called(id: TypeId, spec: &TypeSpec) -> Named<'_> {
    Named { word: "type", id: id.0, key: "name", name: &spec.name }
}

async fn add(args: AddArgs, context: &Context) -> Result<Output, CliError> {
    let mut section = TypeSection::default();
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let mut tx = context.store.write().await?;
    let id = tx.create_type(&spec, &context.stamp()).await?;
    tx.commit().await?;
    Ok(called(id, &spec).added(""))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_type(&args.named).await?;
    let mut section = TypeSection::from(&row.spec);
    // The sender's address follows the list unless it was chosen.
    if args.flags.addresses.is_some() && row.spec.patterns.contains(&row.spec.address.to_string()) {
        section.address.clear();
    }
    args.flags.overlay(&mut section);
    let spec = section.resolve()?;
    let version = args.seen.or(row.version);
    tx.update_type(row.id, version, &spec).await?;
    tx.commit().await?;
    Ok(called(row.id, &spec).changed(version + 1, ""))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_type(&args.named).await?;
    tx.delete_type(row.id, args.seen.or(row.version)).await?;
    tx.commit().await?;
    Ok(called(row.id, &row.spec).deleted())
}
