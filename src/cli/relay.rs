//! `maildesk relay …`

use serde_json::json;

use super::Context;
use super::input::{PasswordInput, password_change};
use super::output::{CliError, Output};
use super::row::{self, Named, Seen};
use super::table::{Table, id};
use crate::config::{Auth, RelayFlags, RelaySection, RelaySpec};
use crate::store::{PasswordChange, RelayRow};
use crate::ticket::RelayId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// All of them
    List,
    /// One, with all its settings
    Show {
        relay: String,
    },
    /// Add one
    #[command(after_help = "Example:\n  \
        maildesk relay add --name out --host smtp.example.com --username support@example.com \\\n    \
        --sender support@example.com --password-file out.password")]
    Add(Given),
    Edit(EditArgs),
    /// Delete one that nothing depends on
    Delete(DeleteArgs),
}

/// What it is to be
#[derive(Debug, clap::Args)]
pub struct Given {
    #[command(flatten)]
    pub flags: RelayFlags,
    #[command(flatten)]
    pub password: PasswordInput,
}

impl Given {
    /// What is given, laid over the rest, and checked; and what becomes of the password.
    fn over(
        self,
        mut section: RelaySection,
        context: &Context,
    ) -> Result<(RelaySpec, PasswordChange), CliError> {
        self.flags.overlay(&mut section);
        let spec = section.resolve(&context.cwd)?;
        let password = password_change(&context.stdin, spec.auth)?;
        Ok((spec, password))
    }
}

/// Change what is given; the rest stays
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its name or id
    relay: String,
    #[command(flatten)]
    pub given: Given,
    #[command(flatten)]
    seen: Seen,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its name or id
    relay: String,
    #[command(flatten)]
    seen: Seen,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List => list(context).await,
        Verb::Show { relay } => {
            let row = context.store.read().await?.find_relay(&relay).await?;
            Ok(Output::thing(shown(&row)?))
        }
        Verb::Add(given) => add(given, context).await,
        Verb::Edit(args) => edit(args, context).await,
        Verb::Delete(args) => delete(args, context).await,
    }
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let rows = context.store.read().await?.relays().await?;
    row::list(&rows, context, shown, |rows| {
        let heads = ["ID", "NAME", "KIND", "HOST", "PORT", "TLS", "SENDER", "STATE"];
        Table::of(heads, "no relay; `maildesk relay add --help` says how to add one", rows, |r| {
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
        })
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
    let rest = json!({
        "port": row.spec.port,
        "has_password": row.password.is_some(),
        "state": state(row),
        "paused": row.is_paused,
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
    });
    row::shown(row.id, RelaySection::from(&row.spec), rest)
}

fn called(id: RelayId, spec: &RelaySpec) -> Named<'_> {
    Named { word: "relay", id: id.0, key: "name", name: &spec.name }
}

async fn add(given: Given, context: &Context) -> Result<Output, CliError> {
    let (spec, password) = given.over(RelaySection::default(), context)?;
    let mut tx = context.store.write().await?;
    let id = tx.create_relay(&spec, &password, &context.stamp()).await?;
    tx.commit().await?;
    let hint = match spec.auth {
        Auth::Oauth2 => row::sign_in_hint(&spec.name),
        Auth::Password => String::new(),
    };
    Ok(called(id, &spec).added(&hint))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_relay(&args.relay).await?;
    let (spec, password) = args.given.over(RelaySection::from(&row.spec), context)?;
    let version = args.seen.or(row.version);
    tx.update_relay(row.id, version, &spec, (&password, &context.stamp())).await?;
    tx.commit().await?;
    Ok(called(row.id, &spec).changed(version + 1, ""))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_relay(&args.relay).await?;
    tx.delete_relay(row.id, args.seen.or(row.version)).await?;
    tx.commit().await?;
    Ok(called(row.id, &row.spec).deleted())
}
