//! Access tokens of a mailbox or relay, out of its grant, for whoever signs in at its server.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::net::{Bearer, Login, Tokens};
use crate::oauth::{AccessToken, Grants, Owner};

/// How the owner of a grant signs in as `user`.
pub(super) fn login(grants: &Grants, clock: &Clock, owner: Owner, user: &str) -> Login {
    let granted = Granted {
        grants: grants.clone(),
        clock: clock.clone(),
        owner,
        user: user.to_owned(),
        last: Mutex::default(),
    };
    Login::Token { user: user.to_owned(), tokens: Arc::new(granted) }
}

struct Granted {
    grants: Grants,
    clock: Clock,
    owner: Owner,
    user: String,
    /// The one that was given out last.
    last: Mutex<Option<AccessToken>>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({})", self.owner)
    }
}

impl Tokens for Granted {
    fn token(&self) -> BoxFuture<'_, Result<Bearer, Failure>> {
        Box::pin(async move {
            let token = self.grants.access_token(&self.owner).await?;
            let left_us = u64::try_from(token.expires_at.0 - self.clock.now().0).unwrap_or(0);
            let bearer = Bearer {
                user: self.user.clone(),
                token: token.secret.clone(),
                good_for: Duration::from_micros(left_us),
                granted_to: token.user.clone(),
            };
            *self.last.lock().expect("nobody panics while holding it") = Some(token);
            Ok(bearer)
        })
    }

    fn refused<'a>(&'a self, bearer: &'a Bearer, words: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let last = self.last.lock().expect("nobody panics while holding it").clone();
            match last.filter(|token| token.secret == bearer.token) {
                Some(token) => self.grants.refused(&self.owner, &token, words).await,
                None => Ok(()),
            }
        })
    }
}
