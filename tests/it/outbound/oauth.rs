//! Relays that take an access token, and how they refuse it. The token is `tok123`, the user someone@example.com.

use maildesk::failure::{Failure, Kind};
use maildesk::outbound::{Deadlines, RelaySettings, Session};

use super::desk::relay;
use crate::support::peer::Peer;
use crate::support::tokens::Purse;

const USER: &str = "someone@example.com";
const XOAUTH2: &str = "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazEyMwEB";
/// The same with the token `tok456`.
const XOAUTH2_FRESH: &str = "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazQ1NgEB";
/// {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
const GOOGLES_NO: &str =
    "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

fn ready(mechanisms: &str) -> String {
    format!("S: 220 ready\nC: EHLO *\nS: 250-hello\nS: 250 AUTH {mechanisms}\n")
}

async fn open(purse: &std::sync::Arc<Purse>, script: &str) -> Result<&'static str, Failure> {
    let peer = Peer::start(script).await;
    let relay = RelaySettings { login: Some(purse.login()), ..relay(peer.port) };
    let opened = match Session::open(&relay, Deadlines::default()).await {
        Ok(session) => {
            let by = session.signed_in_by;
            session.quit().await;
            Ok(by)
        }
        Err(failure) => Err(failure),
    };
    peer.finish().await;
    opened
}

#[tokio::test]
async fn the_token_takes_the_way_that_the_relay_allows() {
    let long = "t".repeat(2000);
    for (token, mechanisms, dialogue, by) in [
        ("tok123", "PLAIN LOGIN XOAUTH2", format!("C: AUTH XOAUTH2 {XOAUTH2}\n"), "XOAUTH2"),
        ("tok123", "XOAUTH2 OAUTHBEARER", "C: AUTH OAUTHBEARER bixh*\n".to_owned(), "OAUTHBEARER"),
        (
            "tok123",
            "XOAUTH2 OAUTHBEARER",
            format!(
                "C: AUTH OAUTHBEARER *\nS: 504 5.7.4 Unrecognized authentication type\nC: AUTH XOAUTH2 {XOAUTH2}\n"
            ),
            "XOAUTH2",
        ),
        // RFC 4954 §4: too long for one line.
        (&long, "XOAUTH2", "C: AUTH XOAUTH2\nS: 334 \nC: dXNlcj1z*\n".to_owned(), "XOAUTH2"),
    ] {
        let script = format!(
            "{}{dialogue}S: 235 2.7.0 Authentication successful\nC: QUIT\nS: 221 bye",
            ready(mechanisms)
        );
        assert_eq!(open(&Purse::new(USER, &[token]), &script).await.expect("signed in"), by);
    }
}

#[tokio::test]
async fn a_refused_token_is_followed_by_a_fresh_one_once() {
    let no = format!(
        "S: 334 {GOOGLES_NO}\nC: \nS: 535-5.7.8 Username and Password not accepted.\nS: 535 5.7.8 more\n"
    );
    let first =
        format!("{}C: AUTH XOAUTH2 {XOAUTH2}\n{no}!close\n---\n{}", ready("XOAUTH2"), ready("XOAUTH2"));
    let second = format!("{first}C: AUTH XOAUTH2 {XOAUTH2_FRESH}\n");
    let purse = Purse::new(USER, &["tok123", "tok456"]);
    open(&purse, &format!("{second}S: 235 yes\nC: QUIT\nS: 221 bye")).await.expect("the fresh one is good");
    assert_eq!(purse.refused().len(), 1);

    let purse = Purse::new(USER, &["tok123", "tok456"]);
    let failure = open(&purse, &format!("{second}{no}")).await.expect_err("both are refused");
    assert_eq!(failure.kind, Kind::Token);
    let words = "535 5.7.8 Username and Password not accepted. more; status 400; it wants the scope https://mail.google.com/";
    assert!(failure.words.contains(words), "{failure}");
    assert_eq!(purse.refused().len(), 1, "no third try");
}

#[tokio::test]
async fn what_a_relay_says_against_a_token_is_told_as_what_it_is() {
    for (mechanism, answer, kind) in [
        (
            "XOAUTH2",
            "S: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            Kind::ProtocolOff,
        ),
        ("XOAUTH2", "S: 454 4.7.0 Temporary authentication failure", Kind::Unavailable),
        ("XOAUTH2", "S: 432 4.3.2 Concurrent connections limit exceeded. Too many.", Kind::Throttled),
        (
            "OAUTHBEARER",
            "S: 334 eyJzdGF0dXMiOiJpbnN1ZmZpY2llbnRfc2NvcGUiLCJzY29wZSI6Im1haWwifQ==\nC: AQ==\nS: 535 5.7.8 no",
            Kind::TokenScope,
        ),
        // One that asks and asks is told that it is over.
        (
            "OAUTHBEARER",
            "S: 334 e30=\nC: AQ==\nS: 334 e30=\nC: *\nS: 501 5.7.0 cancelled, try again",
            Kind::Unavailable,
        ),
        ("XOAUTH2", "!close", Kind::Cut),
    ] {
        let purse = Purse::new(USER, &["tok123"]);
        let script = format!("{}C: AUTH {mechanism} *\n{answer}", ready(mechanism));
        let failure = open(&purse, &script).await.expect_err(answer);
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(purse.refused().is_empty(), "a fresh token would not help: {failure}");
    }
    let purse = Purse::new(USER, &["tok123"]);
    let echo = format!("{}C: AUTH XOAUTH2 *\nS: 501 what is {XOAUTH2}, tok123?\n!close\n", ready("XOAUTH2"));
    let failure = open(&purse, &echo).await.expect_err("refused");
    assert!(failure.words.contains("what is …, …?"), "{failure}");
    let failure = open(&purse, &format!("{}!stall", ready("PLAIN LOGIN"))).await.expect_err("nothing for it");
    assert!(failure.words.contains("neither OAUTHBEARER nor XOAUTH2, but PLAIN LOGIN"), "{failure}");
    let purse = Purse::new(USER, &[&"t".repeat(10_000)]);
    let failure = open(&purse, &format!("{}!stall", ready("XOAUTH2"))).await.expect_err("too long");
    assert!(failure.words.contains("too long for SMTP"), "{failure}");
}
