//! `maildesk run`

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{CliError, Output};
use super::{Context, control_handler};
use crate::backup::Daily;
use crate::control;
use crate::daemon::{self, Front};
use crate::failure::Kind;
use crate::store::Hold;

/// The daemon: takes mail in, sends mail out, answers commands, until it is told to stop
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It ends in good order on SIGTERM and SIGINT. On SQLite one daemon works on a desk: a second one ends with 69 and\n\
    says who has it. On PostgreSQL any number of them share the work; `maildesk daemon list` shows them. Every other\n\
    command works beside it."
)]
pub struct Args {
    /// Bring the store's schema up to this program's first
    #[arg(long)]
    pub migrate: bool,
    /// As if every mailbox was in shadow mode: mail is read, decided and explained, and nothing comes of it
    #[arg(
        long,
        long_help = "As if every mailbox was in shadow mode: mail is read, decided and explained, nothing is touched at the \
        source, and no ticket or mail comes of it. What an MTA brings is refused (75), for it has no source to stay at. Mail \
        that is owed already, and what commands cause, goes out. The next run without it decides anew what still lies there"
    )]
    pub shadow: bool,
}

pub async fn run(args: Args, mut context: Context, mut hold: Hold) -> Result<Output, CliError> {
    // Before the socket: who sees it may send a signal.
    let mut signals = Signals::catch().map_err(|e| CliError::unavailable(format!("signals: {e}")))?;
    let socket = context.config.run.socket.clone();
    let listener = control::bind(&socket).await.map_err(|f| CliError::unavailable(f.to_string()))?;
    let shutdown = CancellationToken::new();
    tracing::info!(pid = std::process::id(), socket = %socket.display(), "daemon.starting");
    if args.shadow {
        context.works = context.works.in_shadow();
        tracing::warn!("daemon.in_shadow nothing comes of mail until it runs without --shadow");
    }
    let daily = Daily {
        source: context.source(),
        alerts: context.works.desk.alerts.clone(),
        settings: context.config.backup.clone(),
    };
    let (works, web) = (context.works.clone(), context.config.web);
    let front = Front { listener, handler: control_handler(context), web, daily: Some(daily) };
    let stopping = async {
        let stopped = tokio::select! {
            signal = signals.stop() => signal,
            () = shutdown.cancelled() => "itself",
        };
        tracing::info!(by = stopped, "daemon.stopping");
        shutdown.cancel();
    };
    let (ran, ()) = tokio::join!(daemon::run(works, front, &mut hold, shutdown.clone()), stopping);
    // The socket goes before the hold: who finds no daemon may take the desk.
    if let Err(error) = std::fs::remove_file(&socket) {
        tracing::warn!(%error, "daemon.socket_left");
    }
    drop(hold);
    ran.map_err(|f| match f.kind {
        // Starting it again would not help.
        Kind::StoreBehind => CliError::config(f.to_string()),
        _ => CliError::unavailable(f.to_string()),
    })?;
    Ok(Output::default())
}

/// What asks the daemon to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until one asks for the end. SIGHUP does not: it asks many daemons to read their configuration anew, and this
    /// one says that it takes a restart.
    async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::warn!("daemon.not_reloaded SIGHUP changes nothing: restart to apply the configuration");
                }
            }
        }
    }
}
