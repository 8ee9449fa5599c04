//! Who signs in at a mail server, and with what: a password, or an access token that is asked for at each session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::failure::{Failure, Kind};
use crate::seal::Secret;

/// A session is left this long before its token ends, or a tenth of the time that is left where that is less. However
/// short the life of a token is, nobody is called more often than once a second.
const BEFORE_THE_END: Duration = Duration::from_secs(5 * 60);
const LEAST_SESSION: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub enum Login {
    Password {
        user: String,
        password: Secret,
    },
    /// `user` names the mailbox; whose grant it is, the tokens know.
    Token {
        user: String,
        tokens: Arc<dyn Tokens>,
    },
}

/// An access token for a mailbox. It never shows in Debug.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The mailbox that is to be opened.
    pub user: String,
    pub token: Secret,
    /// How long servers still take it.
    pub good_for: Duration,
    /// Who gave the grant; empty where nobody in person did.
    pub granted_to: String,
}

/// Where access tokens come from.
pub trait Tokens: Send + Sync + fmt::Debug {
    /// One that is good for now: the one in hand, or a fresh one.
    fn token(&self) -> BoxFuture<'_, Result<Bearer, Failure>>;

    /// A server has refused it: whoever asks next gets another, if one is to be had.
    fn refused<'a>(&'a self, bearer: &'a Bearer, words: &'a str) -> BoxFuture<'a, Result<(), Failure>>;
}

/// What one try to sign in has in hand.
#[derive(Clone, Debug)]
pub enum Proof {
    Password { user: String, password: Secret },
    Token(Bearer),
}

impl Login {
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Login {
        Login::Password { user: user.into(), password: Secret::new(password) }
    }

    pub fn user(&self) -> &str {
        match self {
            Login::Password { user, .. } | Login::Token { user, .. } => user,
        }
    }
}

impl Proof {
    /// When a session that it opens now is better left for another; nothing where it has no end.
    pub fn leave_at(&self) -> Option<Instant> {
        match self {
            Proof::Password { .. } => None,
            Proof::Token(bearer) => Some(Instant::now() + session_length(bearer.good_for)),
        }
    }
}

fn session_length(good_for: Duration) -> Duration {
    good_for.saturating_sub(BEFORE_THE_END.min(good_for / 10)).max(LEAST_SESSION)
}

impl Login {
    /// Signs in by `attempt`: with a password once, for servers count failures. A refused token is reported, and a fresh one
    /// tried, once.
    pub async fn try_with<T, F>(&self, mut attempt: impl FnMut(Proof) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = Tries::of(self);
        loop {
            let proof = tries.proof().await?;
            match attempt(proof).await {
                Ok(done) => return Ok(done),
                Err(failure) => tries.judge(failure).await?,
            }
        }
    }
}

/// The tries of one login.
struct Tries<'a> {
    login: &'a Login,
    last: Option<Bearer>,
    refused: Option<Failure>,
}

impl<'a> Tries<'a> {
    fn of(login: &'a Login) -> Tries<'a> {
        Tries { login, last: None, refused: None }
    }

    async fn proof(&mut self) -> Result<Proof, Failure> {
        Ok(match self.login {
            Login::Password { user, password } => {
                Proof::Password { user: user.clone(), password: password.clone() }
            }
            Login::Token { tokens, .. } => {
                let bearer = tokens.token().await?;
                // No other is to be had: servers count failures.
                if let Some(refused) =
                    self.refused.take_if(|_| self.last.as_ref().is_some_and(|l| l.token == bearer.token))
                {
                    return Err(with_owner(refused, &bearer));
                }
                self.last = Some(bearer.clone());
                Proof::Token(bearer)
            }
        })
    }

    /// What a failed try means: nothing, if another is to follow.
    async fn judge(&mut self, failure: Failure) -> Result<(), Failure> {
        let (Login::Token { tokens, .. }, Some(bearer)) = (self.login, &self.last) else {
            return Err(failure);
        };
        if failure.kind != Kind::Token {
            return Err(failure);
        }
        if self.refused.is_some() || tokens.refused(bearer, &failure.to_string()).await.is_err() {
            return Err(with_owner(failure, bearer));
        }
        self.refused = Some(failure);
        Ok(())
    }
}

/// Servers do not tell a token of the wrong user from a bad one; one that was fresh is not bad.
fn with_owner(mut failure: Failure, bearer: &Bearer) -> Failure {
    let is_own = bearer.granted_to.is_empty() || bearer.granted_to.eq_ignore_ascii_case(&bearer.user);
    if !is_own {
        failure.words.push_str(&format!(
            " (it is of {:?}, who may lack the right to open the mailbox of {:?})",
            bearer.granted_to, bearer.user
        ));
        failure.kind = Kind::MailboxClosed;
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Counted {
        given: Mutex<u32>,
        refused: Mutex<Vec<String>>,
        granted_to: &'static str,
        has_one_only: bool,
    }

    impl Tokens for Counted {
        fn token(&self) -> BoxFuture<'_, Result<Bearer, Failure>> {
            let mut given = self.given.lock().unwrap();
            *given += 1;
            let token =
                Secret::new(if self.has_one_only { "token".into() } else { format!("token {given}") });
            let granted_to = self.granted_to.to_owned();
            let bearer = Bearer { user: "box".into(), token, good_for: Duration::from_secs(60), granted_to };
            Box::pin(async move { Ok(bearer) })
        }

        fn refused<'a>(&'a self, bearer: &'a Bearer, _words: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
            self.refused.lock().unwrap().push(bearer.token.expose().to_owned());
            Box::pin(async { Ok(()) })
        }
    }

    /// The failure, and how many proofs were tried.
    async fn fails_with(tokens: Arc<Counted>, kind: Kind) -> (Failure, u32) {
        let login = Login::Token { user: "box".into(), tokens };
        let mut tries = Tries::of(&login);
        for tried in 0.. {
            let ended = match tries.proof().await {
                Ok(_) => tries.judge(Failure::temporary("no").kind(kind)).await.map_err(|e| (e, tried + 1)),
                Err(failure) => Err((failure, tried)),
            };
            if let Err(ended) = ended {
                return ended;
            }
        }
        unreachable!("it ends")
    }

    #[test]
    fn a_session_is_left_before_its_token_ends() {
        for (good_for_s, length_s) in [(3600, 3300), (600, 540), (10, 9), (1, 1), (0, 1)] {
            assert_eq!(session_length(Duration::from_secs(good_for_s)).as_secs(), length_s, "{good_for_s}");
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_followed_by_one_fresh_one_and_no_more() {
        for (kind, granted_to, given, told) in [
            (Kind::Token, "box", 2, Kind::Token),
            (Kind::Token, "BOX", 2, Kind::Token),
            (Kind::Token, "", 2, Kind::Token),
            (Kind::Token, "joe", 2, Kind::MailboxClosed),
            (Kind::Throttled, "joe", 1, Kind::Throttled),
            (Kind::TokenScope, "joe", 1, Kind::TokenScope),
            (Kind::Cut, "box", 1, Kind::Cut),
        ] {
            let tokens = Arc::new(Counted { granted_to, ..Counted::default() });
            let (failure, tried) = fails_with(tokens.clone(), kind).await;
            assert_eq!((failure.kind, tried), (told, given), "{kind:?}");
            assert_eq!(tokens.refused.lock().unwrap().len(), given as usize - 1, "{kind:?}");
        }
        // Where no other is given, the same is not tried again.
        let tokens = Arc::new(Counted { has_one_only: true, ..Counted::default() });
        assert_eq!(fails_with(tokens.clone(), Kind::Token).await.1, 1);
        assert_eq!(tokens.refused.lock().unwrap().len(), 1);
        let login = Login::password("joe", "hunter2");
        let mut tries = Tries::of(&login);
        tries.proof().await.expect("the password");
        assert!(tries.judge(Failure::temporary("no").kind(Kind::Login)).await.is_err());
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
