//! Grants against a strict identity provider: sign-ins, refreshes, faults, kills, the clock, where secrets stand,
//! and mail by the tokens that they give.

mod clock;
mod commands;
mod faults;
mod kills;
mod login_to_mail;
mod mail;
mod no_grace;
mod secrets;
mod sessions;
mod shared;
mod sign_in;
mod three_daemons;

use maildesk::clock::{Clock, Micros};
use maildesk::net::Http;
use maildesk::oauth::{Grants, Owner, Polled, Wish};
use maildesk::seal::SealingKey;

use crate::support::identity::{Identity, Style};
use crate::support::trial::{SUPPORT, Trial};

const DAY: i64 = 86_400;

/// 2026-11-22T12:00:00Z and so many seconds.
fn second(n: i64) -> Micros {
    Micros::from_seconds(1_795_348_800 + n)
}

/// A desk and a provider by one clock.
struct Bench {
    trial: Trial,
    identity: Identity,
    grants: Grants,
    clock: Clock,
    owner: Owner,
}

impl Bench {
    async fn new(url: &str, style: Style) -> Bench {
        Bench::with(url, style, "timeout_s = 2\n").await
    }

    async fn with(url: &str, style: Style, more: &str) -> Bench {
        let clock = Clock::fixed(second(0));
        let identity = Identity::start_at(style, clock.clone());
        let trial = Trial::with(url, &sections(&identity, more)).await;
        let grants =
            Grants::new(trial.works.store.clone(), SealingKey::new([7; 32]), clock.clone(), Http::default());
        let owner = trial.mailbox("support").await.id.into();
        Bench { trial, identity, grants, clock, owner }
    }

    fn wish(&self) -> Wish {
        Wish {
            owner: self.owner,
            provider: String::new(),
            user: "someone@example.com".into(),
            scopes: vec![],
            client_secret: None,
            secret_until: None,
        }
    }

    /// Signs in as a person with a browser does.
    async fn sign_in(&self) {
        let begun = self.grants.begin_code(&self.wish(), "http://localhost:1234").await.expect("a page");
        let answer = self.identity.sign_in(&begun.page);
        self.grants.finish_code(&begun.pending, &answer).await.expect("signed in");
    }

    /// Whether there is a token that mail servers take.
    async fn has_token(&self) -> bool {
        let token = self.grants.access_token(&self.owner).await.expect("a token");
        self.identity.takes(token.secret.expose())
    }

    /// The code of what is wrong; empty where nothing is.
    async fn code(&self) -> String {
        self.grants.status(Some(&self.owner)).await.expect("a status").remove(0).error_code
    }
}

fn sections(identity: &Identity, more: &str) -> String {
    format!("{}{SUPPORT}", identity.section("ours", more))
}
