//! Access tokens for a login, given out one after the other, and what became of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use maildesk::failure::Failure;
use maildesk::net::{Bearer, Login, Tokens};
use maildesk::seal::Secret;

#[derive(Debug)]
pub struct Purse {
    user: String,
    granted_to: String,
    tokens: Mutex<Vec<String>>,
    refused: Mutex<Vec<(String, String)>>,
}

impl Purse {
    /// For the mailbox of `user`; the last of the tokens is given again and again.
    pub fn new(user: &str, tokens: &[&str]) -> Arc<Purse> {
        Purse::of(user, user, tokens)
    }

    /// The same by the grant of another.
    pub fn of(granted_to: &str, user: &str, tokens: &[&str]) -> Arc<Purse> {
        Arc::new(Purse {
            user: user.to_owned(),
            granted_to: granted_to.to_owned(),
            tokens: Mutex::new(tokens.iter().map(|t| (*t).to_owned()).collect()),
            refused: Mutex::default(),
        })
    }

    pub fn login(self: &Arc<Purse>) -> Login {
        Login::Token { user: self.user.clone(), tokens: self.clone() }
    }

    /// The tokens that were reported, each with what the server said of it.
    pub fn refused(&self) -> Vec<(String, String)> {
        self.refused.lock().expect("no test panics with it in hand").clone()
    }
}

impl Tokens for Purse {
    fn token(&self) -> BoxFuture<'_, Result<Bearer, Failure>> {
        let mut tokens = self.tokens.lock().expect("no test panics with it in hand");
        let token = if tokens.len() > 1 { tokens.remove(0) } else { tokens[0].clone() };
        let bearer = Bearer {
            user: self.user.clone(),
            token: Secret::new(token),
            good_for: Duration::from_secs(3600),
            granted_to: self.granted_to.clone(),
        };
        Box::pin(async move { Ok(bearer) })
    }

    fn refused<'a>(&'a self, bearer: &'a Bearer, words: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        let told = (bearer.token.expose().to_owned(), words.to_owned());
        self.refused.lock().expect("no test panics with it in hand").push(told);
        Box::pin(async { Ok(()) })
    }
}
