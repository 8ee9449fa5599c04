//! `maildesk mailbox …`

use std::path::Path;

use serde_json::json;

use super::input::{PasswordInput, password_change};
use super::output::{CliError, Output, json};
use super::row::{self, Named, Seen, lay_over};
use super::table::{Table, clean, id, maybe};
use super::{Context, checkup};
use crate::clock::Micros;
use crate::config::{Auth, MailboxFlags, MailboxSection, MailboxSpec, Mode, Protocol};
use crate::failure::Failure;
use crate::intake::held_alert;
use crate::sources::{imap, pop3};
use crate::store::listing::{AlertLine, BalanceLine, MailboxLine};
use crate::store::{MailboxRow, PasswordChange, Unknown};
use crate::ticket::MailboxId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// How each fares
    List,
    /// One, with all its settings
    Show {
        mailbox: String,
    },
    /// Add one
    #[command(after_help = "Example:\n  \
        maildesk mailbox add --name support --host imap.example.com --username support@example.com \\\n    \
        --password-file support.password")]
    Add(Given),
    Edit(EditArgs),
    /// Delete one that nothing depends on
    Delete(DeleteArgs),
    /// Sign in and say what the server says; nothing is fetched or changed
    Test {
        mailbox: String,
    },
    /// Let one go on that waits because most of its mail was suddenly unknown
    Resume {
        mailbox: String,
        /// What lies there now stays there, untouched; what arrives from now on is taken in
        #[arg(long)]
        from_now: bool,
    },
    /// End the shadow mode of one: what still lies there is decided anew, for good
    Live {
        mailbox: String,
    },
    /// What the server showed, and what became of it
    #[command(
        after_help = "shown = tickets + entries + bounces + invalid + errors + duplicates + discarded + left + vanished + \
        before_start + shadow + pending + difference. A difference other than 0 is an alarm."
    )]
    Balance {
        /// Of this one alone
        #[arg(long)]
        mailbox: Option<String>,
    },
}

/// What it is to be
#[derive(Debug, clap::Args)]
pub struct Given {
    #[command(flatten)]
    pub flags: MailboxFlags,
    #[command(flatten)]
    pub password: PasswordInput,
}

impl Given {
    /// What is given, laid over the rest, and checked; and what becomes of the password.
    fn over(
        self,
        mut section: MailboxSection,
        context: &Context,
    ) -> Result<(MailboxSpec, PasswordChange), CliError> {
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
    mailbox: String,
    #[command(flatten)]
    pub given: Given,
    #[command(flatten)]
    seen: Seen,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Its name or id
    mailbox: String,
    #[command(flatten)]
    seen: Seen,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List => list(context).await,
        Verb::Show { mailbox } => {
            let mut tx = context.store.read().await?;
            let row = tx.find_mailbox(&mailbox).await?;
            let alert = tx.standing_alert(&format!("mailbox:{}:failing", row.id)).await?;
            Ok(Output::thing(shown(&row, alert.as_ref())?))
        }
        Verb::Add(given) => add(given, context).await,
        Verb::Edit(args) => edit(args, context).await,
        Verb::Delete(args) => delete(args, context).await,
        Verb::Test { mailbox } => {
            let row = context.store.read().await?.find_mailbox(&mailbox).await?;
            test(&row, context).await
        }
        Verb::Resume { mailbox, from_now } => {
            let unknown = if from_now { Unknown::Now } else { Unknown::All };
            resume(&mailbox, unknown, context).await
        }
        Verb::Live { mailbox } => live(&mailbox, context).await,
        Verb::Balance { mailbox } => balance(mailbox.as_deref(), context).await,
    }
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let lines = context.store.read().await?.list_mailboxes().await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads = [
            "ID",
            "NAME",
            "PROTOCOL",
            "HOST",
            "STATE",
            "TYPES",
            "SCHEDULE",
            "LAST OK",
            "FAILING SINCE",
            "LAST ERROR",
        ];
        Table::of(
            heads,
            "no mailbox; `maildesk mailbox add --help` says how to add one",
            lines,
            |m: &MailboxLine| {
                [
                    id(m.id),
                    m.name.clone(),
                    m.protocol.clone(),
                    m.host.clone(),
                    m.state.to_owned(),
                    m.types.join(", "),
                    m.schedule.clone(),
                    maybe(m.last_ok.as_ref()),
                    maybe(m.failing_since.as_ref()),
                    m.last_error.clone(),
                ]
            },
        )
    })
}

/// Its settings as they would be written, and how it fares. Never its password.
fn shown(row: &MailboxRow, alert: Option<&AlertLine>) -> Result<serde_json::Value, CliError> {
    let fares = json!({
        "port": row.spec.port,
        "has_password": row.password.is_some(),
        "epoch": row.epoch,
        "held": row.is_held,
        "provisioned": row.is_provisioned,
        "version": row.version,
        "created": row.created.rfc3339(),
        "last_round": row.last_round.map(Micros::rfc3339),
        "last_ok": row.last_ok.map(Micros::rfc3339),
        "failing_since": row.failing_since.map(Micros::rfc3339),
        "failures": row.failures,
        "last_error": row.last_error,
        "failure": (!row.failure_kind.is_empty()).then_some(&row.failure_kind),
        "advice": alert.map(|a| &a.advice),
        "shown": row.shown,
    });
    row::shown(row.id, MailboxSection::from(&row.spec), fares)
}

fn called(id: MailboxId, spec: &MailboxSpec) -> Named<'_> {
    Named { word: "mailbox", id: id.0, key: "name", name: &spec.name }
}

async fn add(given: Given, context: &Context) -> Result<Output, CliError> {
    let (spec, password) = given.over(MailboxSection::default(), context)?;
    let mut tx = context.store.write().await?;
    let id = tx.create_mailbox(&spec, &password, &context.stamp()).await?;
    tx.commit().await?;
    let hint = match (spec.auth, spec.protocol) {
        (Auth::Oauth2, _) => row::sign_in_hint(&spec.name),
        (Auth::Password, Protocol::Imap | Protocol::Pop3) if password == PasswordChange::Keep => {
            ", without a password: `maildesk mailbox edit` with --password-file gives it one".to_owned()
        }
        _ => String::new(),
    };
    Ok(called(id, &spec).added(&hint))
}

async fn edit(args: EditArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_mailbox(&args.mailbox).await?;
    let (spec, password) = args.given.over(MailboxSection::from(&row.spec), context)?;
    let version = args.seen.or(row.version);
    tx.update_mailbox(row.id, version, &spec, (&password, &context.stamp())).await?;
    let after = tx.mailbox(row.id).await?;
    tx.commit().await?;
    let hint = match after.epoch == row.epoch {
        true => "",
        false => "; it is another account now, so what lies there is looked at anew",
    };
    Ok(called(row.id, &spec).changed(after.version, hint))
}

async fn delete(args: DeleteArgs, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_mailbox(&args.mailbox).await?;
    tx.delete_mailbox(row.id, args.seen.or(row.version)).await?;
    tx.commit().await?;
    Ok(called(row.id, &row.spec).deleted())
}

async fn test(row: &MailboxRow, context: &Context) -> Result<Output, CliError> {
    let unavailable =
        |e: Failure| CliError::unavailable(e.of(format!("mailbox {:?}", row.spec.name)).to_string());
    match row.spec.protocol {
        Protocol::Imap => test_imap(row, checkup::examine(row, context).await.map_err(unavailable)?),
        Protocol::Pop3 => test_pop3(row, checkup::pop3::examine(row, context).await.map_err(unavailable)?),
        Protocol::Maildir => {
            let messages = checkup::maildir_messages(Path::new(&row.spec.host)).await.map_err(unavailable)?;
            let words = format!("{}: {messages} messages", row.spec.host);
            Ok(Output::said(words, json!({ "mailbox": row.spec.name, "messages": messages })))
        }
        Protocol::Pipe => {
            let words = "there is no server to ask: an MTA brings its mail by `maildesk deliver`";
            Ok(Output::said(words, json!({ "mailbox": row.spec.name })))
        }
    }
}

fn test_imap(row: &MailboxRow, report: imap::Report) -> Result<Output, CliError> {
    let is_good = report.folders.iter().all(|folder| folder.messages.is_some());
    let mut human = format!(
        "{}\nsigned in by {}\ncapabilities: {}",
        report.greeting,
        way(report.signed_in_by),
        report.capabilities.join(" ")
    );
    for folder in &report.folders {
        human.push_str(&match folder.messages {
            Some(messages) => format!("\nfolder {}: {messages} messages", folder.name),
            None => format!("\nfolder {} failed: {}", folder.name, folder.words),
        });
    }
    tested(row, &human, json(&report)?, is_good)
}

fn test_pop3(row: &MailboxRow, report: pop3::Report) -> Result<Output, CliError> {
    let capabilities = match report.capabilities.as_slice() {
        [] => "none: the server knows no CAPA".to_owned(),
        stated => stated.join(", "),
    };
    let mut human = format!(
        "{}\nsigned in by {}\ncapabilities: {capabilities}\n{} messages",
        report.greeting,
        way(report.signed_in_by),
        report.messages
    );
    if !report.unlisted.is_empty() {
        human.push_str(&format!("\nthey cannot be listed: {}", report.unlisted));
    }
    tested(row, &human, json(&report)?, report.unlisted.is_empty())
}

fn way(signed_in_by: &'static str) -> &'static str {
    if signed_in_by.is_empty() { "other means: the server knew us already" } else { signed_in_by }
}

fn tested(
    row: &MailboxRow,
    human: &str,
    report: serde_json::Value,
    is_good: bool,
) -> Result<Output, CliError> {
    let mut shown = json!({ "mailbox": row.spec.name });
    lay_over(&mut shown, report);
    let human: String = human.lines().map(|line| clean(line) + "\n").collect();
    let code = if is_good { super::code::OK } else { super::code::UNAVAILABLE };
    Ok(Output { code, ..Output::said(human, shown) })
}

async fn resume(named: &str, unknown: Unknown, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_mailbox(named).await?;
    let was_held = tx.resume_mailbox(row.id, unknown).await?;
    context.works.desk.alerts.state_in(&mut tx, &held_alert(&row), None).await?;
    tx.commit().await?;
    let what = match unknown {
        Unknown::Now => "what lies there now stays there",
        _ => "all that lies there is taken in",
    };
    let words = match was_held {
        true => format!(" goes on with its next round: {what}"),
        false => " was not waiting".to_owned(),
    };
    Ok(called(row.id, &row.spec).said(words, json!({ "resumed": was_held })))
}

async fn live(named: &str, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let row = tx.find_mailbox(named).await?;
    let was_shadow = row.spec.mode == Mode::Shadow;
    if was_shadow {
        let spec = MailboxSpec { mode: Mode::Live, ..row.spec.clone() };
        tx.update_mailbox(row.id, row.version, &spec, (&PasswordChange::Keep, &context.stamp())).await?;
    }
    let shadows = tx.count_shadows(row.id).await?;
    tx.commit().await?;
    let words = match was_shadow {
        true => format!(
            " is live: of {shadows} messages decided in shadow, those that still lie there are decided anew with the \
             next round"
        ),
        false => " is live already".to_owned(),
    };
    Ok(called(row.id, &row.spec).said(words, json!({ "was_shadow": was_shadow, "shadows": shadows })))
}

async fn balance(named: Option<&str>, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.read().await?;
    let only = match named {
        Some(named) => Some(tx.find_mailbox(named).await?.id),
        None => None,
    };
    let mut lines = tx.list_balances().await?;
    lines.retain(|line| only.is_none_or(|id| line.id == id));
    Output::list(&lines, context.wants_json, |lines| {
        let heads = [
            "MAILBOX",
            "SHOWN",
            "TICKETS",
            "ENTRIES",
            "BOUNCES",
            "INVALID",
            "ERRORS",
            "DUPLICATES",
            "DISCARDED",
            "LEFT",
            "VANISHED",
            "BEFORE",
            "SHADOW",
            "PENDING",
            "DIFFERENCE",
        ];
        Table::of(heads, "no mailbox", lines, |b: &BalanceLine| {
            let c = &b.counts;
            let counts = [
                c.shown,
                c.tickets,
                c.entries,
                c.bounces,
                c.invalid,
                c.errors,
                c.duplicates,
                c.discarded,
                c.left,
                c.vanished,
                c.before_start,
                c.shadow,
                c.pending,
                b.difference,
            ];
            let mut counts = counts.iter().map(i64::to_string);
            std::array::from_fn(
                |at| if at == 0 { b.mailbox.clone() } else { counts.next().unwrap_or_default() },
            )
        })
    })
}
