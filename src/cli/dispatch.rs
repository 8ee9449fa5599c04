//! From what was typed to the handler: the same way here and in the daemon.

use std::sync::Arc;

use clap::Parser as _;

use super::output::{CliError, Output};
use super::{
    Cli, Command, Context, account, alert, backup, bounce, contact, daemons, deliver, doctor, error_ticket,
    explain, import, invalid, job, journal, key, loops, mailbox, migrate, oauth, poll, queue, relay, replay,
    restore, support_bundle, ticket, ticket_type,
};
use crate::control::{Call, Handler, Response};
use crate::store::Store;

/// Runs a command on an open desk.
pub async fn dispatch(command: Command, context: &Context) -> Result<Output, CliError> {
    match command {
        Command::Poll(args) => poll::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Replay(args) => replay::run(&args, context).await,
        Command::Mailbox(verb) => mailbox::run(verb, context).await,
        Command::Relay(verb) => relay::run(verb, context).await,
        Command::Oauth(verb) => oauth::run(verb, context).await,
        Command::Type(verb) => ticket_type::run(verb, context).await,
        Command::Ticket(verb) => ticket::run(verb, context).await,
        Command::Invalid(verb) => invalid::run(verb, context).await,
        Command::Error(verb) => error_ticket::run(verb, context).await,
        Command::Bounce(verb) => bounce::run(verb, context).await,
        Command::Queue(verb) => queue::run(verb, context).await,
        Command::Contact(verb) => contact::run(verb, context).await,
        Command::Account(verb) => account::run(verb, context).await,
        Command::Daemon(verb) => daemons::run(verb, context).await,
        Command::Journal(verb) => journal::run(verb, context).await,
        Command::Alert(verb) => alert::run(verb, context).await,
        Command::Loop(verb) => loops::run(verb, context).await,
        Command::Job(verb) => job::run(verb, context).await,
        Command::Key(verb) => key::run(verb, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) if args.go_live => restore::go_live(context).await,
        Command::Restore(args) if args.as_it_stands => restore::as_it_stands(context).await,
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::SupportBundle(args) => support_bundle::run(args, context).await,
        Command::Run(_)
        | Command::Deliver(_)
        | Command::Restore(_)
        | Command::Demo(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Install(_)
        | Command::CrashPoints => Err(CliError::usage("this command works alone, not through the daemon")),
    }
}

/// What the daemon does with a request on its socket.
pub fn control_handler(context: Context) -> Handler {
    Arc::new(move |call| {
        let context = context.clone();
        Box::pin(answer(call, context))
    })
}

async fn answer(call: Call, context: Context) -> Response {
    let cli = match Cli::try_parse_from(&call.request.argv) {
        Ok(cli) => cli,
        // The client parsed it with its own version; this one is another.
        Err(e) => {
            return Err(CliError::usage(format!("the running daemon does not understand this: {e}"))).into();
        }
    };
    let context = Context {
        actor: call.actor,
        stdin: call.request.stdin,
        cwd: call.request.cwd,
        wants_json: cli.global.json,
        steps: Some(call.steps),
        is_daemon: true,
        ..context
    };
    let mut response: Response = match cli.command {
        Command::Deliver(args) => deliver::take_in(args, call.body, &context).await.into(),
        Command::Replay(args) => {
            replay::in_daemon(&args, cli.global.config.as_deref(), &context).await.into()
        }
        other => dispatch(other, &context).await.into(),
    };
    response.note = held_note(&context.store).await;
    if context.works.is_shadow() && response.note.is_empty() {
        response.note = "the daemon runs with --shadow: nothing comes of mail".to_owned();
    }
    response
}

/// What is said with every command while the desk is held; a store that fails says so by itself.
pub(super) async fn held_note(store: &Store) -> String {
    let held = async { store.read().await?.held().await };
    held.await.ok().flatten().map_or_else(String::new, str::to_owned)
}
