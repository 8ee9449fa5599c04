//! `maildesk deliver`: the end of an MTA's pipe.
//!
//! The exit code is all that the MTA goes by. 0: the message is durable. Anything else here is 75: an MTA that reads
//! another code sends the mail back to its sender, who can do nothing about a disk or a daemon of ours.

use std::io::{Read, Seek as _};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::json;

use super::output::{CliError, Output};
use super::start::start_log;
use super::{Cli, Context, code};
use crate::clock::Clock;
use crate::config::{Config, Env};
use crate::control::{self, Body, Request, Response};
use crate::failure::Failure;
use crate::intake::deliver::{Delivered, Delivery, keep_delivered, mailbox_for};
use crate::intake::source::Bytes;
use crate::sources::stdin::Piped;
use crate::store::{Error, MailboxRow, Manner, Owner, Space, Store, free_bytes};

/// How long it waits for another one that works on the store.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks whether that is a daemon, which answers by now.
const LOOK: Duration = Duration::from_millis(500);
/// How often it tries meanwhile: seldom, so that a daemon which waits as well comes first.
const STEP_ASIDE: Duration = Duration::from_millis(20);
/// Read from standard input at a time.
const PIECE: usize = 64 << 10;

/// Take one message from standard input, for an MTA's pipe
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It ends with 0 as soon as the message is durable; the daemon decides it afterwards. In any other case it ends with\n\
    75, the reason on standard error, and the MTA tries again later. The same message for the same recipients is taken\n\
    once, however often it is brought. A configuration for Postfix and Exim is in docs/operations.md.\n\n\
    Example:\n  maildesk deliver --to=support@example.com < message.eml"
)]
pub struct Args {
    /// A recipient as the MTA names it in the envelope; several are given one by one
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// The mailbox of protocol pipe; else the only one, or that of the type which a recipient is an address of
    #[arg(long, value_name = "NAME")]
    pub mailbox: Option<String>,
}

/// In the process that the MTA has started.
pub async fn bring(args: &Args, cli: &Cli, argv: Vec<String>) -> Response {
    let brought = AssertUnwindSafe(to_daemon_or_store(args, cli, argv)).catch_unwind().await;
    let brought =
        brought.unwrap_or_else(|_| Err(CliError::unavailable("it broke off; its words stand above")));
    let response = brought.unwrap_or_else(|error| Err(error).into());
    match response.code {
        code::OK => response,
        _ => Response { code: code::TRY_AGAIN, ..response },
    }
}

async fn to_daemon_or_store(args: &Args, cli: &Cli, argv: Vec<String>) -> Result<Response, CliError> {
    let env = Env::read();
    let config = Config::load(cli.global.config.as_deref(), &env)?;
    start_log(cli, Some(&config), &env)?;
    let request = Request { argv, stdin: vec![], cwd: "/".into(), has_body: true };
    let socket = &config.run.socket;
    let asked = control::call_with_body(socket, &request, &mut std::io::stdin().lock()).await?;
    if let Some(response) = asked {
        return Ok(response);
    }
    let on_store = on_store(args, &config, &request).await;
    on_store.map_err(|error| CliError {
        words: format!("no daemon answers at {}, and without one: {}", socket.display(), error.words),
        ..error
    })
}

/// Where no daemon answers, or until one does.
async fn on_store(args: &Args, config: &Config, request: &Request) -> Result<Response, CliError> {
    let mut bytes = gather(&config.run.spool, &mut std::io::stdin().lock())?;
    let store = Store::connect_existing(&config.store_url()?).await?;
    let owner = Owner { command: "deliver", pid: std::process::id(), since: Clock::system().now() };
    let begun = Instant::now();
    loop {
        match store.hold_within(&owner, Manner::Together, (LOOK, STEP_ASIDE)).await {
            Ok(_hold) => return Ok(keep(args, config, &store, bytes).await.into()),
            Err(Error::Held(words)) if begun.elapsed() > PATIENCE => return Err(Error::Held(words).into()),
            Err(Error::Held(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // Whoever holds it may be a daemon that has just been started.
        if let Some(response) = again(&config.run.socket, request, &mut bytes).await? {
            return Ok(response);
        }
    }
}

async fn again(socket: &Path, request: &Request, bytes: &mut Bytes) -> Result<Option<Response>, Failure> {
    match bytes {
        Bytes::Memory(bytes) => control::call_with_body(socket, request, &mut &bytes[..]).await,
        Bytes::Spool(file, _) => {
            file.rewind().map_err(|e| Failure::temporary("the spool file").because(e))?;
            control::call_with_body(socket, request, file).await
        }
        Bytes::Gone => Ok(None),
    }
}

fn gather(spool: &Path, stdin: &mut impl Read) -> Result<Bytes, Failure> {
    let failed = |e| Failure::temporary("standard input").because(e);
    let mut message = Piped::new(spool);
    loop {
        let mut piece = vec![0; PIECE];
        match stdin.read(&mut piece) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            read => match read.map_err(failed)? {
                0 => return message.finish(),
                length => {
                    piece.truncate(length);
                    message.add(piece)?;
                }
            },
        }
    }
}

/// Without a daemon: step 1 on the store, which this process holds. The next daemon decides it before all else.
async fn keep(args: &Args, config: &Config, store: &Store, bytes: Bytes) -> Result<Output, CliError> {
    store.require_ready().await?;
    Space::of(store, &config.run.spool, config.run.min_free_bytes, free_bytes()).require()?;
    let mailbox = mailbox_for(store, args.mailbox.as_deref(), &args.to).await?;
    let delivery = Delivery { bytes, recipients: args.to.clone() };
    let kept = keep_delivered(store, &mailbox, delivery, Clock::system().now()).await?;
    Ok(output(&mailbox, kept))
}

/// In the daemon.
pub async fn take_in(args: Args, mut body: Body, context: &Context) -> Result<Output, CliError> {
    let works = &context.works;
    works.intake.space.require()?;
    let mailbox = mailbox_for(&context.store, args.mailbox.as_deref(), &args.to).await?;
    let mut message = Piped::new(&works.intake.settings.spool);
    while let Some(piece) = body.next().await? {
        message.add(piece)?;
    }
    let delivery = Delivery { bytes: message.finish()?, recipients: args.to };
    let kept = works.keep_delivered(&mailbox, delivery).await?;
    Ok(output(&mailbox, kept))
}

/// Nothing for people: an MTA would mail or log it each time.
fn output(mailbox: &MailboxRow, kept: Delivered) -> Output {
    let json = json!({ "mailbox": mailbox.spec.name, "arrival": kept.arrival, "known": kept.is_known });
    Output { json, ..Output::default() }
}
