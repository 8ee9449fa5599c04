//! Metrics: counters that rise as things happen, and gauges made of the daemon's health when somebody asks.
//!
//! Few, and with few labels: what grows with the number of messages, tickets or addresses is no label.
//! `docs/metrics.md` is made of `ALL`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::Health;
use super::health::StoreState;

/// The media type of `Metrics::text`: OpenMetrics, which Prometheus reads.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a metric is, for whoever reads it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    /// counter, gauge, histogram.
    pub kind: &'static str,
    /// Each label with its values.
    pub labels: &'static [(&'static str, &'static str)],
    pub about: &'static str,
}

const MESSAGES: Definition = Definition {
    name: "maildesk_intake_messages_total",
    kind: "counter",
    labels: &[("act", "open, append, bounce, invalid, error, discard"), ("code", "those of reason-codes.md")],
    about: "Messages decided since the start, by what became of them",
};
const SCANS: Definition = Definition {
    name: "maildesk_intake_scans_total",
    kind: "counter",
    labels: &[("result", "clean, found, too_big, failed")],
    about: "Questions to the virus scanner since the start, by what came of them",
};
const SENDERS: Definition = Definition {
    name: "maildesk_intake_senders_total",
    kind: "counter",
    labels: &[("grade", "pass, neutral, fail")],
    about: "Messages whose sender was looked at since the start, by how well he is proven",
};
const ROUNDS: Definition = Definition {
    name: "maildesk_intake_round_seconds",
    kind: "histogram",
    labels: &[("result", "ok, failed")],
    about: "How long rounds over mailboxes took",
};
const MAILBOX_FAILING: Definition = Definition {
    name: "maildesk_intake_mailbox_failing",
    kind: "gauge",
    labels: &[("mailbox", "its name")],
    about: "1 where the last round over the mailbox failed, else 0; mailboxes that are read",
};
const MAILBOX_AGE: Definition = Definition {
    name: "maildesk_intake_mailbox_ok_age_seconds",
    kind: "gauge",
    labels: &[("mailbox", "its name")],
    about: "Time since the last round over the mailbox that went well; none before the first one",
};
const ARRIVALS: Definition = Definition {
    name: "maildesk_intake_arrivals",
    kind: "gauge",
    labels: &[(
        "state",
        "kept (to be decided), ack_pending (the source is to be told), left (too big or not given, at the source), refused (not given, asked for again)",
    )],
    about: "Messages that are not settled yet",
};
const ATTEMPTS: Definition = Definition {
    name: "maildesk_outbound_attempts_total",
    kind: "counter",
    labels: &[("outcome", "sent, deferred, failed")],
    about: "Tries to reach a recipient since the start, by outcome",
};
const RECIPIENTS: Definition = Definition {
    name: "maildesk_outbound_recipients",
    kind: "gauge",
    labels: &[("state", "queued (not tried yet), deferred (to be tried again), held")],
    about: "Recipients that mail waits for",
};
const OLDEST: Definition = Definition {
    name: "maildesk_outbound_oldest_waiting_seconds",
    kind: "gauge",
    labels: &[],
    about: "Age of the oldest mail that waits; 0 where none does",
};
const RELAY_FAILING: Definition = Definition {
    name: "maildesk_outbound_relay_failing",
    kind: "gauge",
    labels: &[("relay", "its name")],
    about: "1 where nothing goes through the relay, else 0; active relays",
};
const GRANT_FAILING: Definition = Definition {
    name: "maildesk_oauth_grant_failing",
    kind: "gauge",
    labels: &[("owner", "mailbox:NAME, relay:NAME")],
    about: "1 where the identity provider gives no access token, else 0",
};
const GRANT_ACCESS: Definition = Definition {
    name: "maildesk_oauth_access_token_seconds",
    kind: "gauge",
    labels: &[("owner", "mailbox:NAME, relay:NAME")],
    about: "Time until the access token ends",
};
const GRANT_REFRESH: Definition = Definition {
    name: "maildesk_oauth_refresh_token_days",
    kind: "gauge",
    labels: &[("owner", "mailbox:NAME, relay:NAME")],
    about: "Days until the refresh token ends if it is not used before, where that is known",
};
const GRANT_SECRET: Definition = Definition {
    name: "maildesk_oauth_client_secret_days",
    kind: "gauge",
    labels: &[("owner", "mailbox:NAME, relay:NAME")],
    about: "Days until the client secret ends, where its day was entered",
};
const ALERTS: Definition =
    Definition { name: "maildesk_alert_open", kind: "gauge", labels: &[], about: "Alerts that stand" };
const DAEMONS: Definition = Definition {
    name: "maildesk_daemon_live",
    kind: "gauge",
    labels: &[],
    about: "Daemons at work on this desk",
};
const DAEMON_MAILBOXES: Definition = Definition {
    name: "maildesk_daemon_mailboxes",
    kind: "gauge",
    labels: &[],
    about: "Mailboxes that this daemon has",
};
const STORE_UP: Definition = Definition {
    name: "maildesk_store_up",
    kind: "gauge",
    labels: &[],
    about: "1 where the store answers, else 0; the gauges that come from it are left out then",
};
const STORE_PING: Definition = Definition {
    name: "maildesk_store_ping_seconds",
    kind: "gauge",
    labels: &[],
    about: "How long the store took to answer this very question",
};
const BUILD: Definition = Definition {
    name: "maildesk_build_info",
    kind: "gauge",
    labels: &[("version", "of the program")],
    about: "Always 1",
};

/// Every metric that there is.
pub const ALL: &[Definition] = &[
    MESSAGES,
    SCANS,
    SENDERS,
    ROUNDS,
    MAILBOX_FAILING,
    MAILBOX_AGE,
    ARRIVALS,
    ATTEMPTS,
    RECIPIENTS,
    OLDEST,
    RELAY_FAILING,
    GRANT_FAILING,
    GRANT_ACCESS,
    GRANT_REFRESH,
    GRANT_SECRET,
    ALERTS,
    DAEMONS,
    DAEMON_MAILBOXES,
    STORE_UP,
    STORE_PING,
    BUILD,
];

/// Bounds of the histogram of rounds: from an empty mailbox nearby to a first round over a full one.
const ROUND_SECONDS: [f64; 9] = [0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Amount = Gauge<f64, AtomicU64>;

/// What is counted while the daemon works. Cheap to clone; the clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: Family<Labels<2>, Counter>,
    scans: Family<Labels<1>, Counter>,
    senders: Family<Labels<1>, Counter>,
    rounds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    attempts: Family<Labels<1>, Counter>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let histogram: fn() -> Histogram = || Histogram::new(ROUND_SECONDS);
        Metrics {
            messages: Family::default(),
            scans: Family::default(),
            senders: Family::default(),
            rounds: Family::new_with_constructor(histogram),
            attempts: Family::default(),
        }
    }
}

impl Metrics {
    /// A message was decided, durably.
    pub fn decided(&self, act: &'static str, code: &'static str) {
        self.messages.get_or_create(&[("act", act), ("code", code)]).inc();
    }

    /// The virus scanner was asked, or would have been of a smaller message: clean, found, too_big or failed.
    pub fn scanned(&self, result: &'static str) {
        self.scans.get_or_create(&[("result", result)]).inc();
    }

    /// A message was decided whose sender was looked at: pass, neutral or fail.
    pub fn graded(&self, grade: &'static str) {
        self.senders.get_or_create(&[("grade", grade)]).inc();
    }

    /// A round over a mailbox ended.
    pub fn round(&self, took: Duration, is_ok: bool) {
        let result = if is_ok { "ok" } else { "failed" };
        self.rounds.get_or_create(&[("result", result)]).observe(took.as_secs_f64());
    }

    /// A try to reach a recipient ended: sent, deferred or failed.
    pub fn attempted(&self, outcome: &'static str) {
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// All of it as text, with the gauges of this moment.
    pub fn text(&self, health: &Health) -> String {
        let mut registry = Registry::default();
        register(&mut registry, &MESSAGES, self.messages.clone());
        register(&mut registry, &SCANS, self.scans.clone());
        register(&mut registry, &SENDERS, self.senders.clone());
        register(&mut registry, &ROUNDS, self.rounds.clone());
        register(&mut registry, &ATTEMPTS, self.attempts.clone());
        gauges(&mut registry, health);
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a String cannot fail");
        text
    }
}

fn gauges(registry: &mut Registry, health: &Health) {
    let read = health.mailboxes.iter().filter(|m| ["ok", "waiting", "failing"].contains(&m.state));
    let failing = read.clone().map(|m| (m.name.as_str(), f64::from(u8::from(m.state == "failing"))));
    labelled(registry, &MAILBOX_FAILING, failing);
    let ages = read.filter_map(|m| Some((m.name.as_str(), m.last_ok_age_s? as f64)));
    labelled(registry, &MAILBOX_AGE, ages);
    labelled(registry, &ARRIVALS, health.arrivals.iter().map(|c| (c.state.as_str(), c.count as f64)));
    let recipients = health.queue.recipients.iter().map(|c| (c.state.as_str(), c.count as f64));
    labelled(registry, &RECIPIENTS, recipients);
    let active = health.relays.iter().filter(|r| r.state != "off");
    let failing = active.map(|r| (r.name.as_str(), f64::from(u8::from(r.state == "failing"))));
    labelled(registry, &RELAY_FAILING, failing);
    let owners: Vec<String> = health.grants.iter().map(|g| format!("{}:{}", g.kind, g.name)).collect();
    let grants = || owners.iter().map(String::as_str).zip(&health.grants);
    labelled(registry, &GRANT_FAILING, grants().map(|(o, g)| (o, f64::from(u8::from(g.state != "working")))));
    let of = |(owner, left): (_, Option<i64>)| left.map(|left| (owner, left as f64));
    labelled(registry, &GRANT_ACCESS, grants().map(|(o, g)| (o, g.access_left_s)).filter_map(of));
    labelled(registry, &GRANT_REFRESH, grants().map(|(o, g)| (o, g.refresh_days_left)).filter_map(of));
    labelled(registry, &GRANT_SECRET, grants().map(|(o, g)| (o, g.secret_days_left)).filter_map(of));
    let is_up = health.store.state == StoreState::Ok;
    if is_up {
        plain(registry, &OLDEST, health.queue.oldest_s.unwrap_or(0) as f64);
        plain(registry, &ALERTS, health.alerts_open as f64);
        plain(registry, &DAEMONS, health.daemons.iter().filter(|d| d.command == "run").count() as f64);
        let ours = health.daemons.iter().filter(|d| d.is_us).map(|d| d.mailboxes.len()).sum::<usize>();
        plain(registry, &DAEMON_MAILBOXES, ours as f64);
    }
    plain(registry, &STORE_UP, f64::from(u8::from(is_up)));
    if let Some(ping_ms) = health.store.ping_ms {
        plain(registry, &STORE_PING, ping_ms / 1000.0);
    }
    labelled(registry, &BUILD, std::iter::once((health.version, 1.0)));
}

fn labelled<'h>(
    registry: &mut Registry,
    definition: &Definition,
    values: impl Iterator<Item = (&'h str, f64)>,
) {
    let family = Family::<[(&'static str, String); 1], Amount>::default();
    for (value, amount) in values {
        family.get_or_create(&[(definition.labels[0].0, value.to_owned())]).set(amount);
    }
    register(registry, definition, family);
}

fn plain(registry: &mut Registry, definition: &Definition, amount: f64) {
    let gauge = Amount::default();
    gauge.set(amount);
    register(registry, definition, gauge);
}

fn register(registry: &mut Registry, definition: &Definition, metric: impl Metric) {
    // The encoder adds `_total` to counters itself.
    let name = definition.name.strip_suffix("_total").unwrap_or(definition.name);
    registry.register(name, definition.about, metric);
}

#[cfg(test)]
mod tests {
    use super::super::health::{Count, GrantHealth, MailboxHealth, RelayHealth};
    use super::*;

    fn filled() -> String {
        let metrics = Metrics::default();
        metrics.decided("open", "new_ticket");
        metrics.clone().decided("open", "new_ticket");
        metrics.scanned("clean");
        metrics.graded("pass");
        metrics.round(Duration::from_millis(70), true);
        metrics.attempted("sent");
        let mailbox = MailboxHealth {
            name: "a \"b\"\n".into(),
            state: "failing",
            failing_since: None,
            failure_kind: None,
            failures: 1,
            last_ok_age_s: Some(5),
        };
        let mut health = Health { version: "1.2.3", ..Health::default() };
        health.answered_in(Duration::from_micros(1500));
        health.mailboxes.push(mailbox);
        health.arrivals.push(Count { state: "kept".into(), count: 2 });
        health.queue.recipients.push(Count { state: "queued".into(), count: 7 });
        health.relays.push(RelayHealth { name: "out".into(), state: "ok", failing_since: None });
        health.grants.push(GrantHealth {
            kind: "mailbox".into(),
            name: "support".into(),
            state: "working".into(),
            error: String::new(),
            access_left_s: Some(3000),
            refresh_days_left: Some(89),
            secret_days_left: Some(30),
        });
        metrics.text(&health)
    }

    #[test]
    fn what_is_defined_is_what_is_told() {
        let text = filled();
        for one in ALL {
            let told = format!("# TYPE {} {}\n", one.name.trim_end_matches("_total"), one.kind);
            assert!(text.contains(&told), "{told} is not in\n{text}");
            assert!(one.labels.len() <= 2);
        }
        assert_eq!(text.matches("# TYPE ").count(), ALL.len());
        for line in [
            "maildesk_intake_messages_total{act=\"open\",code=\"new_ticket\"} 2\n",
            "maildesk_intake_round_seconds_bucket{le=\"0.1\",result=\"ok\"} 1\n",
            "maildesk_intake_mailbox_failing{mailbox=\"a \\\"b\\\"\\n\"} 1.0\n",
            "maildesk_outbound_recipients{state=\"queued\"} 7.0\n",
            "maildesk_store_ping_seconds 0.0015\n",
            "maildesk_build_info{version=\"1.2.3\"} 1.0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_store_that_does_not_answer_leaves_its_gauges_out() {
        let text = Metrics::default().text(&Health::default());
        assert!(text.contains("maildesk_store_up 0.0\n"), "{text}");
        assert!(
            !text.contains("maildesk_alert_open") && !text.contains("maildesk_outbound_oldest"),
            "{text}"
        );
    }
}
