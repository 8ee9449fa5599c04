//! Logins with an access token: what IMAP servers offer, how they refuse, and what becomes of it. The token is `tok123`,
//! the user someone@example.com.

use maildesk::failure::{Failure, Kind};
use maildesk::sources::ServerSettings;
use maildesk::sources::imap::ImapSource;

use crate::support::peer::Peer;
use crate::support::source::refusal;
use crate::support::tokens::Purse;

const USER: &str = "someone@example.com";
const XOAUTH2: &str = "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazEyMwEB";
/// The same with the token `tok456`.
const XOAUTH2_FRESH: &str = "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazQ1NgEB";
/// {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
const GOOGLES_NO: &str =
    "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
/// {"status":"invalid_token","scope":"mail"}
const STANDARD_NO: &str = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJtYWlsIn0=";

fn greeting(capabilities: &str) -> String {
    format!("S: * OK [CAPABILITY IMAP4rev1 {capabilities}] ready\n")
}

async fn signs_in(script: &str) {
    let peer = Peer::start(&format!("{script}\nS: $tag OK [CAPABILITY IMAP4rev1] welcome")).await;
    let purse = Purse::new(USER, &["tok123"]);
    drop(
        ImapSource::connect(ServerSettings { login: purse.login(), ..peer.settings() }).await.expect(script),
    );
    peer.finish().await;
    assert!(purse.refused().is_empty());
}

async fn refused(purse: &std::sync::Arc<Purse>, script: &str) -> Failure {
    let peer = Peer::start(script).await;
    let failure =
        refusal(ImapSource::connect(ServerSettings { login: purse.login(), ..peer.settings() }).await);
    peer.finish().await;
    let all = format!("{failure} {failure:?}");
    assert!(!["tok123", "tok456", XOAUTH2, &XOAUTH2[20..]].iter().any(|s| all.contains(s)), "{all}");
    failure
}

#[tokio::test]
async fn the_token_takes_the_way_that_the_server_allows() {
    signs_in(&format!("{}C: $tag AUTHENTICATE XOAUTH2 {XOAUTH2}", greeting("AUTH=XOAUTH2 SASL-IR"))).await;
    let two_lines = format!("C: $tag AUTHENTICATE XOAUTH2\nS: + \nC: {XOAUTH2}");
    signs_in(&format!("{}{two_lines}", greeting("AUTH=PLAIN AUTH=XOAUTH2"))).await;
    // The standard's own first; the port is the script's, so the response is not known beforehand.
    let both = greeting("AUTH=XOAUTH2 AUTH=OAUTHBEARER SASL-IR LOGINDISABLED");
    signs_in(&format!("{both}C: $tag AUTHENTICATE OAUTHBEARER bixhPXNvbWVvbmVAZXhhbXBsZS5jb20sAWhvc3Q9*"))
        .await;
    // Offered, and not known: the other one.
    let other =
        format!("S: $tag NO Unsupported authentication mechanism\nC: $tag AUTHENTICATE XOAUTH2 {XOAUTH2}");
    signs_in(&format!("{both}C: $tag AUTHENTICATE OAUTHBEARER *\n{other}")).await;
}

#[tokio::test]
async fn a_server_that_takes_no_token_gets_none() {
    let purse = Purse::new(USER, &["tok123"]);
    let failure = refused(&purse, &format!("{}!stall", greeting("AUTH=PLAIN SASL-IR"))).await;
    assert_eq!(failure.kind, Kind::LoginUnsupported);
    assert!(failure.words.contains("neither OAUTHBEARER nor XOAUTH2, but AUTH=PLAIN"), "{failure}");
    assert!(purse.refused().is_empty());
}

#[tokio::test]
async fn a_refused_token_is_followed_by_a_fresh_one_once() {
    let ready = greeting("AUTH=XOAUTH2 SASL-IR");
    let no =
        format!("S: + {GOOGLES_NO}\nC: \nS: $tag NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)");
    let first = format!("{ready}C: $tag AUTHENTICATE XOAUTH2 {XOAUTH2}\n{no}\n!close\n---\n{ready}");
    let second = format!("{first}C: $tag AUTHENTICATE XOAUTH2 {XOAUTH2_FRESH}\n");
    let told = "the server refuses the token for \"someone@example.com\" (XOAUTH2): NO [AUTHENTICATIONFAILED] Invalid \
                credentials (Failure); status 400; it wants the scope https://mail.google.com/";

    let peer = Peer::start(&format!("{second}S: $tag OK [CAPABILITY IMAP4rev1] welcome")).await;
    let purse = Purse::new(USER, &["tok123", "tok456"]);
    let settings = ServerSettings { login: purse.login(), ..peer.settings() };
    drop(ImapSource::connect(settings).await.expect("the fresh one is good"));
    peer.finish().await;
    assert_eq!(purse.refused(), [("tok123".to_owned(), told.to_owned())]);

    let purse = Purse::new(USER, &["tok123", "tok456"]);
    let failure = refused(&purse, &format!("{second}{no}")).await;
    assert_eq!((failure.kind, failure.words.as_str()), (Kind::Token, told));
    assert_eq!(purse.refused().len(), 1, "no third try");
}

#[tokio::test]
async fn whatever_the_server_says_ends_in_words_and_in_no_loop() {
    let xoauth2 = format!("{}C: $tag AUTHENTICATE XOAUTH2 {XOAUTH2}\n", greeting("AUTH=XOAUTH2 SASL-IR"));
    let bearer = format!("{}C: $tag AUTHENTICATE OAUTHBEARER *\n", greeting("AUTH=OAUTHBEARER SASL-IR"));
    for (login, answer, words, kind) in [
        (
            &xoauth2,
            "S: $tag BAD User is authenticated but not connected.",
            "not connected",
            Kind::MailboxClosed,
        ),
        (
            &xoauth2,
            "S: $tag NO [ALERT] Your account is not enabled for IMAP use.",
            "not enabled",
            Kind::ProtocolOff,
        ),
        (
            &xoauth2,
            "S: $tag BAD Request is throttled. Suggested Backoff Time: 297140 milliseconds",
            "throttled",
            Kind::Throttled,
        ),
        (
            &xoauth2,
            "S: $tag NO [UNAVAILABLE] Temporary authentication failure.",
            "UNAVAILABLE",
            Kind::Unavailable,
        ),
        (&xoauth2, "S: * BYE for dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVh", "for …", Kind::Bye),
        // insufficient_scope
        (
            &bearer,
            "S: + eyJzdGF0dXMiOiJpbnN1ZmZpY2llbnRfc2NvcGUiLCJzY29wZSI6Im1haWwifQ==\nC: AQ==\nS: $tag NO no",
            "status insufficient_scope; it wants the scope mail",
            Kind::TokenScope,
        ),
        // One that asks and asks is cut off.
        (
            &bearer,
            &format!("S: + {STANDARD_NO}\nC: AQ==\nS: + {STANDARD_NO}\nC: *\nS: + more"),
            "asks for more than the command has",
            Kind::Garbage,
        ),
        (&bearer, "!close", "closed the connection", Kind::Cut),
    ] {
        let purse = Purse::new(USER, &["tok123"]);
        let failure = refused(&purse, &format!("{login}{answer}")).await;
        assert!(failure.kind == kind && failure.words.contains(words), "{:?} {failure}", failure.kind);
        assert!(purse.refused().is_empty(), "a fresh token would not help: {failure}");
    }
}

#[tokio::test]
async fn a_grant_of_another_user_is_named() {
    let once = format!(
        "{}C: $tag AUTHENTICATE XOAUTH2 *\nS: $tag NO AUTHENTICATE failed.\n!close\n",
        greeting("AUTH=XOAUTH2 SASL-IR")
    );
    let purse = Purse::of("joe@example.com", USER, &["tok123", "tok456"]);
    let failure = refused(&purse, &format!("{once}---\n{once}")).await;
    assert_eq!(failure.kind, Kind::MailboxClosed);
    let words =
        "it is of \"joe@example.com\", who may lack the right to open the mailbox of \"someone@example.com\"";
    assert!(failure.words.contains(words), "{failure}");
}
