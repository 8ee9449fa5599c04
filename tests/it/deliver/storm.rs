//! The main job through a pipe: mixed mail by many calls of `deliver`, eight at a time, while the daemon is killed and
//! started again, and some of the calls are killed too. What ends with 75, or is killed, is brought again, as an MTA does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::spine::{Replies, Spine, check_sent};
use crate::support::listing::has_ended_busy;
use crate::support::program::{Desk, Running, Store};
use crate::support::wait_until;

const AT_A_TIME: usize = 8;
/// Of the daemon, in a long run and in a short one.
const KILLS: (usize, usize) = (20, 6);

#[test]
fn many_calls_under_kills_lose_and_double_nothing_sqlite() {
    storm(Store::Sqlite);
}

#[test]
fn many_calls_under_kills_lose_and_double_nothing_postgres() {
    storm(Store::Postgres);
}

#[derive(Default)]
struct Counts {
    calls: AtomicUsize,
    tried_again: AtomicUsize,
    killed: AtomicUsize,
    brought: AtomicUsize,
}

fn storm(store: Store) {
    let Some(spine) = Spine::on_pipe(store, 150) else { return };
    let (main, _) = spine.take_seeds(Replies::AsMade);
    let messages: Vec<Vec<u8>> = main.messages().map(|message| main.bytes(message)).collect();
    let counts = Counts::default();
    let begun = Instant::now();
    let waiting = Mutex::new(messages.iter());
    let (kills, mut daemon) = std::thread::scope(|scope| {
        let (waiting, counts, desk) = (&waiting, &counts, &spine.desk);
        for thread in 0..AT_A_TIME {
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(thread as u64);
                loop {
                    let next = waiting.lock().expect("no thread panics while it holds this").next();
                    let Some(message) = next else { return };
                    bring(desk, message, counts, &mut random);
                }
            });
        }
        kill_while_they_come(desk, messages.len(), counts)
    });
    let took = begun.elapsed();
    let all = spine.size.messages + spine.size.seeds;
    wait_until("the desk to settle", Duration::from_secs(300), || {
        if has_ended_busy(&mut daemon) {
            daemon = spine.desk.spawn(&["run"]);
        }
        let journal = spine.desk.rows(&["journal", "list", "--json"]);
        let is_decided = journal.len() >= all && journal.iter().all(|row| row["state"] == "decided");
        (is_decided && spine.desk.queue().iter().all(|mail| mail.state == "done")).then_some(())
    });
    assert!(daemon.stop().success(), "{}", daemon.log());
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let words = format!(
        "{store:?}: {} messages by {} calls of deliver in {took:.1?}; {} ended with 75, {} were killed; the daemon was \
         killed {kills} times",
        messages.len(),
        of(&counts.calls),
        of(&counts.tried_again),
        of(&counts.killed),
    );
    spine.check(&main, Replies::AsMade, &words);
    check_sent(&spine.sink.received(), spine.desk.queue().len(), kills);
}

/// Brings one message until it is taken. One call in twenty is killed at a random moment.
fn bring(desk: &Desk, message: &[u8], counts: &Counts, random: &mut StdRng) {
    wait_until("a message to be taken", Duration::from_secs(120), || {
        counts.calls.fetch_add(1, Ordering::Relaxed);
        if random.random_ratio(1, 20) {
            kill_one(desk, message, Duration::from_millis(random.random_range(0..40)));
            counts.killed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let brought = desk.run_with_input(&["deliver", "--to=support@example.com"], message);
        match brought.code {
            Some(0) => Some(()),
            Some(75) => {
                counts.tried_again.fetch_add(1, Ordering::Relaxed);
                None
            }
            _ => panic!("an MTA would send this mail back: {brought:?}"),
        }
    });
    counts.brought.fetch_add(1, Ordering::Relaxed);
}

fn kill_one(desk: &Desk, message: &[u8], after: Duration) {
    use std::io::Write as _;
    let mut command = desk.command(&["deliver", "--to=support@example.com"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("maildesk starts");
    drop(child.stdin.take().expect("a pipe").write_all(message));
    std::thread::sleep(after);
    // It may have ended before.
    drop(child.kill());
    child.wait().expect("a child of ours can be waited for");
}

/// Kills the daemon again and again, spread over the work, with moments between in which there is none.
fn kill_while_they_come(desk: &Desk, messages: usize, counts: &Counts) -> (usize, Running) {
    let mut random = StdRng::seed_from_u64(7);
    let brought = || counts.brought.load(Ordering::Relaxed);
    let mut daemon = desk.spawn(&["run"]);
    let mut kills = 0;
    let wanted = if messages >= 1000 { KILLS.0 } else { KILLS.1 };
    for n in 0..wanted {
        let until = messages * (n + 1) / (wanted + 1);
        wait_until("more messages to be taken", Duration::from_secs(300), || {
            if has_ended_busy(&mut daemon) {
                daemon = desk.spawn(&["run"]);
            }
            (brought() >= until).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
        if daemon.ended().is_none() {
            daemon.kill();
            kills += 1;
        }
        if random.random_bool(0.5) {
            // Some come while there is no daemon.
            let without = (brought() + random.random_range(1..4)).min(messages);
            wait_until("messages without a daemon", Duration::from_secs(60), || {
                (brought() >= without).then_some(())
            });
        }
        daemon = desk.spawn(&["run"]);
    }
    (kills, daemon)
}
