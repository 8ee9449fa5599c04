//! Bad habits of IMAP servers before the session stands: greetings, logins and STARTTLS, as scripts.

use maildesk::failure::Failure;
use maildesk::intake::source::{Handled, Source as _};
use maildesk::net::Login;
use maildesk::sources::ServerSettings;
use maildesk::sources::imap::ImapSource;

use crate::support::peer::{Peer, SECRET};
use crate::support::source::{self, refusal};

async fn login_refusal(script: &str) -> Failure {
    source::login_refusal(script, ImapSource::connect).await
}

#[tokio::test]
async fn strange_greetings_are_told_apart() {
    for (script, words) in [
        ("S: * BYE too many connections", "turns us away: too many connections"),
        ("S: 220 mail.example.org ESMTP", "cannot be read; it starts with \"220 mail.example.org ESMTP\""),
        ("S: +OK POP3 ready", "not an IMAP server"),
        ("!stall", "keeps silent"),
        ("!close", "closed the connection"),
    ] {
        let failure = login_refusal(script).await;
        assert!(failure.is_temporary() && failure.to_string().contains(words), "{failure}");
    }
}

#[tokio::test]
async fn an_echoed_password_is_blotted_out() {
    let login = "S: * OK [CAPABILITY IMAP4rev1] ready\nC: $tag LOGIN *\n";
    let failure = login_refusal(&format!("{login}S: $tag BAD LOGIN \"joe\" \"hunter2\"?")).await;
    assert!(failure.is_temporary() && failure.words.contains("BAD LOGIN"), "{failure}");
    let failure = login_refusal(&format!("{login}S: $tag NO [UNAVAILABLE] later")).await;
    assert!(failure.is_temporary(), "{failure}");
    let failure = login_refusal(&format!("{login}S: * BYE hunter2?")).await;
    assert!(failure.words.contains("ended the session"), "{failure}");
    let failure = login_refusal(&format!("{login}S: ~hunter2")).await;
    assert!(failure.words.contains("cannot be read"), "{failure}");
}

#[tokio::test]
async fn the_password_takes_the_way_that_the_server_allows() {
    let unusual = "für\n\"alle\"";
    for (capabilities, dialogue) in [
        ("LOGINDISABLED AUTH=PLAIN", "C: $tag AUTHENTICATE PLAIN\nS: +\nC: AGpvZQBmw7xyCiJhbGxlIg=="),
        ("AUTH=PLAIN", "C: $tag AUTHENTICATE PLAIN\nS: + \nC: AGpvZQBmw7xyCiJhbGxlIg=="),
        ("", "C: $tag LOGIN \"joe\" {11}\nS: + go\nC: für\nC: \"alle\""),
    ] {
        // Capabilities come unasked, or when asked for.
        let peer = Peer::start(
            &format!(
                "S: * OK ready
            C: $tag CAPABILITY
            S: * CAPABILITY IMAP4rev1 {}
            S: $tag OK
            {dialogue}
            S: $tag OK welcome
            C: $tag CAPABILITY
            S: * CAPABILITY IMAP4rev1 UIDPLUS
            S: $tag OK",
                capabilities
            )
            .replace("IMAP4rev1 \n", "IMAP4rev1\n"),
        )
        .await;
        let settings = ServerSettings { login: Login::password("joe", unusual), ..peer.settings() };
        drop(ImapSource::connect(settings).await.expect("logged in"));
        peer.finish().await;
    }
    let failure = login_refusal("S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\n!stall").await;
    assert!(failure.words.contains("no password in the clear"), "{failure}");
}

#[tokio::test]
async fn a_server_that_knows_us_already_is_not_told_the_password() {
    let script = "S: * PREAUTH hello joe\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $tag OK";
    let peer = Peer::start(script).await;
    drop(ImapSource::connect(peer.settings()).await.expect("logged in"));
    assert!(peer.finish().await.iter().all(|line| !line.contains(SECRET)));
}

#[tokio::test]
async fn nothing_said_before_starttls_counts_after_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let peer = Peer::start(
        "S: * OK ready
        C: $tag CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        S: $tag OK
        C: $tag STARTTLS
        !half \"m2 OK go\\r\\n* CAPABILITY IMAP4rev1 UIDPLUS\\r\\n* BYE injected\\r\\n\"
        !tls
        C: $tag CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: $tag OK
        C: $tag LOGIN *
        S: $tag OK [CAPABILITY IMAP4rev1] welcome
        C: $tag UID STORE 1 *
        S: $tag OK",
    )
    .await;
    let mut source = ImapSource::connect(peer.settings_with_start_tls(dir.path())).await.expect("logged in");
    let done = source.acknowledge(&["1".to_owned()], &Handled::Delete).await.expect("flagged");
    assert!(!done.words.is_empty(), "UIDPLUS came before TLS");
    drop(source);
    peer.finish().await;
}

#[tokio::test]
async fn stripped_starttls_keeps_the_password_here() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (script, words) in [
        (
            "S: * OK ready\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $tag OK",
            "does not offer STARTTLS",
        ),
        ("S: * PREAUTH welcome", "PREAUTH"),
        (
            "S: * OK ready\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: $tag OK\nC: $tag STARTTLS\nS: $tag NO broken",
            "refused STARTTLS: NO broken",
        ),
        (
            "S: * OK ready\nC: $tag CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: $tag OK\nC: $tag STARTTLS\nS: $tag OK\n!close",
            "TLS handshake",
        ),
    ] {
        let peer = Peer::start(script).await;
        let failure = refusal(ImapSource::connect(peer.settings_with_start_tls(dir.path())).await);
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(peer.finish().await.iter().all(|line| !line.contains("LOGIN")));
    }
}
