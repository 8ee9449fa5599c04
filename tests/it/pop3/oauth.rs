//! Logins with an access token: the two lines that Exchange Online wants, and how POP3 servers refuse. The token is
//! `tok123`, the user someone@example.com.

use maildesk::failure::Kind;
use maildesk::sources::ServerSettings;
use maildesk::sources::pop3::Pop3Source;

use crate::support::peer::Peer;
use crate::support::source::refusal;
use crate::support::tokens::Purse;

const USER: &str = "someone@example.com";
const XOAUTH2: &str = "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazEyMwEB";
/// {"status":"401","schemes":"bearer","scope":"mail"}
const NO: &str = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIiwic2NvcGUiOiJtYWlsIn0=";

fn greeting(mechanisms: &str) -> String {
    format!("S: +OK ready\n{}", capa(mechanisms))
}

fn capa(mechanisms: &str) -> String {
    format!("C: CAPA\nS: +OK\nS: UIDL\nS: SASL {mechanisms}\nS: .\n")
}

#[tokio::test]
async fn the_token_goes_in_a_line_of_its_own() {
    for (mechanisms, dialogue) in [
        ("PLAIN XOAUTH2", format!("C: AUTH XOAUTH2\nS: + \nC: {XOAUTH2}\n")),
        (
            "XOAUTH2 OAUTHBEARER",
            "C: AUTH OAUTHBEARER\nS: +\nC: bixhPXNvbWVvbmVAZXhhbXBsZS5jb20s*\n".to_owned(),
        ),
        (
            "XOAUTH2 OAUTHBEARER",
            format!(
                "C: AUTH OAUTHBEARER\nS: -ERR Unsupported authentication mechanism.\nC: AUTH XOAUTH2\nS: + go\nC: {XOAUTH2}\n"
            ),
        ),
    ] {
        let script = format!(
            "{}{dialogue}S: +OK User successfully authenticated.\n{}",
            greeting(mechanisms),
            capa("PLAIN")
        );
        let peer = Peer::start(&script).await;
        let login = Purse::new(USER, &["tok123"]).login();
        drop(Pop3Source::connect(ServerSettings { login, ..peer.settings() }).await.expect("signed in"));
        peer.finish().await;
    }
    // Without CAPA nobody knows; XOAUTH2 is what is in use.
    let peer =
        Peer::start(&format!("S: +OK ready\nC: CAPA\nS: -ERR\nC: AUTH XOAUTH2\nS: + \nC: {XOAUTH2}\nS: +OK"))
            .await;
    let login = Purse::new(USER, &["tok123"]).login();
    drop(Pop3Source::connect(ServerSettings { login, ..peer.settings() }).await.expect("signed in"));
    peer.finish().await;
}

#[tokio::test]
async fn a_refusal_is_answered_and_told() {
    let two_lines = format!("{}C: AUTH XOAUTH2\nS: + \nC: {XOAUTH2}\n", greeting("XOAUTH2"));
    let bearer = format!("{}C: AUTH OAUTHBEARER\nS: + \nC: *\n", greeting("OAUTHBEARER"));
    for (login, answer, words, kind, reported) in [
        (
            &two_lines,
            "S: -ERR Authentication failure: unknown user name or bad password.",
            "-ERR Authentication failure",
            Kind::Token,
            1,
        ),
        (
            &two_lines,
            &format!("S: + {NO}\nC: \nS: -ERR [AUTH] no"),
            "-ERR [AUTH] no; status 401; it wants the scope mail",
            Kind::Token,
            1,
        ),
        (
            &bearer,
            &format!("S: + {NO}\nC: AQ==\nS: -ERR [AUTH] no"),
            "(OAUTHBEARER): -ERR [AUTH] no",
            Kind::Token,
            1,
        ),
        (
            &two_lines,
            "S: -ERR [SYS/PERM] Your account is not enabled for POP access.",
            "not enabled for POP",
            Kind::ProtocolOff,
            0,
        ),
        (&two_lines, "S: -ERR [IN-USE] locked", "[IN-USE] locked", Kind::InUse, 0),
        (&two_lines, &format!("S: -ERR what is {XOAUTH2}?"), "what is …?", Kind::Token, 1),
    ] {
        // No other token is to be had, so the server is asked once.
        let peer = Peer::start(&format!("{login}{answer}\n!close")).await;
        let purse = Purse::new(USER, &["tok123"]);
        let failure =
            refusal(Pop3Source::connect(ServerSettings { login: purse.login(), ..peer.settings() }).await);
        peer.finish().await;
        assert!(failure.kind == kind && failure.words.contains(words), "{:?} {failure}", failure.kind);
        assert!(!format!("{failure:?}").contains("tok123"), "{failure:?}");
        assert_eq!(purse.refused().len(), reported, "{failure}");
    }
    let peer = Peer::start(&format!("{}!stall", greeting("PLAIN LOGIN"))).await;
    let login = Purse::new(USER, &["tok123"]).login();
    let failure = refusal(Pop3Source::connect(ServerSettings { login, ..peer.settings() }).await);
    assert!(failure.words.contains("neither OAUTHBEARER nor XOAUTH2, but PLAIN LOGIN"), "{failure}");
    peer.finish().await;
}
