//! A look at a POP3 server: what it says, and what is known of large providers.

use super::{Checkup, DEADLINE, SHORT, clear_text, in_time, signed_in};
use crate::cli::Context;
use crate::config::{Auth, MailboxSpec};
use crate::failure::Failure;
use crate::sources::ServerSettings;
use crate::sources::pop3::{self, Report};
use crate::store::MailboxRow;

/// Logs in and looks, changes nothing.
pub async fn examine(row: &MailboxRow, context: &Context) -> Result<Report, Failure> {
    let settings = context.works.server_settings(row).await?;
    in_time(pop3::examine(ServerSettings { deadlines: SHORT, ..settings }), DEADLINE).await
}

/// What its answers mean.
pub(super) fn look(it: &mut Checkup, row: &MailboxRow, report: &Report) {
    it.ok(signed_in(row, report.signed_in_by, &report.greeting));
    match report.unlisted.as_str() {
        "" => it.ok(format!("{} messages wait", report.messages)),
        words => it.fail(words, "read the mailbox by imap, if the server offers it"),
    }
    if !report.has_top {
        it.warn(
            "the server has no TOP: of a message over the limit all of it is fetched once to show its headers",
            "",
        );
    }
    if report.login_delay_s > row.spec.interval_s {
        it.warn(
            format!(
                "the server wants {} s between two logins, and the mailbox is read every {} s",
                report.login_delay_s, row.spec.interval_s
            ),
            "raise interval_s, or rounds will be refused",
        );
    }
    match report.expire_days {
        Some(0) => it.warn(
            "the server deletes each message once it was fetched (EXPIRE 0): an error ticket of one over the limit \
             may find nothing left to fetch",
            "read the mailbox by imap, or raise size_limit_mb",
        ),
        Some(days) => it.warn(
            format!("the server removes mail by itself after {days} days: what stays there over the limit is lost then"),
            "fetch or discard such error tickets in time",
        ),
        None => {}
    }
    clear_text(it, row.spec.tls, &row.spec.host);
}

/// What is known of a provider beforehand, also where the login fails.
pub(super) fn provider(it: &mut Checkup, spec: &MailboxSpec) {
    let (host, username) = (spec.host.to_ascii_lowercase(), spec.username.as_str());
    let is_at = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    if is_at("gmail.com") || is_at("googlemail.com") {
        if !username.starts_with("recent:") {
            it.warn(
                "Gmail shows each message to one POP3 client only: what another program has fetched never comes here",
                "set username to `recent:` and the address, which shows the mail of the last 30 days to all; it then \
                 counts as another account",
            );
        }
        it.warn(
            "whether Gmail deletes, archives or keeps what is deleted by POP3 is a setting of the account",
            "in Gmail, under Forwarding and POP/IMAP, choose what happens to messages accessed with POP",
        );
    }
    if is_at("office365.com") || is_at("outlook.com") {
        if spec.auth == Auth::Password {
            it.warn(
                "Microsoft 365 refuses passwords for POP3",
                "set `auth` to oauth2 and run `maildesk oauth login`",
            );
        }
        it.warn(
            "Microsoft 365 may list only part of a large mailbox at a time",
            "what is not listed yet comes with the next rounds",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MailboxSection, Protocol};

    #[test]
    fn large_providers_are_known_by_their_host() {
        for (host, username, auth, told) in [
            (
                "pop.gmail.com",
                "joe@gmail.com",
                Auth::Password,
                &["one POP3 client only", "is a setting of the account"][..],
            ),
            ("POP.gmail.com", "recent:joe@gmail.com", Auth::Oauth2, &["is a setting of the account"]),
            ("outlook.office365.com", "joe@example.com", Auth::Password, &["refuses passwords", "only part"]),
            ("outlook.office365.com", "joe@example.com", Auth::Oauth2, &["only part"]),
            ("pop.notgmail.com", "joe", Auth::Password, &[]),
        ] {
            let mut it = Checkup::of("mailbox");
            let section = MailboxSection {
                name: "m".into(),
                protocol: Protocol::Pop3,
                host: host.into(),
                username: username.into(),
                auth,
                ..MailboxSection::default()
            };
            provider(&mut it, &section.resolve(std::path::Path::new("/")).expect("a mailbox"));
            let words: Vec<&str> = it.findings.iter().map(|f| f.words.as_str()).collect();
            assert_eq!(words.len(), told.len(), "{words:?}");
            assert!(words.iter().zip(told).all(|(words, told)| words.contains(told)), "{words:?}");
        }
    }
}
