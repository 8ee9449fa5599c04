//! Named points at which a test may kill the process. Without the feature `crash-points` they are nothing.

/// Every point, in the order in which a message meets them.
pub const POINTS: &[&str] = &[
    "keep.before_commit",
    "keep.after_commit",
    "decide.before_apply",
    "decide.after_apply",
    "decide.before_commit",
    "decide.after_commit",
    "ack.before_source",
    "ack.after_source",
    "ack.after_close",
    "ack.after_commit",
    "oauth.signed_in",
    "oauth.before_claim",
    "oauth.after_claim",
    "oauth.after_answer",
    "oauth.before_commit",
    "oauth.after_commit",
    "send.before_start",
    "send.after_start",
    "send.before_dot",
    "send.dot_committed",
    "send.after_dot",
    "send.before_outcome",
    "send.after_outcome",
    "lease.before_take",
    "lease.after_take",
    "lease.before_renew",
    "lease.after_renew",
    "lease.before_give_back",
    "lease.after_give_back",
];

/// Stops the process here, as SIGSTOP does, if `MAILDESK_STOP_AT` names this point. Aborts here if `MAILDESK_CRASH_AT` names
/// this point, or `name:n` and it is met for the n-th time.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static ARMED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static MET: AtomicU32 = AtomicU32::new(0);
    debug_assert!(POINTS.contains(&name), "crash point {name} is not listed");
    static STOPPED: OnceLock<Option<String>> = OnceLock::new();
    static HAS_STOPPED: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "a test's hand on the process, not a setting")]
    let stopped = STOPPED.get_or_init(|| std::env::var("MAILDESK_STOP_AT").ok());
    if stopped.as_deref() == Some(name) && HAS_STOPPED.fetch_add(1, Ordering::SeqCst) == 0 {
        let us = rustix::process::getpid();
        rustix::process::kill_process(us, rustix::process::Signal::STOP).expect("a process may stop itself");
        // Another thread may be the one that takes the signal, a moment later; this one must not go on until then.
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    let armed = ARMED.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "a test's hand on the process, not a setting")]
        let said = std::env::var("MAILDESK_CRASH_AT").ok()?;
        let (name, count) = said.split_once(':').unwrap_or((&said, "1"));
        Some((name.to_owned(), count.parse().unwrap_or(1)))
    });
    let Some((wanted, count)) = armed else { return };
    if wanted == name && MET.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        std::process::abort();
    }
}

#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}
