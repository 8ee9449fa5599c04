//! A line of the log as text: level, name and words, fields. Under journald the level is a prefix that journald takes off,
//! and the time is journald's; elsewhere the line begins with them.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// journald's prefix in front of whatever `inner` writes (sd-daemon(3)).
pub(super) struct Prefixed<F> {
    pub is_journal: bool,
    pub inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.is_journal {
            write!(out, "<{}>", priority(*event.metadata().level()))?;
        }
        self.inner.format_event(context, out, event)
    }
}

/// syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Text. There are no spans: a line says all by itself.
pub(super) struct Text {
    pub has_time: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        if self.has_time {
            SystemTime.format_time(&mut out)?;
            write!(out, " {:>5} ", event.metadata().level())?;
        }
        let target = said.target.as_deref().unwrap_or(event.metadata().target());
        if !target.starts_with("maildesk") {
            write!(out, "{target}: ")?;
        }
        writeln!(out, "{}{}", said.words, said.fields)
    }
}

#[derive(Default)]
struct Said {
    words: String,
    fields: String,
    /// Of a crate that logs through `log`.
    target: Option<String>,
}

impl Said {
    fn add(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => push_on_one_line(&mut self.words, value),
            "log.target" => self.target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            name => {
                self.fields.push_str(&format!(" {name}="));
                push_value(&mut self.fields, value);
            }
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// In quotes where it would not be told from what follows.
fn push_value(line: &mut String, value: &str) {
    let is_word = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if is_word {
        return push_on_one_line(line, value);
    }
    line.push('"');
    push_on_one_line(line, &value.replace('\\', "\\\\").replace('"', "\\\""));
    line.push('"');
}

/// One event is one line, and what a server says cannot write another, nor paint the terminal.
fn push_on_one_line(line: &mut String, value: &str) {
    for c in value.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::layer;

    #[derive(Clone, Default)]
    struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(is_journal: bool, is_json: bool, log: impl FnOnce()) -> String {
        let sheet = Sheet::default();
        let out = sheet.clone();
        let layer = layer(is_journal, is_json, move || out.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = sheet.0.lock().expect("nobody panics").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn journald_gets_a_priority_and_no_time() {
        let log = || {
            tracing::info!(outbox.id = 91, to = "a@x.test", attempt = 2, "outbound.delivered");
            tracing::warn!(
                mailbox.name = "A \"B\"",
                none = Option::<u32>::None,
                "intake.round_failed cut\n<0>off"
            );
            tracing::error!(empty = "", "alert.raised x");
        };
        assert_eq!(
            logged(true, false, log),
            "<6>outbound.delivered outbox.id=91 to=a@x.test attempt=2\n\
             <4>intake.round_failed cut\\n<0>off mailbox.name=\"A \\\"B\\\"\"\n\
             <3>alert.raised x empty=\"\"\n"
        );
    }

    #[test]
    fn elsewhere_a_line_begins_with_time_and_level() {
        let line = logged(false, false, || tracing::info!(pid = 3, "daemon.starting \u{1b}[31mred"));
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
        assert_eq!(rest, " INFO daemon.starting \\u{1b}[31mred pid=3\n");
    }

    #[test]
    fn other_crates_are_named_and_json_has_its_priority_too() {
        let line = logged(true, false, || tracing::warn!(target: "sqlx::pool", "slow"));
        assert_eq!(line, "<4>sqlx::pool: slow\n");
        let line = logged(true, true, || tracing::info!(pid = 3, "daemon.starting"));
        let json: serde_json::Value =
            serde_json::from_str(line.strip_prefix("<6>").expect("a prefix")).expect("JSON");
        assert_eq!((&json["message"], &json["pid"]), (&"daemon.starting".into(), &3.into()));
    }
}
