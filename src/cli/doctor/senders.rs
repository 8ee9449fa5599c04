//! Whether somebody looks that senders are who they say (M6), and whether he can.

use super::super::Context;
use super::super::checkup::Checkup;
use crate::failure::Failure;
use crate::triage::{Decision, trust};
use crate::verifier::Verifier;

/// Decisions that are looked through for a word of our relay.
const LAST: i64 = 200;

pub async fn senders(context: &Context) -> Checkup {
    let mut it = Checkup::of("senders");
    let rule = &context.config.surroundings.trust;
    if !rule.is_on() {
        it.ok(
            "nobody looks whether a sender is who the mail says: what rests on From alone never reopens a ticket \
             ([trust] authserv_id or verify)",
        );
        return it;
    }
    if rule.verifies {
        dns(context, &mut it).await;
    }
    if rule.verifies && context.config.surroundings.verdicts.relays.is_empty() {
        it.warn(
            "SPF cannot be judged: no server of ours is known that notes who connected",
            "name the servers in front in `[trust] relays`",
        );
    }
    if !rule.authserv_id.is_empty() {
        stated(context, &mut it).await;
    }
    it
}

async fn dns(context: &Context, it: &mut Checkup) {
    let advice =
        "check `[trust] resolver`, or the resolver of this machine; until it answers no sender is proven";
    let asked = async {
        let rules = context.store.read().await?.load_rules().await?;
        let domain = rules.types.first().map_or("example.com", |t| t.address.domain()).to_owned();
        Verifier::new(&context.config.dns)?.probe(&domain).await
    };
    match asked.await {
        Ok(words) => it.ok(words),
        Err(e) => it.fail(e.to_string(), advice),
    }
}

async fn stated(context: &Context, it: &mut Checkup) {
    let id = &context.config.surroundings.trust.authserv_id;
    let (looked, stated) = match counted(context).await {
        Ok(counted) => counted,
        Err(e) => return it.warn(e.to_string(), ""),
    };
    match (looked, stated) {
        (0, _) => it.ok(format!("no mail was decided yet with Authentication-Results of {id}")),
        (_, 0) => it.warn(
            format!("none of the last {looked} messages bears Authentication-Results of {id} that can be ours"),
            "compare `[trust] authserv_id` and `relays` with the header of such a message: the field must stand above \
             the Received of the outermost of `relays`, unless `strips_verdicts` is set",
        ),
        _ => it.ok(format!("{stated} of the last {looked} messages bear Authentication-Results of {id}")),
    }
}

/// Of the last decisions: those that looked at the sender, and those that found our relay's word.
async fn counted(context: &Context) -> Result<(usize, usize), Failure> {
    let rows = context.store.read().await?.latest_journal(LAST).await?;
    let decisions = rows.iter().filter_map(|row| serde_json::from_str::<Decision>(&row.decision).ok());
    let evidence: Vec<String> = decisions
        .filter_map(|d| d.trace.into_iter().find(|step| step.rule == trust::RULE))
        .map(|step| step.evidence)
        .collect();
    let stated = evidence.iter().filter(|words| words.starts_with(trust::STATED)).count();
    Ok((evidence.len(), stated))
}
