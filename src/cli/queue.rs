//! `maildesk queue …`

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::each::each;
use super::output::{CliError, Output, json as as_json, only};
use super::table::{Table, id, keys, maybe_id};
use super::{Context, Page, code};
use crate::clock::{Micros, Pulse};
use crate::mail::Address;
use crate::outbound::Report;
use crate::store::Error;
use crate::store::delivery::AttemptRow;
use crate::store::listing::{ALL, QueueFilter, QueueLine};
use crate::ticket::{OutboxId, TicketId};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    /// One, with its recipients and what the servers said
    Show {
        id: OutboxId,
    },
    Send(SendArgs),
    /// Try again now what waits or has failed
    Retry {
        #[arg(required = true)]
        ids: Vec<OutboxId>,
    },
    /// Send what waits in hold: since a restore, or because of the loop breaker
    Release(ReleaseArgs),
    /// Do not send what has not been sent
    Cancel {
        #[arg(required = true)]
        ids: Vec<OutboxId>,
    },
    /// Hold all mail back
    Pause(RelayArgs),
    /// Let mail go again
    Resume(RelayArgs),
}

/// What is on its way, and what has become of what was
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// queued, held, done or cancelled
    #[arg(long, default_value = "")]
    state: String,
    /// notification, forward, auto_answer, answer, notice or alert
    #[arg(long, default_value = "")]
    purpose: String,
    /// One of its recipients
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    #[command(flatten)]
    page: Page,
}

/// Send once what is due now; the daemon does so by itself
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    /// At most so many mails of each relay
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    #[arg(required_unless_present = "all")]
    ids: Vec<OutboxId>,
    /// All of them; look at `queue list --state held` first
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub struct RelayArgs {
    /// Of this relay alone
    #[arg(long, value_name = "NAME")]
    relay: Option<String>,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    match verb {
        Verb::List(args) => list(args, context).await,
        Verb::Show { id } => {
            let filter = QueueFilter { id: id.0, limit: ALL, ..QueueFilter::default() };
            let lines = context.store.read().await?.list_queue(&filter).await?;
            let line = only(lines, format_args!("outbound mail #{id}"))?;
            show(line, context).await
        }
        Verb::Send(args) => send(&args, context).await,
        Verb::Retry { ids } => {
            let cause = &context.cause("queue retry");
            let done = each(&ids, context, |id| async move {
                context.works.desk.retry_mail(id, cause).await?;
                Ok((format!("mail #{id} goes out again now"), json!({})))
            })
            .await;
            context.works.wake.notify_one();
            done
        }
        Verb::Release(args) => {
            let ids = match args.all {
                true => context.store.read().await?.held_mails().await?,
                false => args.ids,
            };
            let done = each(&ids, context, |id| async move {
                release(id, context).await?;
                Ok((format!("mail #{id} is sent"), json!({})))
            })
            .await;
            context.works.wake.notify_one();
            done
        }
        Verb::Cancel { ids } => {
            let cause = &context.cause("queue cancel");
            each(&ids, context, |id| async move {
                context.works.desk.cancel_mail(id, cause).await?;
                Ok((format!("mail #{id} cancelled"), json!({})))
            })
            .await
        }
        Verb::Pause(args) => pause(args, true, context).await,
        Verb::Resume(args) => {
            let resumed = pause(args, false, context).await;
            context.works.wake.notify_one();
            resumed
        }
    }
}

async fn release(id: OutboxId, context: &Context) -> Result<(), Error> {
    let mut tx = context.store.write().await?;
    tx.release_held(id, context.clock.now()).await?;
    tx.commit().await
}

/// Its line, and for each attempt what the server said.
async fn show(line: QueueLine, context: &Context) -> Result<Output, CliError> {
    let attempts = context.store.read().await?.attempts_of(line.id).await?;
    let attempts: Vec<serde_json::Value> = attempts.iter().map(attempt).collect();
    let mut shown = as_json(&line)?;
    // Not only how many.
    shown["attempts"] = attempts.into();
    if context.wants_json {
        return Ok(Output { json: shown, ..Output::default() });
    }
    let mut human = String::new();
    let lists = ["recipients", "attempts"].map(|list| shown[list].take());
    if let Some(object) = shown.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    human.push_str(&keys(&shown));
    for (title, list) in ["RECIPIENT", "ATTEMPT"].iter().zip(&lists) {
        for thing in list.as_array().into_iter().flatten() {
            human.push_str(&format!("\n{title}\n{}", keys(thing)));
        }
    }
    Ok(Output { human, ..Output::default() })
}

fn attempt(row: &AttemptRow) -> serde_json::Value {
    json!({
        "id": row.id,
        "state": row.state,
        "possibly_repeated": row.is_possibly_repeated,
        "relay": row.relay,
        "recipients": row.recipients,
        "started": row.started.rfc3339(),
        "ended": row.ended.map(Micros::rfc3339),
        "code": row.code,
        "words": row.words,
    })
}

/// One pass over what is due. In the daemon its own sender goes on beside it: the claims of the two keep apart.
async fn send(args: &SendArgs, context: &Context) -> Result<Output, CliError> {
    let mut outbound = context.works.outbound();
    if !context.is_daemon {
        let report = outbound.pass(i64::from(args.limit)).await?;
        return sent(&report, context).await;
    }
    outbound.leases = outbound.leases.beside("queue send").await?;
    let (stop, leases) = (CancellationToken::new(), outbound.leases.clone());
    let _stop = stop.clone().drop_guard();
    let report = tokio::select! {
        report = outbound.pass(i64::from(args.limit)) => report,
        () = leases.clone().run(Pulse::default(), stop) => Ok(Report::default()),
    };
    leases.leave().await?;
    sent(&report?, context).await
}

async fn sent(report: &Report, context: &Context) -> Result<Output, CliError> {
    context.works.state_relays(report).await?;
    let failing: Vec<&String> = report.failing.iter().map(|failure| &failure.words).collect();
    let mut human =
        format!("sent to {}, deferred {}, failed {}", report.sent, report.deferred, report.failed);
    for words in &failing {
        human.push_str(&format!("\n{words}"));
    }
    let json = json!({
        "sent": report.sent,
        "deferred": report.deferred,
        "failed": report.failed,
        "failing_relays": failing,
    });
    let code = if failing.is_empty() { code::OK } else { code::TRY_AGAIN };
    Ok(Output { code, ..Output::said(human, json) })
}

async fn list(args: ListArgs, context: &Context) -> Result<Output, CliError> {
    let filter = QueueFilter {
        state: args.state,
        purpose: args.purpose,
        to: args.to.map_or(String::new(), |to| to.to_string()),
        ticket: args.ticket.map_or(0, |t| t.0),
        id: 0,
        limit: args.page.limit(context),
    };
    let lines = context.store.read().await?.list_queue(&filter).await?;
    Output::list(&lines, context.wants_json, |lines| {
        let heads = ["ID", "PURPOSE", "TICKET", "STATE", "ATTEMPTS", "CREATED", "RECIPIENTS", "SUBJECT"];
        Table::of(heads, "no mail", lines, |q: &QueueLine| {
            let recipients: Vec<String> =
                q.recipients.iter().map(|r| format!("{} {}", r.address, r.state)).collect();
            [
                id(q.id),
                q.purpose.clone(),
                maybe_id(q.ticket),
                q.state.clone(),
                q.attempts.to_string(),
                q.created.clone(),
                recipients.join(", "),
                q.subject.clone(),
            ]
        })
    })
}

async fn pause(args: RelayArgs, paused: bool, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.write().await?;
    let rows = match &args.relay {
        Some(named) => vec![tx.find_relay(named).await?],
        None => tx.relays().await?,
    };
    let mut names = vec![];
    for row in rows {
        if tx.pause_relay(row.id, paused).await? {
            names.push(row.spec.name);
        }
    }
    tx.commit().await?;
    let word = if paused { "paused" } else { "resumed" };
    let human = match names.as_slice() {
        [] => format!("nothing to do: no relay is {}", if paused { "sending" } else { "paused" }),
        names => format!("{word}: {}", names.join(", ")),
    };
    Ok(Output::said(human, json!({ "relays": names, "paused": paused })))
}
