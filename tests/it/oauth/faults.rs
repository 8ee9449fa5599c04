//! What a provider refuses, in the admin's words, without ever asking it again and again.

use super::*;
use crate::support::identity::{Fault, Rotation};
use crate::support::trial::on_both_stores;

on_both_stores!(a_lost_answer_heals_within_the_grace, without_grace_a_lost_answer_ends_in_one_alert);

async fn signed_in(url: &str) -> Bench {
    let bench = Bench::new(url, Style::Microsoft).await;
    bench.sign_in().await;
    bench.clock.set(second(3600));
    bench
}

impl Bench {
    /// Whoever needs a token asks for it, again and again, and so does the keeper.
    async fn insist(&self) {
        for _ in 0..10 {
            drop(self.grants.access_token(&self.owner).await);
            self.grants.keep_alive().await.expect("a look");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_words_and_nothing_loops() {
    let refused = |error, number, said, code, words| {
        (Fault::Refused { error, number, words: said }, code, words, true, 1)
    };
    // How often it is asked within the hour, at most.
    for (fault, code, words, is_over, most) in [
        refused("invalid_grant", 50_173, "revoked", "revoked", "the grant was revoked"),
        refused("invalid_grant", 700_082, "inactive", "expired", "the refresh token has ended"),
        refused(
            "invalid_request",
            90_002,
            "no tenant",
            "wrong_tenant",
            "the directory (tenant) is not known",
        ),
        refused("invalid_scope", 70_011, "no scope", "wrong_scope", "the provider does not know a scope"),
        refused("invalid_client", 7_000_222, "keys expired", "secret_expired", "the client secret has ended"),
        refused("interaction_required", 50_076, "mfa", "mfa_required", "the provider wants a second factor"),
        (Fault::Throttled(1800), "throttled", "the provider limits requests", false, 3),
        (Fault::ThrottledUntil(1800), "throttled", "the provider limits requests", false, 3),
        (Fault::Html(200), "not_json", "what answers is no identity provider", false, 8),
        (Fault::Html(503), "unavailable", "the provider says that it cannot now", false, 8),
        (Fault::Silent, "no_answer", "the provider cannot be reached, or gives no answer", false, 1),
    ] {
        let bench = signed_in("sqlite:desk.db").await;
        let again = if fault == Fault::Silent { 1 } else { 50 };
        bench.identity.desk().faults = std::iter::repeat_n(fault.clone(), again).collect();
        let asked = bench.identity.asked();
        let failure = bench.grants.access_token(&bench.owner).await.unwrap_err();
        assert!(failure.to_string().starts_with(words), "{fault:?}: {failure}");
        assert_eq!(failure.is_temporary(), !is_over, "{fault:?}");
        assert_eq!(bench.code().await, code);
        bench.insist().await;
        assert_eq!(bench.identity.asked(), asked + 1, "{fault:?} is asked for again at once");
        let alert = format!("oauth:{}:failing", bench.owner);
        assert_eq!(bench.trial.alerts().await.contains(&alert), is_over, "{fault:?}");
        if fault == Fault::Silent {
            continue;
        }
        for minute in 1..=60 {
            bench.clock.set(second(3600 + minute * 60));
            bench.insist().await;
        }
        let asked = bench.identity.asked() - asked;
        assert!(asked <= most, "{fault:?} is asked for {asked} times within an hour");
        assert!(bench.trial.alerts().await.contains(&alert), "{fault:?}: nobody is told");
        // A person asks, and all is well again.
        bench.identity.desk().faults.clear();
        bench.grants.refresh_now(&bench.owner).await.expect("it works again");
        assert!(bench.has_token().await && bench.trial.alerts().await.is_empty(), "{fault:?}");
    }
}

async fn a_lost_answer_heals_within_the_grace(url: String) {
    for rotation in [Rotation::UntilNewIsUsed, Rotation::Seconds(60)] {
        let bench = signed_in(&url_of(&url, rotation)).await;
        bench.identity.desk().rotation = rotation;
        bench.identity.desk().faults.push_back(Fault::LostAnswer);
        assert!(bench.grants.access_token(&bench.owner).await.unwrap_err().is_temporary());
        bench.clock.set(second(3620));
        assert!(bench.has_token().await, "{rotation:?}");
        bench.clock.set(second(7300));
        assert!(bench.has_token().await, "{rotation:?}");
        assert!(bench.trial.alerts().await.is_empty());
    }
}

/// A database of its own for the second one.
fn url_of(url: &str, rotation: Rotation) -> String {
    match rotation {
        Rotation::UntilNewIsUsed => url.to_owned(),
        _ if url.starts_with("sqlite:") => url.to_owned(),
        _ => crate::support::postgres::database().expect("there was one before"),
    }
}

async fn without_grace_a_lost_answer_ends_in_one_alert(url: String) {
    let bench = signed_in(&url).await;
    bench.identity.desk().rotation = Rotation::NoGrace;
    bench.identity.desk().faults.push_back(Fault::LostAnswer);
    assert!(bench.grants.access_token(&bench.owner).await.unwrap_err().is_temporary());
    let asked = bench.identity.asked();
    bench.clock.set(second(3620));
    // The next round.
    let failure = bench.grants.access_token(&bench.owner).await.unwrap_err();
    assert!(
        !failure.is_temporary() && failure.to_string().contains("maildesk oauth login mailbox:"),
        "{failure}"
    );
    assert_eq!(bench.code().await, "lost_answer");
    assert_eq!(bench.trial.alerts().await, [format!("oauth:{}:failing", bench.owner)]);
    for day in 1..30 {
        bench.clock.set(second(3600 + day * DAY));
        bench.insist().await;
    }
    // The token of now, and the one before it where there is one.
    assert!(bench.identity.asked() <= asked + 2, "{} requests", bench.identity.asked() - asked);
    bench.sign_in().await;
    assert!(bench.has_token().await && bench.trial.alerts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_mail_server_refuses_is_replaced_once() {
    let bench = signed_in("sqlite:desk.db").await;
    let first = bench.grants.access_token(&bench.owner).await.unwrap();
    bench
        .grants
        .refused(&bench.owner, &first, &format!("NO bad token {}", first.secret.expose()))
        .await
        .unwrap();
    let second = bench.grants.access_token(&bench.owner).await.unwrap();
    bench.identity.void_access_tokens();
    assert!(!bench.identity.takes(second.secret.expose()));
    assert_ne!(first.secret, second.secret);
    // It is not the token, then.
    bench.grants.refused(&bench.owner, &second, "NO AUTHENTICATE failed").await.unwrap();
    assert_eq!(bench.grants.access_token(&bench.owner).await.unwrap().secret, second.secret);
    let line = bench.grants.status(None).await.unwrap().remove(0);
    assert_eq!(line.server_refused, "NO AUTHENTICATE failed");
    assert!(!format!("{first:?}").contains(first.secret.expose()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broken_grant_stops_no_other() {
    let bench = signed_in("sqlite:desk.db").await;
    let relay =
        Wish { owner: Owner { kind: maildesk::oauth::OwnerKind::Relay, ..bench.owner }, ..bench.wish() };
    let id = bench.trial.works.store.read().await.unwrap().find_relay("out").await.unwrap().id;
    let relay = Wish { owner: id.into(), ..relay };
    bench.identity.revoke_all();
    let begun = bench.grants.begin_code(&relay, "http://localhost:1").await.unwrap();
    bench.grants.finish_code(&begun.pending, &bench.identity.sign_in(&begun.page)).await.unwrap();
    bench.grants.keep_alive().await.unwrap();
    assert_eq!(bench.code().await, "revoked");
    assert!(bench.grants.access_token(&relay.owner).await.is_ok());
    let states: Vec<String> =
        bench.grants.status(None).await.unwrap().into_iter().map(|line| line.state).collect();
    assert_eq!(states, ["stopped", "working"]);
}
