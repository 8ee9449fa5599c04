//! `maildesk relay …`

use serde_json::json;

use super::Context;
use super::input::{PasswordInput, password_change};
use super::output::{CliError, Output, json};
use super::table::{Table, id};
use crate::config::{Auth, RelayFlags, RelaySection};
use crate::store::RelayRow;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// All of them
    List,
    /// One, with all its settings
    Show {
        relay: String,
    },
    #[command(after_help = "Example:\n  \
        maildesk relay add --name out --host smtp.example.com --username support@example.com \\\n    \
        --sender support@example.com --password-file out.password")]
    Add(AddArgs),
    Edit(EditArgs),
    /// Delete one that nothing depends on
    Delete(DeleteArgs),
}

/// Add one
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    pub flags: RelayFlags,
    #[command(flatten)]
    pub password: PasswordInput,
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its name or id
    relay: String,
    #[command(flatten)]
    pub flags: RelayFlags,
    #[command(flatten)]
    pub password: PasswordInput,
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    version: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its name or id
    relay: String,
    /// Only if it is still at this version, as `show` told it
    #[arg(long = "at-version", value_name = "VERSION")]
    version: Option<i64>,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List => list(context).await,
        Verb::Show { relay } => {
            let row = context.store.read().await?.find_relay(&relay).await?;
            Ok(Output::thing(shown(&row)?))
        }
        Verb::Add(args) => add(args, context).await,
        Verb::Edit(args) => edit(args, context).await,
        Verb::Delete(args) => delete(args, context).await,
    }
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let rows = context.store.read().await?.relays().await?;
    let lines: Vec<serde_json::Value> = rows.iter().map(shown).collect::<Result<_, _>>()?;
    Output::list(&lines, context.wants_json, |_| {
        let heads = ["ID", "NAME", "KIND", "HOST", "PORT", "TLS", "SENDER", "STATE"];
        Table::of(
            heads,
            "no relay; `maildesk relay add --help` says how to add one",
            &rows,
            |r: &RelayRow| {
                let spec = &r.spec;
                [
                    id(r.id),
                    spec.name.clone(),
                    spec.kind.to_string(),
                    spec.host.clone(),
                    spec.port.to_string(),
                    spec.tls.to_string(),
                    spec.sender.to_string(),
                    state(r).to_owned(),
                ]
            },
        )
    })
}

fn state(row: &RelayRow) -> &'static str {
    match row {
        _ if !row.spec.is_active => "off",
        _ if row.is_paused => "paused",
        _ => "on",
    }
}

fn shown(row: &RelayRow) -> Result<serde_json::Value, CliError> {
    let mut shown = json!({ "id": row.id });
    lay_over(&mut shown, json(RelaySection::from(&row.spec))?);
    let rest = json!({
        "port": row.spec.port,
        "has_password": row.password.is_some(),
        "state": state(row),
        "paused": row.is_paused,
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
    });
    lay_over(&mut shown, rest);
    Ok(shown)
}

/// Lays the keys of one object over another; what is about passwords stays out.
pub(super) fn lay_over(under: &mut serde_json::Value, over: serde_json::Value) {
    let (Some(under), serde_json::Value::Object(over)) = (under.as_object_mut(), over) else { return };
    under.extend(over.into_iter().filter(|(key, _)| !key.starts_with("password")));
}

async fn add(args: AddArgs, context: &Context) -> Result<Output, CliError> {
    let mut section = RelaySection::default();
    args.flags.overlay(&mut section);
    let spec = section.resolve(&context.cwd)?;
    let password = password_change(&context.stdin, spec.auth)?;
    let mut tx = context.store.write().await?;
    let id = tx.create_relay(&spec, &password, &context.stamp()).await?;
    tx.commit().await?;
    let mut words = format!("relay #{id} {:?} added", spec.name);
    if spec.auth == Auth::Oauth2 {
        words.push_str(&format!("; `maildesk oauth login {:?}` signs in for it", spec.name));
    }
    Ok(Output::said(words, json!({ "id": id, "name": spec.name, "version": 1 })))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_relay(&args.relay).await?;
    let mut section = RelaySection::from(&row.spec);
    args.flags.overlay(&mut section);
    let spec = section.resolve(&context.cwd)?;
    let version = args.version.unwrap_or(row.version);
    let password = password_change(&context.stdin, spec.auth)?;
    tx.update_relay(row.id, version, &spec, (&password, &context.stamp())).await?;
    tx.commit().await?;
    let words = format!("relay #{} {:?} changed, now version {}", row.id, spec.name, version + 1);
    Ok(Output::said(words, json!({ "id": row.id, "name": spec.name, "version": version + 1 })))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_relay(&args.relay).await?;
    tx.delete_relay(row.id, args.version.unwrap_or(row.version)).await?;
    tx.commit().await?;
    let words = format!("relay #{} {:?} deleted", row.id, row.spec.name);
    Ok(Output::said(words, json!({ "id": row.id, "name": row.spec.name, "deleted": true })))
}
