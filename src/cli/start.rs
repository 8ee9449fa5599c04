//! The start of the process: parse, find out where the command runs, print, exit code.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use super::context::Schema;
use super::dispatch::held_note;
use super::output::{CliError, Output};
use super::sign_in::Asker;
use super::sink::Sink;
use super::{
    Cli, Command, Context, code, config_file, deliver, demo, dispatch, explain, input, install, man, migrate,
    oauth, queue, restore, run, sign_in,
};
use crate::clock::Pulse;
use crate::config::{Config, Env};
use crate::control::{self, Request, Response};
use crate::seal::{random, to_hex};
use crate::store::{Error, Manner, Owner};
use crate::telemetry::{self, Log};

/// How long the end waits for what threads of their own still do: it is nothing that counts.
const LAST_THREADS: Duration = Duration::from_secs(1);
/// Between two looks for a store that is away at the start.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs what was typed; gives the exit code.
pub fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    // As they are, and not as UTF-8: a file may have any name.
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where even this cannot be printed.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { code::USAGE } else { code::OK });
        }
    };
    let wants_json = cli.global.json;
    // A command does one thing after the other: on one thread nothing wakes workers that find nothing to do. What
    // computes for long, as parsing does, has threads of its own either way.
    let mut builder = match cli.command {
        Command::Run(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("maildesk: no threads to work with: {error}");
            return ExitCode::from(code::TRY_AGAIN);
        }
    };
    let mut sink = Sink::to(input::destination(&cli.command));
    let response = runtime.block_on(start(cli, argv, &mut sink));
    let code = sink.end(response, wants_json);
    // A look-up of a name, say, that nobody waits for any more and that cannot be ended.
    runtime.shutdown_timeout(LAST_THREADS);
    code
}

/// To standard output what was asked for, to standard error what is wrong.
pub(super) fn print(response: &Response, wants_json: bool) -> ExitCode {
    if !response.note.is_empty() {
        eprintln!("maildesk: note: {}", response.note);
    }
    if !response.error.is_empty() {
        // Who typed may have closed it, and the exit code tells all the same.
        drop(writeln!(std::io::stderr(), "maildesk: {}", response.error));
    }
    let mut out = std::io::stdout().lock();
    let written = match response {
        _ if !response.error.is_empty() => Ok(()),
        _ if wants_json && !response.json.is_null() => writeln!(out, "{}", response.json),
        _ => out.write_all(response.human.as_bytes()),
    };
    exit_code(written.and_then(|()| out.flush()), response)
}

pub(super) fn exit_code(written: std::io::Result<()>, response: &Response) -> ExitCode {
    match written {
        // `maildesk ticket list | head` is no error.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(code::TRY_AGAIN),
        _ => ExitCode::from(response.code),
    }
}

async fn start(cli: Cli, argv: Vec<String>, sink: &mut Sink) -> Response {
    if let Command::Deliver(args) = &cli.command {
        return deliver::bring(args, &cli, argv).await;
    }
    match place(cli, argv, sink).await {
        Ok(response) => response,
        Err(error) => Err(error).into(),
    }
}

/// Alone, in the daemon, or here.
async fn place(cli: Cli, argv: Vec<String>, sink: &mut Sink) -> Result<Response, CliError> {
    let env = Env::read();
    let cli = match alone(cli, &env).await {
        Ok(output) => return Ok(output.into()),
        Err(cli) => *cli,
    };
    let config = Arc::new(Config::load(cli.global.config.as_deref(), &env)?);
    start_log(&cli, Some(&config), &env)?;
    let stdin = input::gather(&cli.command, &env)?;
    let cwd = std::env::current_dir().map_err(|e| CliError::unavailable(format!("this folder: {e}")))?;
    if let Command::Restore(args) = &cli.command
        && let Some(file) = &args.file
    {
        return Ok(Ok(restore::run_alone(args, file, (&config, &stdin)).await?).into());
    }
    if let Command::Oauth(oauth::Verb::Login(args)) = &cli.command
        && args.flow != oauth::FlowWord::ClientCredentials
        && args.step.is_none()
    {
        let mut asker = Asker::new(config, argv, (stdin, cwd));
        return Ok(Ok(sign_in::lead(args, &mut asker).await?).into());
    }
    if !matches!(cli.command, Command::Run(_)) {
        let request = Request { argv, stdin: stdin.clone(), cwd: cwd.clone(), has_body: false };
        let asked = control::call(&config.run.socket, &request, |step| sink.take(step)).await;
        if let Some(response) = asked.map_err(|f| daemon_words(&f))? {
            return Ok(response);
        }
    }
    let schema = match &cli.command {
        Command::Migrate(_) => Schema::Migrate,
        Command::Run(args) if args.migrate => Schema::Migrate,
        Command::Replay(_) => Schema::Untouched,
        _ => Schema::Ready,
    };
    let passing: &[u8] = match &cli.command {
        Command::Run(_) => &[code::TRY_AGAIN, code::UNAVAILABLE],
        _ => &[],
    };
    let context = patiently(passing, || Context::open(config.clone(), schema)).await?;
    let context = Context { actor: own_actor(), stdin, cwd, wants_json: cli.global.json, ..context };
    let store = context.store.clone();
    // A daemon that has ended asks the store nothing more: it may hang.
    let is_asked = !matches!(cli.command, Command::Run(_));
    let mut response: Response = here(cli.command, context, sink).await.into();
    if is_asked {
        response.note = held_note(&store).await;
    }
    Ok(response)
}

/// What needs no desk; anything else comes back.
async fn alone(cli: Cli, env: &Env) -> Result<Result<Output, CliError>, Box<Cli>> {
    let is_alone = matches!(
        &cli.command,
        Command::Demo(_)
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Install(_)
            | Command::CrashPoints
            | Command::Migrate(migrate::Args { from: Some(_), .. })
    );
    let is_alone = is_alone || matches!(&cli.command, Command::Explain(args) if args.is_of_files());
    if !is_alone {
        return Err(Box::new(cli));
    }
    if let Err(error) = start_log(&cli, None, env) {
        return Ok(Err(error));
    }
    Ok(match cli.command {
        Command::Demo(args) => demo::run(args, cli.global.json, env).await,
        Command::Config(verb) => config_file::run(&verb, &cli.global, env),
        Command::Completions(args) => Ok(config_file::completions(&args)),
        Command::Man(args) => man::run(&args),
        Command::Migrate(args) => migrate::move_desk(&args).await,
        Command::Install(args) => install::run(&args),
        Command::Explain(args) => explain::run_on_files(&args, &cli.global, env, &mut std::io::stdout()),
        _ => {
            let points = crate::crash::POINTS;
            Ok(Output::said(points.join("\n"), serde_json::json!(points)))
        }
    })
}

/// On the store that was opened here. Who takes mail in holds the desk meanwhile.
async fn here(command: Command, context: Context, sink: &mut Sink) -> Result<Output, CliError> {
    let holder = match &command {
        Command::Run(_) => Some("run"),
        Command::Poll(_) => Some("poll"),
        Command::Import(_) => Some("import"),
        Command::Doctor(args) if args.mail => Some("doctor"),
        Command::Queue(queue::Verb::Send(_)) => Some("queue send"),
        _ => None,
    };
    let Some(holder) = holder else { return watched(command, context, sink).await };
    let owner = Owner { command: holder, pid: std::process::id(), since: context.clock.now() };
    // Held by another is 69, and does not pass.
    let passing: &[u8] = if matches!(command, Command::Run(_)) { &[code::TRY_AGAIN] } else { &[] };
    let hold =
        patiently(passing, || async { Ok(context.store.hold(&owner, Manner::Together).await?) }).await?;
    patiently(passing, || remember(&context)).await?;
    let other = match command {
        Command::Run(args) => return run::run(args, context, hold).await,
        other => other,
    };
    let leases = context.works.leases.clone();
    leases.join(holder).await?;
    let work = async {
        // What an earlier life kept and did not decide comes first.
        context.works.decide_pending().await?;
        watched(other, context.clone(), sink).await
    };
    let result = tokio::select! {
        result = work => result,
        () = leases.clone().run(Pulse::default(), CancellationToken::new()) => Ok(Output::default()),
    };
    let left = leases.leave().await;
    drop(hold);
    result.and_then(|output| Ok(left.map(|()| output)?))
}

/// What this process sees confirmed is remembered from here on; what a former life saw has to be there.
async fn remember(context: &Context) -> Result<(), CliError> {
    let name = to_hex(&random::<8>());
    match context.store.remember(&context.config.run.spool, name).await {
        Err(behind @ Error::Behind(_)) => {
            context.store.hold_behind(context.clock.now()).await?;
            Err(behind.into())
        }
        remembered => Ok(remembered?),
    }
}

/// The daemon waits for a store that is not there: after a power cut the database server may be up later than we are.
/// `passing` are the exit codes of what passes; anything else says at once what is wrong.
async fn patiently<T, F: Future<Output = Result<T, CliError>>>(
    passing: &[u8],
    open: impl Fn() -> F,
) -> Result<T, CliError> {
    let mut pause = Duration::from_secs(1);
    loop {
        match open().await {
            Err(error) if passing.contains(&error.code) => {
                tracing::warn!("daemon.waiting {}; it is tried again until the store is there", error.words);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Takes its steps as they come, as those of the daemon are taken.
async fn watched(command: Command, context: Context, sink: &mut Sink) -> Result<Output, CliError> {
    let (sender, mut steps) = tokio::sync::mpsc::channel(control::STEPS);
    let work = async move {
        let context = Context { steps: Some(sender), ..context };
        dispatch(command, &context).await
    };
    let take = async {
        while let Some(step) = steps.recv().await {
            sink.take(step);
        }
    };
    tokio::join!(work, take).0
}

pub(super) fn start_log(cli: &Cli, config: Option<&Config>, env: &Env) -> Result<(), CliError> {
    let is_daemon = matches!(cli.command, Command::Run(_));
    let levels = match (cli.global.verbose, &env.log, config) {
        (1, ..) => "info,maildesk=debug".to_owned(),
        (2, ..) => "debug,maildesk=trace".to_owned(),
        (3.., ..) => "trace".to_owned(),
        (_, Some(levels), _) => levels.clone(),
        (_, None, Some(config)) if is_daemon => config.run.log.clone(),
        // Its samples are meant to raise an alert.
        _ if matches!(&cli.command, Command::Demo(args) if !args.serve) => "off".to_owned(),
        _ => "warn".to_owned(),
    };
    let is_json = is_daemon && config.is_some_and(|config| config.run.log_json);
    let log = Log { levels, is_json, is_journal: telemetry::is_journal(env.journal_stream.as_deref()) };
    telemetry::init(&log).map_err(CliError::config)
}

pub(super) fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

pub(super) fn daemon_words(failure: &crate::failure::Failure) -> CliError {
    let code = if failure.is_temporary() { code::TRY_AGAIN } else { code::UNAVAILABLE };
    CliError { code, words: failure.to_string() }
}

/// Without a daemon the actor is who runs this process.
pub(super) fn own_actor() -> String {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map_or("uid:?".to_owned(), |me| format!("uid:{}", me.uid()))
}
