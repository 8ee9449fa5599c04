//! Bad habits of POP3 servers before the session stands: greetings, logins and STLS, as scripts.

use maildesk::failure::{Failure, Lasting};
use maildesk::net::Login;
use maildesk::sources::ServerSettings;
use maildesk::sources::pop3::Pop3Source;

use crate::support::peer::Peer;
use crate::support::source::{self, refusal};

async fn login_refusal(script: &str) -> Failure {
    source::login_refusal(script, Pop3Source::connect).await
}

#[tokio::test]
async fn strange_greetings_are_told_apart() {
    for (script, words) in [
        ("S: -ERR too many connections", "turns us away: -ERR too many connections"),
        ("S: 220 mail.example.org ESMTP", "not a POP3 server, it says \"220 mail.example.org ESMTP\""),
        ("!stall", "keeps silent"),
        ("!close", "closed the connection"),
        ("!fill 10000", "a line longer than any server needs"),
        (&"!half \"+OK \"\n!stall 500ms\n".repeat(30), "first line is not finished within 8 s"),
    ] {
        let failure = login_refusal(script).await;
        assert!(failure.is_temporary() && failure.to_string().contains(words), "{failure}");
    }
}

#[tokio::test]
async fn a_refused_login_is_told_in_the_servers_words() {
    let login = "S: +OK ready\nC: CAPA\nS: -ERR what?\nC: USER joe\nS: +OK\nC: PASS hunter2\n";
    for (answer, words, lasting) in [
        ("-ERR [AUTH] no", "-ERR [AUTH] no (check user name and password)", Lasting::Permanent),
        ("-ERR wrong: hunter2", "refuses the login of \"joe\": -ERR wrong: …", Lasting::Temporary),
        (
            "-ERR [IN-USE] maildrop already locked",
            "another client has the mailbox of \"joe\" open: -ERR [IN-USE] maildrop already locked",
            Lasting::Temporary,
        ),
        ("-ERR [LOGIN-DELAY] too soon", "raise interval_s", Lasting::Temporary),
        ("-ERR [SYS/TEMP] come back later", "[SYS/TEMP] come back later", Lasting::Temporary),
        ("hello hunter2", "neither +OK nor -ERR; it starts with \"hello …\"", Lasting::Temporary),
    ] {
        let failure = login_refusal(&format!("{login}S: {answer}")).await;
        assert!(failure.words.contains(words) && failure.lasting == lasting, "{failure:?}");
    }
    let failure = login_refusal("S: +OK ready\nC: CAPA\nS: -ERR\nC: USER joe\nS: -ERR who?").await;
    assert!(failure.words.contains("refuses the login of \"joe\": -ERR who?"), "{failure}");
}

#[tokio::test]
async fn the_password_takes_the_way_that_the_server_allows() {
    let long = "p".repeat(200);
    let sasl = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("\0joe\0{long}"));
    for (password, capabilities, dialogue) in [
        ("hunter2", "USER\nS: SASL PLAIN", "C: USER joe\nS: +OK\nC: PASS hunter2"),
        ("two  words ", "USER", "C: USER joe\nS: +OK\nC: PASS two  words "),
        ("für", "USER", "C: USER joe\nS: +OK\nC: PASS für"),
        ("für", "USER\nS: SASL LOGIN PLAIN", "C: AUTH PLAIN AGpvZQBmw7xy"),
        ("hunter2", "SASL PLAIN", "C: AUTH PLAIN AGpvZQBodW50ZXIy"),
        // RFC 2449 §4: a command has 255 octets and no more.
        (&long, "SASL PLAIN", &format!("C: AUTH PLAIN\nS: + \nC: {sasl}")),
    ] {
        let capa = format!("C: CAPA\nS: +OK\nS: {capabilities}\nS: .\n");
        let peer = Peer::start(&format!("S: +OK ready\n{capa}{dialogue}\nS: +OK welcome\n{capa}")).await;
        let settings = ServerSettings { login: Login::password("joe", password), ..peer.settings() };
        drop(Pop3Source::connect(settings).await.expect("logged in"));
        peer.finish().await;
    }
    let failure = login_refusal("S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: .").await;
    assert!(failure.words.contains("no password in the clear"), "{failure}");
    // A challenge behind the last word is a refusal with its reason.
    let script = "S: +OK ready\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN AGpvZQBodW50ZXIy\n\
                  S: + eyJzdGF0dXMiOiI0MDAifQ==\nC: \nS: -ERR [AUTH] no";
    assert_eq!(login_refusal(script).await.lasting, Lasting::Permanent);
}

#[tokio::test]
async fn nothing_said_before_the_handshake_counts_after_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let peer = Peer::start(
        "S: +OK ready
        C: CAPA
        S: +OK
        S: STLS
        S: SASL PLAIN
        S: .
        C: STLS
        S: +OK go
        !tls
        C: CAPA
        S: -ERR no capabilities here
        C: USER joe
        S: +OK
        C: PASS hunter2
        S: +OK",
    )
    .await;
    drop(Pop3Source::connect(peer.settings_with_start_tls(dir.path())).await.expect("logged in"));
    peer.finish().await;
    let peer =
        Peer::start("S: +OK ready\nC: CAPA\nS: -ERR\nC: STLS\n!half \"+OK go\\r\\n+OK injected\\r\\n\"")
            .await;
    let failure = refusal(Pop3Source::connect(peer.settings_with_start_tls(dir.path())).await);
    assert!(failure.words.contains("between STLS and the handshake"), "{failure}");
    peer.finish().await;
}

#[tokio::test]
async fn stripped_stls_keeps_the_password_here() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (script, words) in [
        ("S: +OK ready\nC: CAPA\nS: +OK\nS: USER\nS: .", "does not offer STLS"),
        ("S: +OK ready\nC: CAPA\nS: -ERR\nC: STLS\nS: -ERR broken", "refused STLS: -ERR broken"),
        ("S: +OK ready\nC: CAPA\nS: -ERR\nC: STLS\nS: +OK\n!close", "TLS handshake"),
    ] {
        let peer = Peer::start(script).await;
        let failure = refusal(Pop3Source::connect(peer.settings_with_start_tls(dir.path())).await);
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(peer.finish().await.iter().all(|line| !line.contains("USER") && !line.contains("AUTH")));
    }
}
