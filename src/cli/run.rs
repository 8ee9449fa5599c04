//! `maildesk run`

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{CliError, Output};
use super::{Context, control_handler};
use crate::control;
use crate::daemon;
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
    let socket = context.config.run.socket.clone();
    let listener = control::bind(&socket).await.map_err(|f| CliError::unavailable(f.to_string()))?;
    let shutdown = CancellationToken::new();
    tracing::info!(pid = std::process::id(), socket = %socket.display(), "daemon.starting");
    let (works, handler) = (context.works.clone(), control_handler(context));
    let stopping = async {
        let stopped = tokio::select! {
            signal = stop_signal() => signal,
            () = shutdown.cancelled() => Ok("itself"),
        };
        tracing::info!(by = *stopped.as_ref().unwrap_or(&"an error"), "daemon.stopping");
        shutdown.cancel();
        stopped
    };
    let (ran, stopped) =
        tokio::join!(daemon::run(works, listener, handler, &mut hold, shutdown.clone()), stopping);
    stopped?;
    // The socket goes before the hold: who finds no daemon may take the desk.
    if let Err(error) = std::fs::remove_file(&socket) {
        tracing::warn!(%error, "daemon.socket_left");
    }
    drop(hold);
    ran.map_err(|f| CliError::unavailable(f.to_string()))?;
    Ok(Output::default())
}

async fn stop_signal() -> Result<&'static str, CliError> {
    let failed = |e| CliError::unavailable(format!("signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
