//! `maildesk explain --arrival ID | --message-id ID`: the decision as it is stored, or made again under today's rules.

use serde::Serialize;

use super::super::Context;
use super::super::output::{CliError, Output};
use super::{Args, shown};
use crate::intake::replay::Grounds;
use crate::mail::{self, Message};
use crate::store::Error;
use crate::store::journal::JournalRow;
use crate::store::shadow::ShadowLine;
use crate::ticket::ArrivalId;
use crate::triage::{Decision, Explanation, Place};

#[derive(Serialize)]
struct Stored {
    arrival: ArrivalId,
    /// It was decided in shadow: nothing came of it.
    #[serde(rename = "shadow", skip_serializing_if = "std::ops::Not::not")]
    is_shadow: bool,
    /// The arrival that would have opened its ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow_of: Option<ArrivalId>,
    /// Of one decided anew: the act and code that stand.
    #[serde(skip)]
    stands: Option<(String, String)>,
    #[serde(flatten)]
    explanation: Explanation,
}

pub async fn run(args: &Args, context: &Context) -> Result<Output, CliError> {
    let mut found = vec![];
    for arrival in arrivals(args, context).await? {
        found.push(explain(arrival, args.anew, context).await?);
    }
    Output::lines(&found, context.wants_json, text)
}

fn text(stored: &Stored) -> String {
    let anew = match &stored.stands {
        None => String::new(),
        Some((act, code)) => {
            let e = &stored.explanation;
            let same = e.act.as_str() == act && e.code.as_str() == code;
            let verdict = if same { "as it stands" } else { "which differs from what stands" };
            format!(", decided anew; {verdict}: {act}, {code}")
        }
    };
    let shadow = match (stored.is_shadow, stored.shadow_of) {
        (false, _) => String::new(),
        (true, None) => ", in shadow".to_owned(),
        (true, Some(root)) => format!(", in shadow, on the ticket of arrival {root}"),
    };
    shown::text(&format!("arrival {}{shadow}{anew}", stored.arrival), &stored.explanation)
}

async fn arrivals(args: &Args, context: &Context) -> Result<Vec<ArrivalId>, CliError> {
    if let Some(id) = args.arrival {
        return Ok(vec![id]);
    }
    let id = args.message_id.as_deref().unwrap_or_default().trim().trim_matches(['<', '>']);
    let found = context.store.read().await?.arrivals_of_message_id(id).await?;
    match found.is_empty() || id.is_empty() {
        true => Err(CliError::data(format!("no message with the Message-ID {id:?} has come in"))),
        false => Ok(found),
    }
}

async fn explain(arrival: ArrivalId, anew: bool, context: &Context) -> Result<Stored, CliError> {
    let mut tx = context.store.read().await?;
    let pending = tx.arrival(arrival).await?;
    let Some(row) = tx.journal_row(arrival).await? else {
        if let Some(shadow) = tx.shadow_line(arrival).await? {
            drop(tx);
            return in_shadow(arrival, &shadow, anew, context).await;
        }
        return Err(CliError::data(format!(
            "arrival {arrival} is not decided: `maildesk journal list` shows its state"
        )));
    };
    let headers = tx.headers_of_error(arrival).await?;
    drop(tx);
    let mut message = match headers.is_empty() {
        true => parsed(context.store.skeleton(arrival).await?).await?,
        false => parsed(mail::scan(&mut &headers[..]).map_err(|e| Error::Corrupt(e.to_string()))?).await?,
    };
    message.add_envelope(&pending.envelope_to);
    let is_here = headers.is_empty();
    let decision = match anew {
        true if !is_here => {
            let words = "stays at its source: `maildesk error fetch` takes it in, and then it is decided";
            return Err(CliError::data(format!("arrival {arrival} {words}")));
        }
        // Under today's rules, from what the store knew then.
        true => context.works.intake.decide_again(arrival, Grounds::AsOfThen).await?.decision,
        false => stored_decision(&row)?,
    };
    let types = context.store.read().await?.types().await?;
    let of_type = decision.type_id.and_then(|id| types.iter().find(|t| t.id == id));
    let place = Place {
        file: None,
        type_name: of_type.map(|t| t.spec.name.as_str()),
        ticket: row.ticket.filter(|_| !anew),
        log_entry: row.log_entry.filter(|_| !anew),
    };
    let explanation = Explanation::of(&message, &decision, &place);
    Ok(Stored {
        arrival,
        is_shadow: false,
        shadow_of: None,
        stands: anew.then_some((row.act, row.code)),
        explanation,
    })
}

/// What would have become of a message of a mailbox in shadow mode.
async fn in_shadow(
    arrival: ArrivalId,
    shadow: &ShadowLine,
    anew: bool,
    context: &Context,
) -> Result<Stored, CliError> {
    if anew {
        let words = "was decided in shadow: it is decided anew once its mailbox is live";
        return Err(CliError::data(format!("arrival {arrival} {words}")));
    }
    let message = match context.store.read().await?.raw_chunk(arrival, 0).await? {
        Some(_) => parsed(context.store.skeleton(arrival).await?).await?,
        // Too big: it is at its source.
        None => Message::default(),
    };
    let mut decision: Decision = serde_json::from_str(&shadow.decision)
        .map_err(|e| Error::Corrupt(format!("the decision of arrival {arrival}: {e}")))?;
    // A ticket that would have been opened in shadow is none.
    decision.ticket = shadow.ticket;
    let types = context.store.read().await?.types().await?;
    let of_type = decision.type_id.and_then(|id| types.iter().find(|t| t.id == id));
    let place = Place {
        file: None,
        type_name: of_type.map(|t| t.spec.name.as_str()),
        ticket: shadow.ticket,
        log_entry: None,
    };
    let explanation = Explanation::of(&message, &decision, &place);
    Ok(Stored { arrival, is_shadow: true, shadow_of: shadow.root, stands: None, explanation })
}

async fn parsed(skeleton: mail::Skeleton) -> Result<Message, CliError> {
    let parsing = tokio::task::spawn_blocking(move || mail::parse(&skeleton));
    parsing.await.map_err(|e| CliError::data(format!("it cannot be parsed: {e}")))
}

fn stored_decision(row: &JournalRow) -> Result<Decision, CliError> {
    if row.decision.is_empty() {
        let JournalRow { arrival, act, code, .. } = row;
        return Err(CliError::data(format!(
            "the evidence of arrival {arrival} was erased; the journal says {act}, {code}"
        )));
    }
    serde_json::from_str(&row.decision)
        .map_err(|e| Error::Corrupt(format!("the decision of arrival {}: {e}", row.arrival)).into())
}
