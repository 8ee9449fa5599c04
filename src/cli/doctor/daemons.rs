//! Who is at work on this desk, and who is not any more.

use super::super::Context;
use super::super::checkup::Checkup;
use crate::daemon::daemons;
use crate::store::Error;
use crate::telemetry::health::DaemonHealth;

/// What `maildesk daemon list` shows, and those that ended without a word.
pub async fn at_work(context: &Context) -> Checkup {
    let mut it = Checkup::of("daemons");
    let asked = async {
        let lapsed = context.works.leases.sight().await?.lapsed;
        Ok::<_, Error>((daemons(&context.works).await?, lapsed))
    };
    let (daemons, lapsed) = match asked.await {
        Ok(asked) => asked,
        Err(e) => {
            it.warn(format!("it is not known which are at work: {e}"), "check the store");
            return it;
        }
    };
    let running: Vec<&DaemonHealth> = daemons.iter().filter(|daemon| daemon.command == "run").collect();
    for daemon in &running {
        let has = match daemon.mailboxes.len() {
            0 => "no mailbox".to_owned(),
            _ => daemon.mailboxes.join(", "),
        };
        let DaemonHealth { pid, host, since, .. } = daemon;
        it.ok(format!("pid {pid} on {host} is at work since {since}, and has {has}"));
    }
    if running.is_empty() {
        it.ok("none is at work: mail waits where it is until `maildesk run`");
    }
    for gone in lapsed.iter().filter(|gone| gone.command == "run") {
        // On SQLite a life has no end of its own.
        let when =
            if gone.until.0 == i64::MAX { String::new() } else { format!(" at {}", gone.until.rfc3339()) };
        it.warn(
            format!("{gone}: its lease ran out{when}, and it has not come back"),
            "see its log and its machine: it was killed, stands still, or is cut off from the database. What it had goes to \
             the others",
        );
    }
    it
}
