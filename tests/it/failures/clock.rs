//! Clocks that jump by hours, under the daemon itself: what waits keeps its turn, and nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use maildesk::clock::{Clock, Micros};
use maildesk::control::{self, Response};
use maildesk::daemon::{self, Front};
use maildesk::store::Owner;
use tokio_util::sync::CancellationToken;

use crate::support::trial::{Letter, Trial, on_both_stores};

on_both_stores!(a_clock_that_jumps_neither_delays_nor_doubles_a_mail);

const HOUR: i64 = 3600;

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_clock_that_jumps_neither_delays_nor_doubles_a_mail(url: String) {
    let trial = Trial::new(&url).await;
    let noon = 1_800_000_000;
    let clock = Clock::fixed(Micros::from_seconds(noon));
    let works = trial.works_on(trial.works.store.clone(), clock.clone()).await;
    // Mail cannot leave at first: a file is in the way of the folder.
    let out = trial.folder.path().join("out");
    std::fs::write(&out, "").expect("in the way");
    trial.deliver("1.a", &Letter::new("a").bytes());
    works.poll(&trial.mailbox("support").await).await.expect("a round");

    let owner = Owner { command: "run", pid: 1, since: works.clock.now() };
    let mut hold = works.store.hold(&owner, maildesk::store::Manner::Together).await.expect("the desk");
    let listener = control::bind(&trial.folder.path().join("sock")).await.expect("a socket");
    let handler: control::Handler = Arc::new(|_| Box::pin(async { Response::default() }));
    let stop = CancellationToken::new();
    let jumps = async {
        let deferred =
            async || trial.queue().await.iter().all(|m| m.recipients.iter().all(|r| r.state == "deferred"));
        until("the mail to be deferred", deferred).await;
        std::fs::remove_file(&out).expect("out of the way");
        // By the clock that was right, it would be due in six hours.
        clock.set(Micros::from_seconds(noon - 6 * HOUR));
        let is_told = async || trial.alerts().await.contains(&"clock:jumped".to_owned());
        until("the alert", is_told).await;
        let near = Micros::from_seconds(noon - 6 * HOUR + 90).rfc3339();
        let is_near = async || {
            trial
                .queue()
                .await
                .iter()
                .flat_map(|m| &m.recipients)
                .all(|r| r.next.as_ref().is_none_or(|n| *n <= near))
        };
        until("the wait to be taken back", is_near).await;
        // Too little to be a jump.
        clock.set(Micros::from_seconds(noon - 6 * HOUR + 110));
        let sent = async || {
            let queue = trial.queue().await;
            queue.iter().filter(|m| m.recipients.iter().all(|r| r.state == "sent")).count()
        };
        until("the first mail", async || sent().await > 0).await;
        clock.set(Micros::from_seconds(noon + 9 * HOUR));
        let words = maildesk::desk::command::Words { text: "We look into it.", agent: "Ada" };
        let cause = crate::support::trial::by_hand();
        let ticket = trial.tickets().await[0].id;
        works.desk.answer(ticket, &words, None, &cause).await.expect("an answer");
        works.wake.notify_one();
        until("all mails", async || sent().await == trial.queue().await.len()).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(
        daemon::run(
            works.clone(),
            Front { listener, handler, web: None, daily: None },
            &mut hold,
            stop.clone()
        ),
        jumps
    );
    ran.expect("it ends in good order");
    let written = std::fs::read_dir(&out).expect("the folder").count();
    assert_eq!(written, trial.queue().await.len(), "each mail once");
    assert!(trial.queue().await.iter().all(|m| !m.possibly_repeated));
}
