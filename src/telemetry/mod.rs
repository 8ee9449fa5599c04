//! Logs to standard error: text for journald and people, or one JSON object a line.
//!
//! Some crates tell commands with passwords, or whole mails, at their finer levels. They are capped whatever is asked for.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

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
    /// Text without colours.
    pub is_plain: bool,
}

/// Starts the log. What is wrong with `levels` is said in words; a second start is none.
pub fn init(log: &Log) -> Result<(), String> {
    let levels = EnvFilter::try_new(&log.levels).map_err(|e| format!("log levels {:?}: {e}", log.levels))?;
    let filter = levels.and(caps());
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.is_json {
        true => layer.json().flatten_event(true).with_filter(filter).boxed(),
        false => layer.with_ansi(!log.is_plain).with_filter(filter).boxed(),
    };
    // A test's process may have one already.
    if tracing_subscriber::registry().with(layer).try_init().is_err() {
        tracing::debug!("telemetry.started_already");
    }
    Ok(())
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
