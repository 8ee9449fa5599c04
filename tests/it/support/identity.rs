//! An identity provider of our own: strict on every parameter, with Microsoft's or Google's habits, a clock, and faults.
//!
//! It speaks plain HTTP on a free port of the loopback, on a thread of its own. Access tokens are good for its
//! introspection (RFC 7662), which a mail server may ask.

mod browser;
mod given;
mod grants;
mod sign_in;
mod tokens;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use maildesk::clock::Clock;
use tokio_util::sync::CancellationToken;

pub use browser::fetch;
pub use grants::Desk;

pub const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
/// Long enough to be found where it must not stand.
pub const CLIENT_SECRET: &str = "client~secret.of.the~double";

/// Whose habits it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Refresh tokens for scope `offline_access`; numbered errors.
    Microsoft,
    /// Refresh tokens for `access_type=offline&prompt=consent`, never another one; no mail by device code.
    Google,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It stays, and no other is given.
    Never,
    /// Another is given; the old one holds until that one is used.
    UntilNewIsUsed,
    /// Another is given; the old one holds for so many seconds.
    Seconds(i64),
    /// Another is given; the old one is void at once.
    NoGrace,
}

/// What goes wrong with one request for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A status with a page, as proxies and overloaded servers give.
    Html(u16),
    /// 429 with Retry-After in seconds.
    Throttled(u64),
    /// The same as a date, so many seconds from now.
    ThrottledUntil(u64),
    /// It never answers.
    Silent,
    /// It does all that it is asked for, and the answer is lost.
    LostAnswer,
    /// It does all that it is asked for, and the answer comes only when the test lets it.
    HeldAnswer,
    /// This refusal.
    Refused { error: &'static str, number: i64, words: &'static str },
}

/// What it was asked, and what it thought of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// authorize, devicecode, token, revoke, introspect.
    pub endpoint: &'static str,
    /// Of token.
    pub grant_type: String,
    /// Whose refresh token was presented; empty where none was, or it is not known.
    pub user: String,
    /// `ok`, or the error.
    pub answer: String,
}

/// The provider, running. It ends when it is dropped.
pub struct Identity {
    desk: Arc<Mutex<Desk>>,
    url: String,
    stop: CancellationToken,
}

type Shared = Arc<Mutex<Desk>>;
type Form = BTreeMap<String, String>;

impl Identity {
    /// By the clock of this machine.
    pub fn start(style: Style) -> Identity {
        Identity::start_at(style, Clock::system())
    }

    pub fn start_at(style: Style, clock: Clock) -> Identity {
        let rotation = if style == Style::Google { Rotation::Never } else { Rotation::UntilNewIsUsed };
        let desk = Desk {
            style,
            clock,
            rotation,
            access_lasts: 3599,
            refresh_lasts: 90 * 86_400,
            refresh_stated: None,
            user: "someone@example.com".into(),
            is_signed_in: None,
            opens: HashMap::new(),
            client_secret: CLIENT_SECRET.into(),
            secret_until: None,
            redirects: vec!["http://localhost".into(), "http://127.0.0.1".into()],
            interval: 1,
            device_lasts: 900,
            delay: Duration::ZERO,
            faults: VecDeque::new(),
            seen: vec![],
            overlaps: 0,
            under_way: HashSet::new(),
            chains: vec![],
            refreshes: HashMap::new(),
            accesses: HashMap::new(),
            codes: HashMap::new(),
            devices: HashMap::new(),
            secrets: vec![CLIENT_SECRET.into()],
        };
        let desk = Arc::new(Mutex::new(desk));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let stop = CancellationToken::new();
        let (served, stopped) = (desk.clone(), stop.clone());
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let served = axum::serve(listener, router(served));
                tokio::select! {
                    ended = served => ended.expect("the double serves"),
                    () = stopped.cancelled() => {}
                }
            });
        });
        Identity { desk, url, stop }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a mail server asks about a token: by POST with `token`, or by GET with it as bearer.
    pub fn introspection(&self) -> String {
        format!("{}/introspect", self.url)
    }

    /// What it does and what it has seen.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nobody panics while holding it")
    }

    /// `[[oauth_provider]]` for this one, with further keys.
    pub fn section(&self, name: &str, more: &str) -> String {
        let (kind, secret) = match self.desk().style {
            Style::Microsoft => ("microsoft", self.desk.clone()),
            Style::Google => ("google", self.desk.clone()),
        };
        let secret = secret.lock().expect("nobody panics while holding it").client_secret.clone();
        let secret =
            if secret.is_empty() { String::new() } else { format!("client_secret = \"{secret}\"\n") };
        format!(
            "[[oauth_provider]]\nname = \"{name}\"\nkind = \"{kind}\"\nclient_id = \"{CLIENT_ID}\"\n{secret}\
             authorize_url = \"{0}/authorize\"\ntoken_url = \"{0}/token\"\ndevice_url = \"{0}/devicecode\"\n\
             revoke_url = \"{0}/revoke\"\n{more}\n\n",
            self.url
        )
    }

    /// Does what a person does in a browser: opens the page and accepts. Gives the address that the browser ends at.
    #[track_caller]
    pub fn sign_in(&self, page: &str) -> String {
        let shown = fetch(page);
        assert_eq!(shown.status, 200, "the page to sign in at: {}", shown.body);
        let form = shown.body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
        let accepted = fetch(&format!("{}{}", self.url, form.expect("a form on the page")));
        assert_eq!(accepted.status, 302, "{}", accepted.body);
        accepted.location
    }

    /// A person enters a code, and accepts or declines.
    #[track_caller]
    pub fn enter_code(&self, user_code: &str, answer: Result<&str, ()>) {
        let mut desk = self.desk();
        let device = desk.devices.values_mut().find(|d| d.user_code == user_code).expect("a code of ours");
        device.answer = Some(answer.map(str::to_owned));
    }

    /// A grant that a person has given elsewhere: its refresh token.
    pub fn grant(&self, user: &str, scope: &str) -> String {
        let mut desk = self.desk();
        let chain = desk.new_chain(user, scope);
        desk.chains[chain].newest.clone()
    }

    /// The user, or an admin, takes back what was granted.
    pub fn revoke_all(&self) {
        let mut desk = self.desk();
        desk.chains.iter_mut().for_each(|chain| chain.is_revoked = true);
        desk.accesses.values_mut().for_each(|access| access.is_void = true);
    }

    /// Mail servers take none of the access tokens of now any more; the grants hold.
    pub fn void_access_tokens(&self) {
        self.desk().accesses.values_mut().for_each(|access| access.is_void = true);
    }

    /// How often a token was asked for.
    pub fn asked(&self) -> usize {
        self.desk().seen.iter().filter(|seen| seen.endpoint == "token").count()
    }

    /// How often a refresh token of this user was presented, whatever came of it.
    pub fn presented(&self, user: &str) -> usize {
        self.desk().seen.iter().filter(|seen| seen.user == user).count()
    }

    /// How often tokens were given for a refresh token of this user.
    pub fn refreshed(&self, user: &str) -> usize {
        self.desk().chains.iter().filter(|chain| chain.user == user).map(|chain| chain.refreshed).sum()
    }

    /// Whether an access token would be taken now.
    pub fn takes(&self, access_token: &str) -> bool {
        let desk = self.desk();
        desk.accesses.get(access_token).is_some_and(|a| !a.is_void && a.until > desk.clock.now())
    }

    /// The same for the mailbox of `user`.
    pub fn takes_for(&self, user: &str, access_token: &str) -> bool {
        let is_opened = {
            let desk = self.desk();
            desk.accesses.get(access_token).is_some_and(|access| desk.opened_by(&access.user) == user)
        };
        is_opened && self.takes(access_token)
    }

    /// Tokens, codes and secrets, all that there ever were.
    pub fn secrets(&self) -> Vec<String> {
        self.desk().secrets.clone()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn router(desk: Shared) -> Router {
    Router::new()
        .route("/authorize", get(sign_in::authorize))
        .route("/consent", get(sign_in::consent))
        .route("/token", post(tokens::token))
        .route("/devicecode", post(sign_in::device_code))
        .route("/revoke", post(given::revoke))
        .route("/introspect", post(given::introspect_posted).get(given::introspect_bearer))
        .with_state(desk)
}
