//! The clock of what ends: told 14, 7, 3 and 1 days before, once each, and that all is well again.

use super::*;
use crate::support::identity::Fault;
use crate::support::trial::on_both_stores;

on_both_stores!(a_client_secret_is_told_of_before_it_ends, an_unused_refresh_token_is_told_of_before_it_ends);

impl Bench {
    /// The days on which mails about what ends are queued, a look every six hours, from day 0 on.
    async fn told(&self, days: i64, contains: &str) -> Vec<i64> {
        let mut told = vec![];
        let mut count = 0;
        for quarter in 0..=days * 4 {
            self.clock.set(second(quarter * DAY / 4));
            self.grants.state_ends().await.unwrap();
            self.trial.works.desk.tell_alerts().await.unwrap();
            let mails = self.subjects().await.iter().filter(|subject| subject.contains(contains)).count();
            told.extend(std::iter::repeat_n(quarter / 4, mails - count));
            count = mails;
        }
        told
    }

    async fn subjects(&self) -> Vec<String> {
        self.trial.queue().await.into_iter().map(|mail| mail.subject).collect()
    }
}

async fn a_client_secret_is_told_of_before_it_ends(url: String) {
    let until = second(30 * DAY).rfc3339();
    let mut bench =
        Bench::with(&url, Style::Microsoft, &format!("client_secret_until = \"{until}\"\n")).await;
    bench.sign_in().await;
    assert_eq!(bench.grants.status(None).await.unwrap()[0].secret_days_left, Some(30));
    assert_eq!(bench.told(29, "client secret ends").await, [16, 23, 27, 29]);
    assert_eq!(bench.trial.alerts().await.len(), 1, "the stage of now alone stands");
    // A new one is given: told once that it is over.
    let before = bench.trial.queue().await.len();
    let later = second(300 * DAY).rfc3339();
    let more = format!("timeout_s = 2\nclient_secret_until = \"{later}\"\n");
    let sections = sections(&bench.identity, &more);
    bench.trial.configure(&sections).await;
    bench.grants.state_ends().await.unwrap();
    bench.trial.works.desk.tell_alerts().await.unwrap();
    assert!(bench.trial.alerts().await.is_empty());
    assert_eq!(bench.trial.queue().await.len(), before + 1);
}

async fn an_unused_refresh_token_is_told_of_before_it_ends(url: String) {
    let bench = Bench::new(&url, Style::Microsoft).await;
    bench.sign_in().await;
    assert_eq!(bench.told(89, "refresh token ends").await, [76, 83, 87, 89]);
    bench.grants.refresh_now(&bench.owner).await.expect("on its last day");
    let before = bench.trial.queue().await.len();
    bench.grants.state_ends().await.unwrap();
    bench.trial.works.desk.tell_alerts().await.unwrap();
    assert!(bench.trial.alerts().await.is_empty());
    assert_eq!(bench.trial.queue().await.len(), before + 1, "that it works again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_that_nobody_uses_are_kept_alive_for_years() {
    let bench = Bench::new("sqlite:desk.db", Style::Microsoft).await;
    bench.sign_in().await;
    bench.identity.desk().access_lasts = 30 * DAY;
    for month in 0..24 {
        bench.clock.set(second(month * 30 * DAY + DAY));
        bench.grants.keep_alive().await.unwrap();
    }
    assert!(bench.has_token().await && bench.trial.alerts().await.is_empty());
    // A revoked grant: one alert, and one mail about it.
    bench.identity.revoke_all();
    bench.identity.desk().faults.push_back(Fault::Refused {
        error: "invalid_grant",
        number: 50_173,
        words: "TOKEN",
    });
    bench.clock.set(second(3 * 365 * DAY));
    for _ in 0..3 {
        bench.grants.keep_alive().await.unwrap();
        bench.trial.works.desk.tell_alerts().await.unwrap();
    }
    assert_eq!(bench.trial.alerts().await, [format!("oauth:{}:failing", bench.owner)]);
    assert_eq!(bench.trial.queue().await.len(), 1);
}
