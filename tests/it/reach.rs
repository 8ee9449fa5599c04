//! How a real mail server is reached, and what is said where it cannot be: by IMAP and by POP3 alike.

use maildesk::failure::{Failure, Lasting};
use maildesk::intake::source::Source;
use maildesk::net::Login;
use maildesk::sources::imap::ImapSource;
use maildesk::sources::pop3::Pop3Source;
use maildesk::sources::{ServerSettings, Tls};

use crate::support::dovecot::{Dovecot, dovecot};
use crate::support::source;

/// A protocol, with its ports.
struct Door {
    is_imap: bool,
    plain: u16,
    tls: u16,
}

impl Door {
    fn all(dovecot: &Dovecot) -> [Door; 2] {
        [
            Door { is_imap: true, plain: dovecot.imap, tls: dovecot.imaps },
            Door { is_imap: false, plain: dovecot.pop3, tls: dovecot.pop3s },
        ]
    }

    /// Signs in, and gives how many messages lie there.
    async fn look(&self, settings: ServerSettings) -> Result<usize, Failure> {
        match self.is_imap {
            true => look(ImapSource::connect(settings).await?).await,
            false => look(Pop3Source::connect(settings).await?).await,
        }
    }

    async fn refusal(&self, settings: ServerSettings) -> Failure {
        source::refusal(self.look(settings).await)
    }
}

async fn look(mut source: impl Source) -> Result<usize, Failure> {
    let folder = source.folders().remove(0);
    let listing = source.open(&folder).await?;
    source.close().await?;
    Ok(listing.items.len())
}

#[tokio::test]
async fn every_tls_mode_works() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    account.deliver(b"From: a@example.org\r\nSubject: hello\r\n\r\nHello\r\n");
    for door in Door::all(dovecot) {
        for (tls, port) in [(Tls::Plain, door.plain), (Tls::StartTls, door.plain), (Tls::Tls, door.tls)] {
            let settings = ServerSettings { tls, ..dovecot.settings(&account, port) };
            assert_eq!(door.look(settings).await.expect("the login works"), 1, "{tls:?}");
        }
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_with_advice() {
    let Some(dovecot) = dovecot() else { return };
    for door in Door::all(dovecot) {
        let base = ServerSettings { tls: Tls::Tls, ..dovecot.settings(&dovecot.account(), door.tls) };
        let failure = door.refusal(ServerSettings { extra_roots: None, ..base.clone() }).await;
        assert!(failure.words.contains("unknown CA: install that CA"), "{failure}");
        let failure = door.refusal(ServerSettings { host: "127.0.0.1".to_owned(), ..base.clone() }).await;
        assert!(failure.words.contains("not for 127.0.0.1 but for localhost"), "{failure}");
        let failure = door.refusal(ServerSettings { port: door.plain, ..base }).await;
        assert!(failure.words.contains("does not speak TLS on this port"), "{failure}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for door in Door::all(dovecot) {
        let login = Login::password(&account.user, "hunter2");
        let wrong = ServerSettings { login, ..dovecot.settings(&account, door.plain) };
        assert!(!format!("{wrong:?}").contains("hunter2"));
        let failure = door.refusal(wrong).await;
        assert_eq!(failure.lasting, Lasting::Permanent);
        for words in [&account.user, "check user name and password", "Authentication failed."] {
            assert!(failure.words.contains(words), "{words:?} is not in {failure}");
        }
        assert!(door.is_imap || failure.words.contains("-ERR [AUTH]"), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}

#[tokio::test]
async fn unreachable_and_other_servers_are_told_apart() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    for (door, other, words) in
        [(0, dovecot.pop3, "not an IMAP server"), (1, dovecot.imap, "not a POP3 server, it says \"* OK")]
    {
        let door = &Door::all(dovecot)[door];
        let base = dovecot.settings(&account, door.plain);
        let closed = door.refusal(ServerSettings { port: 1, ..base.clone() }).await;
        assert!(closed.words.contains("refuses the connection: check the port"), "{closed}");
        let host = "no-such-host.invalid".to_owned();
        let unknown = door.refusal(ServerSettings { host, ..base.clone() }).await;
        assert!(unknown.words.contains("no-such-host.invalid") && unknown.words.contains("DNS"), "{unknown}");
        let stranger = door.refusal(ServerSettings { port: other, ..base }).await;
        assert!(stranger.words.contains(words), "{stranger}");
    }
}
