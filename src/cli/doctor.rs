//! `maildesk doctor`

mod daemons;
mod dns;
mod here;
mod round;
mod senders;

use std::time::Duration;

use futures_util::future::join_all;

use super::Context;
use super::checkup::{self, Checkup, Finding, Level, in_time};
use super::code;
use super::output::{CliError, Output};
use super::table::clean;
use crate::config::RelayKind;
use crate::failure::Failure;
use crate::letters::Letter;
use crate::mail::MailKeys;
use crate::oauth::scope::Door;
use crate::outbound::RelayBook;
use crate::store::{MailboxRow, RelayRow, TypeRow};
use crate::ticket::OutboxId;
use crate::triage::{Flow, Rules, TypeRule};

/// SQLite reads its whole file.
const INTEGRITY: Duration = Duration::from_secs(120);

/// Talk to every server that is configured; say what is wrong and what to do
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A finding a line: ok, warn or fail, and what to do. It ends with 69 when something fails.\n\
    Nothing is sent, fetched or changed, but with --mail, which has a round made over each mailbox."
)]
pub struct Args {
    /// Send a mail round for each type: out through its relay, in through its mailbox
    #[arg(long)]
    pub mail: bool,
    /// How long such a mail may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "mail")]
    pub within: u64,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let findings = examine(&args, context).await?;
    let is_failed = findings.iter().any(|f| f.level == Level::Fail);
    Ok(Output {
        human: findings.iter().map(line).collect(),
        json: super::output::json(&findings)?,
        code: if is_failed { code::UNAVAILABLE } else { code::OK },
    })
}

/// Looks at everything.
pub async fn examine(args: &Args, context: &Context) -> Result<Vec<Finding>, CliError> {
    let mut tx = context.store.read().await?;
    let (mailboxes, relays) = (tx.mailboxes().await?, tx.relays().await?);
    let (types, rules) = (tx.types().await?, tx.load_rules().await?);
    drop(tx);
    let book = (context.works.outbound().relays)().await?;
    let active: Vec<&MailboxRow> = mailboxes.iter().filter(|m| m.spec.is_active).collect();
    let (looked_at_store, looked_at_here, looked_at_mailboxes, looked_at_relays) = tokio::join!(
        store(context),
        here::here(context),
        join_all(active.iter().map(|m| checkup::mailbox(m, context))),
        join_all(relays.iter().map(|r| relay(r, &book, sample(r, &rules, context), context))),
    );
    let mut checkups = vec![looked_at_store];
    checkups.extend(looked_at_here);
    checkups.push(daemons::at_work(context).await);
    checkups.extend(looked_at_mailboxes);
    checkups.extend(mailboxes.iter().map(|m| unread(m, &types)));
    checkups.extend(looked_at_relays);
    checkups.extend(relays.iter().map(|r| verp(r, &rules)));
    checkups.extend(types.iter().filter(|t| t.spec.is_active).map(|t| of_type(t, &mailboxes, &relays)));
    if types.iter().all(|t| !t.spec.is_active) {
        let mut it = Checkup::of("types");
        it.warn(
            "no ticket type is active: no mail is read",
            "`maildesk type add --help` says how to add one",
        );
        checkups.push(it);
    }
    checkups.push(templates(context, &rules));
    checkups.extend(dns::domains(&rules).await);
    if args.mail {
        let within = Duration::from_secs(args.within);
        checkups.extend(round::rounds(context, (&types, &mailboxes), (&rules, &book), within).await);
    }
    Ok(checkups.into_iter().flat_map(|c| c.findings).collect())
}

/// Return path and recipient as the mails through this relay have them.
async fn relay(
    row: &RelayRow,
    book: &RelayBook,
    sample: Option<(String, String)>,
    context: &Context,
) -> Checkup {
    let mut it = checkup::relay(row, book.get(&row.id), sample).await;
    checkup::grant(&mut it, (row.spec.auth, row.id.into(), Door::Smtp), context).await;
    it
}

fn sample(row: &RelayRow, rules: &Rules, context: &Context) -> Option<(String, String)> {
    let rule = rules.types.iter().find(|t| t.relay == Some(row.id))?;
    let to = rule.admin.as_ref().unwrap_or(&rule.address);
    Some((return_path(rules, rule, &context.works.desk.keys, OutboxId(0)), to.to_string()))
}

/// As the desk sets it: of its own for each mail where the relay may (C7), else the account's address.
fn return_path(rules: &Rules, rule: &TypeRule, keys: &MailKeys, outbox: OutboxId) -> String {
    match rules.relay_of(rule) {
        Some(relay) if relay.verp && !rules.bounce_domain.is_empty() => {
            keys.return_path(outbox, &rules.bounce_local, &rules.bounce_domain).to_string()
        }
        Some(relay) => relay.sender.to_string(),
        None => rule.address.to_string(),
    }
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let advice = if finding.advice.is_empty() { String::new() } else { format!(". {}", finding.advice) };
    format!("{level:<4}  {}: {}{}\n", clean(&finding.about), clean(&finding.words), clean(&advice))
}

async fn store(context: &Context) -> Checkup {
    let mut it = Checkup::of("store");
    let store = &context.store;
    match store.schema().await {
        Ok(schema) => it.ok(format!("{:?}, schema version {}", store.engine(), schema.found)),
        Err(e) => it.fail(e.to_string(), "check store.url, and that the database runs"),
    }
    match store.require_writable().await {
        Ok(()) => it.ok("it can be written to"),
        Err(e) => it.fail(e.to_string(), "check its rights, its disk, and that no other program holds it"),
    }
    match in_time(async { store.integrity().await.map_err(Failure::from) }, INTEGRITY).await {
        Ok((true, words)) => it.ok(words),
        Ok((false, words)) => {
            it.fail(words, "mail may get lost: restore a backup, or switch fsync and full_page_writes on in postgresql.conf");
        }
        Err(e) => it.warn(format!("its integrity is not known: {e}"), "run doctor again at a quiet hour"),
    }
    it
}

/// What keeps a mailbox from being read.
fn unread(row: &MailboxRow, types: &[TypeRow]) -> Checkup {
    let mut it = Checkup::of(format!("mailbox {}", row.spec.name));
    let has_type = types.iter().any(|t| t.spec.is_active && t.mailbox == Some(row.id));
    match row.spec.is_active {
        false => it.warn("it is switched off: it is not read", ""),
        true if !has_type => it.warn(
            "no active type answers to it: it is not read",
            "give it one with `maildesk type add` or `type edit`",
        ),
        true => {}
    }
    it
}

fn verp(row: &RelayRow, rules: &Rules) -> Checkup {
    let mut it = Checkup::of(format!("relay {}", row.spec.name));
    if !row.spec.is_active || !row.spec.verp || row.spec.kind == RelayKind::Folder {
        return it;
    }
    match rules.bounce_domain.as_str() {
        "" => it.warn(
            "it may send with a return path of its own for each mail (VERP), but no active type takes bounces",
            "add a type with flow bounce, whose mailbox gets that address with any +detail",
        ),
        domain => it.ok(format!(
            "mail leaves with return path {}+…@{domain} (VERP); that it comes back only a real bounce can prove",
            rules.bounce_local
        )),
    }
    it
}

fn of_type(row: &TypeRow, mailboxes: &[MailboxRow], relays: &[RelayRow]) -> Checkup {
    let mut it = Checkup::of(format!("type {}", row.spec.name));
    let mailbox = mailboxes.iter().find(|m| Some(m.id) == row.mailbox);
    match mailbox {
        Some(mailbox) if mailbox.spec.is_active => {}
        Some(mailbox) => it.warn(
            format!("its mailbox {} is switched off: nothing comes in", mailbox.spec.name),
            "switch it on with `active = true`",
        ),
        None => it.warn("it has no mailbox: nothing comes in", "`maildesk type edit --mailbox` gives it one"),
    }
    // As `Rules::relay_of` has it.
    let own = relays.iter().find(|r| Some(r.id) == row.relay);
    match (own, relays.iter().find(|r| r.spec.is_active)) {
        (_, None) => it.fail(
            "no relay is active: its mail waits until one is",
            "add one to the configuration, or with `maildesk relay add`",
        ),
        (Some(own), Some(first)) if !own.spec.is_active => it.warn(
            format!(
                "its relay {} is switched off: new mail goes out by {}, what was queued before waits",
                own.spec.name, first.spec.name
            ),
            "switch it on with `active = true`, or name another with `maildesk type edit --relay`",
        ),
        _ => {}
    }
    // To a bounce type nothing opens a ticket.
    if row.spec.admin.is_none() && row.spec.flow != Flow::Bounce {
        it.warn(
            "it has no admin: nobody is told of a ticket that nobody has",
            "`maildesk type edit --admin` gives it one",
        );
    }
    if it.findings.is_empty() {
        it.ok("it has a mailbox, a relay and an admin");
    }
    it
}

/// Each letter from its sample, in each language that a type speaks.
fn templates(context: &Context, rules: &Rules) -> Checkup {
    let mut it = Checkup::of("templates");
    let letters = &context.works.desk.letters;
    let mut problems: Vec<String> = letters.broken().iter().map(ToString::to_string).collect();
    let mut languages: Vec<&str> = rules.types.iter().map(|t| t.language.as_str()).chain(["en"]).collect();
    languages.sort_unstable();
    languages.dedup();
    for letter in Letter::samples() {
        for language in &languages {
            problems.extend(letters.render(&letter, language).1.map(|problem| problem.to_string()));
        }
    }
    problems.sort_unstable();
    problems.dedup();
    for problem in &problems {
        it.fail(problem, "mend the file in the folder of templates");
    }
    if problems.is_empty() {
        it.ok("every mail can be rendered");
    }
    it
}
