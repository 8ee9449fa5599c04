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
    after_help = "It ends in good order on SIGTERM and SIGINT. One daemon works on a desk: a second one ends with 69 and says\n\
    who has it. Every other command works beside it."
)]
pub struct Args {
    /// Bring the store's schema up to this program's first
    #[arg(long)]
    pub migrate: bool,
}

pub async fn run(_args: Args, context: Context, mut hold: Hold) -> Result<Output, CliError> {
    // Before the socket: who sees it may send a signal.
    let mut signals = Signals::catch().map_err(|e| CliError::unavailable(format!("signals: {e}")))?;
    let socket = context.config.run.socket.clone();
    let listener = control::bind(&socket).await.map_err(|f| CliError::unavailable(f.to_string()))?;
    let shutdown = CancellationToken::new();
    tracing::info!(pid = std::process::id(), socket = %socket.display(), "daemon.starting");
    let daily = Daily {
        source: context.source(),
        alerts: context.works.desk.alerts.clone(),
        settings: context.config.backup.clone(),
    };
    let (works, web) = (context.works.clone(), context.config.web);
    let front = Front { listener, handler: control_handler(context), web, daily: Some(daily) };
    let stopping = async {
        let stopped = tokio::select! {
            signal = signals.next() => signal,
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
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
