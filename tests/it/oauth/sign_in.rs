//! A sign-in by each flow ends with tokens that are taken, and with a grant that refreshes.

use maildesk::seal::Secret;

use super::*;
use crate::support::identity::{Fault, Rotation};
use crate::support::trial::on_both_stores;

on_both_stores!(each_flow_ends_with_a_grant_that_refreshes);

async fn each_flow_ends_with_a_grant_that_refreshes(url: String) {
    let bench = Bench::new(&url, Style::Microsoft).await;
    let mut now = 0;
    for flow in ["code", "device", "client_credentials", "import"] {
        match flow {
            "code" => bench.sign_in().await,
            "device" => by_device(&bench, &mut now).await,
            "client_credentials" => {
                drop(bench.grants.connect_application(&bench.wish()).await.expect("connected"))
            }
            _ => {
                let token = bench.identity.grant("someone@example.com", "mail offline_access");
                let done = bench.grants.import(&bench.wish(), &Secret::new(token)).await.expect("imported");
                assert!(done.note.contains("not granted"), "{}", done.note);
                // The mailbox is a Maildir.
                assert!(done.note.contains("nobody uses it before"), "{}", done.note);
            }
        }
        assert!(bench.has_token().await, "{flow}");
        let line = bench.grants.status(None).await.unwrap().remove(0);
        assert_eq!(
            (line.flow.as_str(), line.state.as_str(), line.user.as_str()),
            (flow, "working", "someone@example.com")
        );
        // Fresh, it is not asked for again; later it is.
        let asked = bench.identity.asked();
        assert!(bench.has_token().await);
        assert_eq!(bench.identity.asked(), asked, "{flow}");
        for _ in 0..3 {
            now += 3600;
            bench.clock.set(second(now));
            assert!(bench.has_token().await, "{flow}");
        }
        assert_eq!(bench.identity.asked(), asked + 3, "{flow}");
    }
    let desk = bench.identity.desk();
    assert_eq!(desk.overlaps, 0);
    let refused: Vec<_> = desk
        .seen
        .iter()
        .filter(|seen| !["ok", "slow_down", "authorization_pending"].contains(&seen.answer.as_str()))
        .collect();
    assert!(refused.is_empty(), "the double takes each request but those that poll: {refused:?}");
    for grant_type in ["authorization_code", "refresh_token", "client_credentials"] {
        assert!(desk.seen.iter().any(|seen| seen.grant_type == grant_type), "{grant_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_may_ask_the_provider_about_a_token() {
    let bench = Bench::new("sqlite:desk.db", Style::Microsoft).await;
    bench.sign_in().await;
    let token = bench.grants.access_token(&bench.owner).await.unwrap();
    let asked = bench.identity.introspection();
    assert!(asked.starts_with(bench.identity.url()));
    let form = format!("token={}", token.secret.expose()).into_bytes();
    let http = Http::default();
    let answer = http.post_form(&asked, form, std::time::Duration::from_secs(20)).await.expect("an answer");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&json["active"], &json["username"]), (&true.into(), &"someone@example.com".into()));
    assert_eq!(json["scope"], "https://outlook.office.com/IMAP.AccessAsUser.All");
    bench.clock.set(second(4000));
    let answer =
        http.post_form(&asked, b"token=x".to_vec(), std::time::Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.body, br#"{"active":false}"#);
}

async fn by_device(bench: &Bench, now: &mut i64) {
    let mut begun = bench.grants.begin_device(&bench.wish()).await.expect("a code");
    let user_code = begun.user_code.clone();
    // Between two polls no time goes by: the second one comes too soon.
    for pause in [1, 6] {
        let polled = bench.grants.poll_device(&begun.pending).await.expect("polled");
        let Polled::Waiting(next) = polled else { panic!("nobody has entered the code") };
        assert_eq!(next.pause.as_secs(), pause);
        begun = next;
    }
    bench.identity.enter_code(&user_code, Ok("someone@example.com"));
    *now += begun.pause.as_secs() as i64;
    bench.clock.set(second(*now));
    assert!(matches!(bench.grants.poll_device(&begun.pending).await, Ok(Polled::Connected(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_rotate_keeps_its_token() {
    let bench = Bench::new("sqlite:desk.db", Style::Google).await;
    assert_eq!(bench.identity.desk().rotation, Rotation::Never);
    bench.sign_in().await;
    let rotated = bench.grants.status(None).await.unwrap().remove(0).last_rotation;
    for n in 1..5 {
        bench.clock.set(second(n * 3600));
        assert!(bench.has_token().await);
    }
    let line = bench.grants.status(None).await.unwrap().remove(0);
    assert_eq!(line.last_rotation, rotated);
    assert_eq!(line.refresh_days_left, Some(180));
    // Google does not allow mail by device code, and gives tokens back.
    let refused = bench.grants.begin_device(&bench.wish()).await.unwrap_err().to_string();
    assert!(refused.starts_with("the provider does not know a scope"), "{refused}");
    assert_eq!(bench.grants.revoke(&bench.owner).await.unwrap(), "the provider has revoked it");
    let none = bench.grants.access_token(&bench.owner).await.unwrap_err();
    assert!(none.to_string().contains("maildesk oauth login mailbox:"), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_about_a_sign_in_is_told() {
    let bench = Bench::with("sqlite:desk.db", Style::Microsoft, "scopes = [\"mail\"]\n").await;
    let begun = bench.grants.begin_code(&bench.wish(), "http://localhost:1234").await.unwrap();
    let answer = bench.identity.sign_in(&begun.page);
    let said = |result: Result<maildesk::oauth::Connected, maildesk::failure::Failure>| {
        result.unwrap_err().to_string()
    };
    // Without offline_access nothing lasts.
    assert!(said(bench.grants.finish_code(&begun.pending, &answer).await).contains("no refresh token"));
    assert!(
        said(bench.grants.finish_code(&begun.pending, &answer).await)
            .starts_with("the code of this sign-in was used")
    );
    let other = bench.grants.begin_code(&bench.wish(), "http://localhost:1234").await.unwrap();
    assert!(
        said(bench.grants.finish_code(&other.pending, &answer).await)
            .contains("does not belong to this sign-in")
    );
    assert!(said(bench.grants.finish_code("AAAA", &answer).await).contains("begin it anew"));
    bench.clock.set(second(2 * 3600));
    assert!(said(bench.grants.finish_code(&other.pending, &answer).await).contains("took too long"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_code_may_be_asked_for_too_often_run_out_or_be_declined() {
    let bench = Bench::new("sqlite:desk.db", Style::Microsoft).await;
    let refused = |error| Fault::Refused { error, number: 0, words: "no" };
    let mut begun = bench.grants.begin_device(&bench.wish()).await.expect("a code");
    for (fault, pause) in [
        (refused("authorization_pending"), 1),
        // RFC 8628 §3.5: five seconds more, each time.
        (refused("slow_down"), 6),
        (refused("slow_down"), 11),
        (refused("authorization_pending"), 11),
        (Fault::Html(503), 22),
        (Fault::Throttled(90), 90),
        (refused("authorization_pending"), 44),
    ] {
        bench.identity.desk().faults.push_back(fault.clone());
        let polled = bench.grants.poll_device(&begun.pending).await.expect("it goes on");
        let Polled::Waiting(next) = polled else { panic!("nobody has entered the code") };
        assert_eq!(next.pause.as_secs(), pause, "{fault:?}");
        begun = next;
    }
    bench.identity.desk().faults.push_back(refused("expired_token"));
    let over = bench.grants.poll_device(&begun.pending).await.unwrap_err().to_string();
    assert!(over.starts_with("the code was not entered in time"), "{over}");
    assert!(over.ends_with("Begin the sign-in anew: `maildesk oauth login mailbox:support`."), "{over}");
    bench.clock.set(second(901));
    let over = bench.grants.poll_device(&begun.pending).await.unwrap_err().to_string();
    assert!(over.contains("took too long"), "{over}");
    let begun = bench.grants.begin_device(&bench.wish()).await.expect("a code");
    bench.identity.enter_code(&begun.user_code, Err(()));
    let declined = bench.grants.poll_device(&begun.pending).await.unwrap_err().to_string();
    assert!(declined.starts_with("the sign-in was declined"), "{declined}");
    assert!(bench.grants.status(None).await.unwrap().is_empty(), "nothing of it is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registered_redirect_url_is_honoured() {
    for (registered, is_here) in
        [("https://desk.example.com/back", false), ("http://127.0.0.1:8400/back", true)]
    {
        let more = format!("timeout_s = 2\nredirect_url = \"{registered}\"\n");
        let bench = Bench::with("sqlite:desk.db", Style::Microsoft, &more).await;
        let place = bench.grants.redirect(&bench.wish()).await.unwrap();
        assert_eq!((place.url.as_str(), place.is_here), (registered, is_here));
        bench.identity.desk().redirects = vec![registered.into()];
        let begun = bench.grants.begin_code(&bench.wish(), "").await.expect("a page");
        let answer = bench.identity.sign_in(&begun.page);
        assert!(answer.starts_with(registered), "{answer}");
        bench.grants.finish_code(&begun.pending, &answer).await.expect("signed in");
        assert!(bench.has_token().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_may_have_a_client_secret_of_its_own() {
    let bench = Bench::new("sqlite:desk.db", Style::Microsoft).await;
    bench.identity.desk().client_secret = "another~secret".into();
    let begun = bench.grants.begin_code(&bench.wish(), "http://localhost:1").await.unwrap();
    let answer = bench.identity.sign_in(&begun.page);
    let refused = bench.grants.finish_code(&begun.pending, &answer).await.unwrap_err().to_string();
    assert!(refused.starts_with("the provider does not take client id and client secret"), "{refused}");
    let wish = Wish {
        client_secret: Some(Secret::new("another~secret")),
        secret_until: Some(second(10 * DAY)),
        ..bench.wish()
    };
    let begun = bench.grants.begin_code(&wish, "http://localhost:1").await.unwrap();
    let answer = bench.identity.sign_in(&begun.page);
    bench.grants.finish_code(&begun.pending, &answer).await.expect("signed in");
    bench.clock.set(second(4 * DAY));
    assert!(bench.has_token().await, "it is refreshed with its own secret");
    assert_eq!(bench.grants.status(None).await.unwrap()[0].secret_days_left, Some(6));
    bench.grants.state_ends().await.unwrap();
    assert_eq!(bench.trial.alerts().await, [format!("oauth:{}:secret_ends:7", bench.owner)]);
}

/// As Google does it for an application in status "Testing".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_the_provider_has_stated_is_not_put_off_by_refreshing() {
    let bench = Bench::new("sqlite:desk.db", Style::Google).await;
    bench.identity.desk().refresh_stated = Some(7 * DAY);
    bench.sign_in().await;
    for day in 0..7 {
        bench.clock.set(second(day * DAY + 1));
        assert!(bench.has_token().await);
        assert_eq!(bench.grants.status(None).await.unwrap()[0].refresh_days_left, Some(6 - day));
    }
    bench.grants.state_ends().await.unwrap();
    assert_eq!(bench.trial.alerts().await, [format!("oauth:{}:refresh_ends:1", bench.owner)]);
}
