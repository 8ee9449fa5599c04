//! Sight: the log, metrics, and how the daemon fares.
//!
//! The log goes to standard error: text for journald and people, or one JSON object a line.
//!
//! Some crates tell commands with passwords, or whole mails, at their finer levels. They are capped whatever is asked for.

pub mod events;
pub mod health;
mod line;
pub mod metrics;

pub use health::Health;
pub use metrics::Metrics;

use line::{Prefixed, Text};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

/// async-imap tells commands with passwords at TRACE; sqlx statements with what is bound; the others whole buffers.
const CAPPED: &[(&str, LevelFilter)] = &[
    ("async_imap", LevelFilter::INFO),
    ("imap_proto", LevelFilter::WARN),
    ("lettre", LevelFilter::INFO),
    ("sqlx", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("mio", LevelFilter::INFO),
];

#[derive(Clone, Debug, Default)]
pub struct Log {
    /// `info`, or `info,maildesk::intake=debug`.
    pub levels: String,
    pub is_json: bool,
    /// Standard error goes to journald.
    pub is_journal: bool,
}

/// Starts the log. What is wrong with `levels` is said in words; a second start is none.
pub fn init(log: &Log) -> Result<(), String> {
    let levels = EnvFilter::try_new(&log.levels).map_err(|e| format!("log levels {:?}: {e}", log.levels))?;
    let layer = layer(log.is_journal, log.is_json, std::io::stderr);
    // As layers and not as a filter of the one layer: there sqlx's question whether a level is on would swallow the next
    // event of its thread. A test's process may have a log already.
    if tracing_subscriber::registry().with(levels).with(caps()).with(layer).try_init().is_err() {
        tracing::debug!("telemetry.started_already");
    }
    Ok(())
}

/// Whether standard error is the stream that journald named in `JOURNAL_STREAM` (systemd.exec(5)). The variable alone says
/// nothing: a child with another stream inherits it.
pub fn is_journal(named: Option<&str>) -> bool {
    let same = |stat: rustix::fs::Stat| named == Some(&format!("{}:{}", stat.st_dev, stat.st_ino));
    rustix::fs::fstat(std::io::stderr()).is_ok_and(same)
}

fn layer<S, W>(is_journal: bool, is_json: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match is_json {
        true => layer
            .json()
            .flatten_event(true)
            .with_target(false)
            .map_event_format(|inner| Prefixed { is_journal, inner })
            .boxed(),
        false => layer.event_format(Prefixed { is_journal, inner: Text { has_time: !is_journal } }).boxed(),
    }
}

fn caps() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_targets(CAPPED.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_tell_secrets_are_capped() {
        let caps = caps();
        for (target, level, expected) in [
            ("async_imap::client", tracing::Level::TRACE, false),
            ("async_imap::client", tracing::Level::INFO, true),
            ("sqlx::query", tracing::Level::INFO, false),
            ("maildesk::intake", tracing::Level::TRACE, true),
        ] {
            assert_eq!(caps.would_enable(target, &level), expected, "{target} {level}");
        }
    }

    #[test]
    fn bad_levels_are_told() {
        assert!(init(&Log { levels: "maildesk=loud".into(), ..Log::default() }).is_err());
    }
}
