//! An identity provider of our own: strict on every parameter, with Microsoft's or Google's habits, a clock, and faults.
//!
//! It speaks plain HTTP on a free port of the loopback, on a thread of its own. Access tokens are good for its
//! introspection (RFC 7662), which a mail server may ask.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use maildesk::clock::{Clock, Micros};
use maildesk::seal::{random, to_hex};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

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

#[derive(Clone, Debug)]
struct Refresh {
    chain: usize,
    /// When another one was given for it.
    replaced: Option<Micros>,
    is_void: bool,
    until: Micros,
}

/// What a person has granted.
#[derive(Clone, Debug)]
struct Chain {
    user: String,
    scope: String,
    /// Its newest refresh token.
    newest: String,
    refreshed: usize,
    is_revoked: bool,
}

struct Code {
    redirect: String,
    challenge: String,
    scope: String,
    user: String,
    until: Micros,
    has_refresh: bool,
    is_spent: bool,
}

struct Device {
    user_code: String,
    scope: String,
    until: Micros,
    polled: Option<Micros>,
    interval: u64,
    /// Who has entered the code; `Err`: it was declined.
    answer: Option<Result<String, ()>>,
}

/// An access token, for introspection.
#[derive(Clone, Debug)]
struct Access {
    user: String,
    scope: String,
    until: Micros,
    is_void: bool,
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

/// Everything that can be set.
pub struct Desk {
    pub style: Style,
    pub clock: Clock,
    pub rotation: Rotation,
    /// Seconds.
    pub access_lasts: i64,
    pub refresh_lasts: i64,
    /// A sign-in is told that its refresh token lasts so many seconds whatever is done.
    pub refresh_stated: Option<i64>,
    /// Who signs in where nobody is named.
    pub user: String,
    /// Who is signed in in the browser already: whoever is named, it is this one who accepts.
    pub is_signed_in: Option<String>,
    /// Shared mailboxes: whose tokens open which instead of their own.
    pub opens: HashMap<String, String>,
    /// Empty: a public client.
    pub client_secret: String,
    pub secret_until: Option<Micros>,
    /// A redirect URL that is registered; localhost and 127.0.0.1 count with any port.
    pub redirects: Vec<String>,
    /// Seconds between two polls of a device code.
    pub interval: u64,
    pub device_lasts: i64,
    /// How long a request for a token takes.
    pub delay: Duration,
    /// Used up by requests for a token, one each.
    pub faults: VecDeque<Fault>,
    pub seen: Vec<Seen>,
    /// Grants on which two requests were under way at once, with one refresh token or with two.
    pub overlaps: usize,
    under_way: HashSet<String>,
    chains: Vec<Chain>,
    refreshes: HashMap<String, Refresh>,
    accesses: HashMap<String, Access>,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    /// Everything that nobody may find anywhere.
    secrets: Vec<String>,
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

impl Desk {
    /// The mailbox that this user's tokens open.
    fn opened_by<'a>(&'a self, user: &'a str) -> &'a str {
        self.opens.get(user).map_or(user, String::as_str)
    }

    fn secret(&mut self, kind: &str) -> String {
        let secret = format!("{kind}.{}", to_hex(&random::<20>()));
        self.secrets.push(secret.clone());
        secret
    }

    fn new_chain(&mut self, user: &str, scope: &str) -> usize {
        self.chains.push(Chain {
            user: user.into(),
            scope: scope.into(),
            newest: String::new(),
            refreshed: 0,
            is_revoked: false,
        });
        let chain = self.chains.len() - 1;
        self.new_refresh(chain);
        chain
    }

    fn new_refresh(&mut self, chain: usize) -> String {
        let token = self.secret("refresh");
        let until = Micros(self.clock.now().0 + self.refresh_lasts * Micros::SECOND);
        self.refreshes.insert(token.clone(), Refresh { chain, replaced: None, is_void: false, until });
        self.chains[chain].newest = token.clone();
        token
    }

    /// The answer with a token.
    fn issue(&mut self, user: &str, scope: &str, refresh: Option<String>) -> Value {
        let token = self.secret("access");
        let until = Micros(self.clock.now().0 + self.access_lasts * Micros::SECOND);
        let is_asked_who = scope.split(' ').any(|s| s == "openid");
        let silent = ["offline_access", "openid", "profile"];
        let scope: Vec<&str> = scope.split(' ').filter(|s| !silent.contains(s)).collect();
        let scope = scope.join(" ");
        let access = Access { user: user.into(), scope: scope.clone(), until, is_void: false };
        self.accesses.insert(token.clone(), access);
        let mut answer = json!({
            "token_type": "Bearer", "scope": scope, "expires_in": self.access_lasts, "access_token": token,
        });
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
        if is_asked_who {
            answer["id_token"] = self.id_token(user).into();
        }
        answer
    }

    /// Who has signed in (OpenID Connect Core §2), with a signature that nobody checks.
    fn id_token(&mut self, user: &str) -> String {
        let part = |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
        let claims = json!({ "aud": CLIENT_ID, "sub": "0", "preferred_username": user, "name": "Ünal" });
        let signature = self.secret("signature").replace('.', "-");
        self.secrets.push(signature.clone());
        format!("{}.{}.{signature}", part(json!({ "alg": "RS256" })), part(claims))
    }

    /// Presents a refresh token.
    fn refresh(&mut self, token: &str) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(known) = self.refreshes.get(token).cloned() else {
            return Err(Refused::new("invalid_grant", 70_000, "the refresh token is malformed or void"));
        };
        let chain = self.chains[known.chain].clone();
        let is_in_grace = match (known.replaced, self.rotation) {
            (None, _) | (_, Rotation::Never) => true,
            (Some(_), Rotation::NoGrace) => false,
            (Some(at), Rotation::Seconds(seconds)) => now.0 - at.0 < seconds * Micros::SECOND,
            // Using the new one voids this one.
            (Some(_), Rotation::UntilNewIsUsed) => true,
        };
        if chain.is_revoked {
            return Err(Refused::new("invalid_grant", 50_173, "the grant was revoked"));
        }
        if known.is_void || !is_in_grace {
            return Err(Refused::new("invalid_grant", 70_000, "the refresh token was used before"));
        }
        if known.until <= now {
            return Err(Refused::new(
                "invalid_grant",
                700_082,
                "the refresh token has expired due to inactivity",
            ));
        }
        self.chains[known.chain].refreshed += 1;
        if self.rotation == Rotation::Never {
            let until = Micros(now.0 + self.refresh_lasts * Micros::SECOND);
            self.refreshes.get_mut(token).expect("it is known").until = until;
            return Ok(self.issue(&chain.user, &chain.scope, None));
        }
        // Whatever else was given on this chain and is not this one: given before it, or to somebody who lost it.
        for (other, refresh) in &mut self.refreshes {
            let spends = refresh.chain == known.chain && other != token;
            let holds = matches!(self.rotation, Rotation::Seconds(_)) && refresh.replaced.is_some();
            refresh.is_void |= spends && !holds;
        }
        self.refreshes.get_mut(token).expect("it is known").replaced.get_or_insert(now);
        let new = self.new_refresh(known.chain);
        Ok(self.issue(&chain.user, &chain.scope, Some(new)))
    }
}

/// A refusal on its way.
struct Refused {
    error: String,
    number: i64,
    words: String,
}

impl Refused {
    fn new(error: &str, number: i64, words: &str) -> Refused {
        Refused { error: error.into(), number, words: words.into() }
    }

    fn request(words: &str) -> Refused {
        Refused::new("invalid_request", 900_144, words)
    }

    fn answer(self, style: Style) -> Response {
        let status =
            if self.error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = match style {
            Style::Microsoft => json!({
                "error": self.error,
                "error_description": format!("AADSTS{}: {}.\r\nTrace ID: 0\r\nCorrelation ID: 0", self.number, self.words),
                "error_codes": [self.number], "trace_id": "0", "correlation_id": "0",
            }),
            Style::Google => json!({ "error": self.error, "error_description": self.words }),
        };
        (status, axum::Json(body)).into_response()
    }
}

fn router(desk: Shared) -> Router {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/consent", get(consent))
        .route("/token", post(token))
        .route("/devicecode", post(device_code))
        .route("/revoke", post(revoke))
        .route("/introspect", post(introspect_posted).get(introspect_bearer))
        .with_state(desk)
}

fn lock(desk: &Shared) -> MutexGuard<'_, Desk> {
    desk.lock().expect("nobody panics while holding it")
}

fn page(status: u16, words: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "text/html")], format!("<html><body>{words}</body></html>")).into_response()
}

/// Each parameter once, and none that is not expected.
fn fields(text: &str, allowed: &[&str], required: &[&str]) -> Result<Form, Refused> {
    let mut form = Form::new();
    for (key, value) in decoded(text) {
        if !allowed.contains(&key.as_str()) && !required.contains(&key.as_str()) {
            return Err(Refused::request(&format!("parameter {key} is not expected")));
        }
        if value.is_empty() || form.insert(key.clone(), value).is_some() {
            return Err(Refused::request(&format!("parameter {key} is empty or there twice")));
        }
    }
    match required.iter().find(|key| !form.contains_key(**key)) {
        Some(key) => Err(Refused::request(&format!("the body must contain {key}"))),
        None => Ok(form),
    }
}

fn decoded(text: &str) -> Vec<(String, String)> {
    let words = |text: &str| {
        let mut bytes = vec![];
        let mut rest = text.bytes();
        while let Some(b) = rest.next() {
            bytes.push(match b {
                b'+' => b' ',
                b'%' => {
                    let hex: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&hex, 16).unwrap_or(b'?')
                }
                b => b,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter(|p| !p.is_empty());
    pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (words(k), words(v))).collect()
}

fn note(desk: &Shared, endpoint: &'static str, answer: &str) {
    lock(desk).seen.push(Seen { endpoint, answer: answer.into(), ..Seen::default() });
}

/// A request for a token.
fn note_token(desk: &Shared, given: &Form, answer: &str) {
    let field = |name: &str| given.get(name).cloned().unwrap_or_default();
    let mut desk = lock(desk);
    let chain = desk.refreshes.get(&field("refresh_token")).map(|refresh| refresh.chain);
    let user = chain.map_or(String::new(), |chain| desk.chains[chain].user.clone());
    let answer = answer.into();
    desk.seen.push(Seen { endpoint: "token", grant_type: field("grant_type"), user, answer });
}

// --- Signing in ------------------------------------------------------------------------------------------------------

async fn authorize(State(desk): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let checked = check_authorize(&desk, &query);
    note(&desk, "authorize", checked.as_ref().map_or_else(|r| r.error.as_str(), |_| "ok"));
    match checked {
        // A page: whoever accepts goes on.
        Ok(()) => page(200, &format!("<form action=\"/consent?{query}\"><button>Accept</button></form>")),
        Err(refused) => page(400, &refused.words),
    }
}

fn check_authorize(desk: &Shared, query: &str) -> Result<(), Refused> {
    let style = lock(desk).style;
    let required = [
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    ];
    let more: &[&str] = match style {
        Style::Microsoft => &["response_mode", "login_hint", "prompt"],
        Style::Google => &["access_type", "prompt", "login_hint"],
    };
    let form = fields(query, more, &required)?;
    if form["client_id"] != CLIENT_ID
        || form["response_type"] != "code"
        || form["code_challenge_method"] != "S256"
    {
        return Err(Refused::request("client_id, response_type or code_challenge_method is wrong"));
    }
    if form["code_challenge"].len() != 43 || form["state"].len() < 16 {
        return Err(Refused::request("code_challenge or state is too short"));
    }
    if form.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refused::request("response_mode is not one that a program reads"));
    }
    let redirect = &form["redirect_uri"];
    let is_registered = lock(desk).redirects.iter().any(|known| {
        let is_loopback = known.ends_with("//localhost") || known.ends_with("//127.0.0.1");
        redirect == known
            || (is_loopback && redirect.strip_prefix(known).is_some_and(|rest| rest.starts_with(':')))
    });
    match is_registered {
        true => Ok(()),
        false => Err(Refused::new(
            "invalid_request",
            50_011,
            "the redirect URI does not match the registered ones",
        )),
    }
}

async fn consent(State(desk): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refused) = check_authorize(&desk, &query) {
        return page(400, &refused.words);
    }
    let form: Form = decoded(&query).into_iter().collect();
    let mut desk = lock(&desk);
    let code = desk.secret("code");
    let until = Micros(desk.clock.now().0 + 600 * Micros::SECOND);
    let has_refresh = match desk.style {
        Style::Microsoft => form["scope"].split(' ').any(|s| s == "offline_access"),
        Style::Google => {
            form.get("access_type").is_some_and(|a| a == "offline")
                && form.get("prompt").is_some_and(|p| p == "consent")
        }
    };
    let user = desk.is_signed_in.clone().unwrap_or(form.get("login_hint").unwrap_or(&desk.user).clone());
    let made = Code {
        redirect: form["redirect_uri"].clone(),
        challenge: form["code_challenge"].clone(),
        scope: form["scope"].clone(),
        user,
        until,
        has_refresh,
        is_spent: false,
    };
    desk.codes.insert(code.clone(), made);
    let target = format!("{}?code={code}&state={}", form["redirect_uri"], form["state"]);
    (StatusCode::FOUND, [("location", target)]).into_response()
}

async fn device_code(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut desk = lock(&desk);
    let style = desk.style;
    let checked = is_form(&headers).and_then(|()| fields(&text, &[], &["client_id", "scope"]));
    let checked = checked.and_then(|form| match () {
        () if form["client_id"] != CLIENT_ID => {
            Err(Refused::new("unauthorized_client", 700_016, "application not found"))
        }
        () if style == Style::Google && form["scope"].contains("mail.google.com") => {
            Err(Refused::new("invalid_scope", 0, "Invalid device flow scope"))
        }
        () => Ok(form),
    });
    let answer = checked.as_ref().map_or_else(|r| r.error.clone(), |_| "ok".into());
    desk.seen.push(Seen { endpoint: "devicecode", answer, ..Seen::default() });
    let form = match checked {
        Ok(form) => form,
        Err(refused) => return refused.answer(style),
    };
    let device_code = desk.secret("device");
    let user_code = to_hex(&random::<4>()).to_uppercase();
    let (interval, lasts) = (desk.interval, desk.device_lasts);
    let until = Micros(desk.clock.now().0 + lasts * Micros::SECOND);
    let device = Device {
        user_code: user_code.clone(),
        scope: form["scope"].clone(),
        until,
        polled: None,
        interval,
        answer: None,
    };
    desk.devices.insert(device_code.clone(), device);
    axum::Json(json!({
        "device_code": device_code, "user_code": user_code, "verification_uri": "https://device.example.com/",
        "expires_in": lasts, "interval": interval, "message": "open the page and enter the code",
    }))
    .into_response()
}

// --- Tokens ----------------------------------------------------------------------------------------------------------

/// Says that two requests refresh one grant.
struct UnderWay(Shared, String);

impl UnderWay {
    fn begin(desk: &Shared, token: &str) -> UnderWay {
        let mut locked = lock(desk);
        let known = locked.refreshes.get(token).map(|refresh| format!("grant {}", refresh.chain));
        let grant = known.unwrap_or_else(|| token.to_owned());
        if !locked.under_way.insert(grant.clone()) {
            locked.overlaps += 1;
        }
        drop(locked);
        UnderWay(desk.clone(), grant)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0).under_way.remove(&self.1);
    }
}

async fn token(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let given: Form = decoded(&text).into_iter().collect();
    let grant_type = given.get("grant_type").cloned().unwrap_or_default();
    let (style, delay, fault) = {
        let mut desk = lock(&desk);
        (desk.style, desk.delay, desk.faults.pop_front())
    };
    let _under_way = given.get("refresh_token").map(|token| UnderWay::begin(&desk, token));
    tokio::time::sleep(delay).await;
    let refused = match &fault {
        Some(Fault::Html(status)) => Some(page(*status, "Sorry")),
        Some(Fault::Throttled(seconds)) => Some(throttled(seconds.to_string())),
        Some(Fault::ThrottledUntil(seconds)) => {
            let until = Clock::system().now().plus(Duration::from_secs(*seconds));
            let until = chrono::DateTime::from_timestamp_micros(until.0).expect("a time of these years");
            Some(throttled(until.format("%a, %d %b %Y %H:%M:%S GMT").to_string()))
        }
        Some(Fault::Silent) => {
            note_token(&desk, &given, "silent");
            std::future::pending::<()>().await;
            None
        }
        Some(Fault::Refused { error, number, words }) => {
            // What a careless provider says.
            let words = words.replace("TOKEN", given.get("refresh_token").map_or("", String::as_str));
            Some(Refused::new(error, *number, &words).answer(style))
        }
        _ => None,
    };
    if let Some(refused) = refused {
        note_token(&desk, &given, "fault");
        return refused;
    }
    let issued = is_form(&headers).and_then(|()| give_token(&desk, &text, &grant_type));
    note_token(&desk, &given, issued.as_ref().map_or_else(|r| r.error.as_str(), |_| "ok"));
    match fault {
        Some(Fault::LostAnswer) => {
            let lost = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            return Body::from_stream(lost).into_response();
        }
        Some(Fault::HeldAnswer) => std::future::pending::<()>().await,
        _ => {}
    }
    match issued {
        Ok(answer) => ([("cache-control", "no-store")], axum::Json(answer)).into_response(),
        Err(refused) => refused.answer(style),
    }
}

fn throttled(retry_after: String) -> Response {
    let body = axum::Json(json!({ "error": "temporarily_unavailable" }));
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after)], body).into_response()
}

fn is_form(headers: &HeaderMap) -> Result<(), Refused> {
    let is = headers.get("content-type").is_some_and(|v| v == "application/x-www-form-urlencoded");
    if is { Ok(()) } else { Err(Refused::request("the body must be a form")) }
}

fn give_token(desk: &Shared, text: &str, grant_type: &str) -> Result<Value, Refused> {
    const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    let scope: &[&str] = &["client_secret", "scope"];
    let (allowed, required): (&[&str], &[&str]) = match grant_type {
        "authorization_code" => {
            (scope, &["grant_type", "client_id", "code", "redirect_uri", "code_verifier"])
        }
        "refresh_token" => (scope, &["grant_type", "client_id", "refresh_token"]),
        "client_credentials" => (&[], &["grant_type", "client_id", "client_secret", "scope"]),
        DEVICE => (&["client_secret"], &["grant_type", "client_id", "device_code"]),
        _ => return Err(Refused::new("unsupported_grant_type", 70_003, "the grant type is not supported")),
    };
    let form = fields(text, allowed, required)?;
    let mut desk = lock(desk);
    desk.require_client(&form)?;
    match grant_type {
        "authorization_code" => desk.redeem(&form),
        "refresh_token" => {
            desk.require_scope(form.get("scope"))?;
            desk.refresh(&form["refresh_token"])
        }
        "client_credentials" => {
            if desk.style == Style::Microsoft && !form["scope"].ends_with("/.default") {
                return Err(Refused::new("invalid_scope", 70_011, "the scope must end with /.default"));
            }
            let user = desk.user.clone();
            Ok(desk.issue(&user, &form["scope"], None))
        }
        _ => desk.poll(&form["device_code"]),
    }
}

impl Desk {
    fn require_client(&self, form: &Form) -> Result<(), Refused> {
        if form["client_id"] != CLIENT_ID {
            return Err(Refused::new(
                "unauthorized_client",
                700_016,
                "application was not found in the directory",
            ));
        }
        match form.get("client_secret") {
            None if self.client_secret.is_empty() => Ok(()),
            None => Err(Refused::new("invalid_client", 7_000_218, "the body must contain client_secret")),
            Some(secret) if *secret != self.client_secret => {
                Err(Refused::new("invalid_client", 7_000_215, "invalid client secret provided"))
            }
            Some(_) if self.secret_until.is_some_and(|end| end <= self.clock.now()) => {
                Err(Refused::new("invalid_client", 7_000_222, "the client secret keys are expired"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Microsoft: those of one resource only.
    fn require_scope(&self, scope: Option<&String>) -> Result<(), Refused> {
        let Some(scope) = scope else { return Ok(()) };
        let resource = |s: &str| s.rsplit_once('/').map(|(resource, _)| resource.to_owned());
        let resources: HashSet<_> = scope.split(' ').filter_map(resource).collect();
        match resources.len() > 1 || scope.contains("unknown") {
            true => {
                Err(Refused::new("invalid_scope", 70_011, "the scopes are not known or not of one resource"))
            }
            false => Ok(()),
        }
    }

    fn redeem(&mut self, form: &Form) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(code) = self.codes.get_mut(&form["code"]) else {
            return Err(Refused::new("invalid_grant", 70_000, "the code is malformed"));
        };
        if std::mem::replace(&mut code.is_spent, true) {
            return Err(Refused::new("invalid_grant", 54_005, "the code was already redeemed"));
        }
        let challenge =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        if code.until <= now || code.redirect != form["redirect_uri"] || code.challenge != challenge {
            return Err(Refused::new(
                "invalid_grant",
                501_481,
                "the code is old, or redirect_uri or code_verifier differ",
            ));
        }
        let (user, scope, has_refresh) = (code.user.clone(), code.scope.clone(), code.has_refresh);
        self.secrets.push(form["code_verifier"].clone());
        self.first(&user, &scope, has_refresh)
    }

    fn first(&mut self, user: &str, scope: &str, has_refresh: bool) -> Result<Value, Refused> {
        let refresh = has_refresh.then(|| {
            let chain = self.new_chain(user, scope);
            self.chains[chain].newest.clone()
        });
        let mut answer = self.issue(user, scope, refresh);
        if let Some(seconds) = self.refresh_stated {
            answer["refresh_token_expires_in"] = seconds.into();
        }
        Ok(answer)
    }

    fn poll(&mut self, device_code: &str) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(device) = self.devices.get_mut(device_code) else {
            return Err(Refused::new("bad_verification_code", 0, "the device code is not known"));
        };
        if device.until <= now {
            return Err(Refused::new("expired_token", 70_020, "the device code has expired"));
        }
        let last = device.polled.replace(now);
        let interval = device.interval as i64 * Micros::SECOND;
        if last.is_some_and(|last| now.0 - last.0 < interval) {
            device.interval += 5;
            return Err(Refused::new("slow_down", 0, "polled too soon"));
        }
        match device.answer.clone() {
            None => Err(Refused::new("authorization_pending", 70_016, "authorization is pending")),
            Some(Err(())) => Err(Refused::new("authorization_declined", 0, "the user has declined")),
            Some(Ok(user)) => {
                let scope = device.scope.clone();
                self.devices.remove(device_code);
                let has_refresh =
                    self.style == Style::Google || scope.split(' ').any(|s| s == "offline_access");
                self.first(&user, &scope, has_refresh)
            }
        }
    }
}

// --- Afterwards ------------------------------------------------------------------------------------------------------

async fn revoke(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let style = lock(&desk).style;
    let allowed = ["client_id", "client_secret", "token_type_hint"];
    let form = match is_form(&headers).and_then(|()| fields(&text, &allowed, &["token"])) {
        Ok(form) => form,
        Err(refused) => return refused.answer(style),
    };
    note(&desk, "revoke", "ok");
    let mut desk = lock(&desk);
    if let Some(refresh) = desk.refreshes.get(&form["token"]).cloned() {
        desk.chains[refresh.chain].is_revoked = true;
    }
    StatusCode::OK.into_response()
}

async fn introspect_posted(State(desk): State<Shared>, body: Bytes) -> Response {
    let form: Form = decoded(&String::from_utf8_lossy(&body)).into_iter().collect();
    introspect(&desk, form.get("token").map_or("", String::as_str))
}

async fn introspect_bearer(State(desk): State<Shared>, headers: HeaderMap) -> Response {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    introspect(&desk, bearer.strip_prefix("Bearer ").unwrap_or_default())
}

fn introspect(desk: &Shared, token: &str) -> Response {
    let mut desk = lock(desk);
    let now = desk.clock.now();
    let access = desk.accesses.get(token).filter(|access| !access.is_void && access.until > now).cloned();
    let answer = if access.is_some() { "active" } else { "inactive" };
    desk.seen.push(Seen { endpoint: "introspect", answer: answer.into(), ..Seen::default() });
    let body = match access {
        Some(access) => json!({
            "active": true, "username": desk.opened_by(&access.user), "email": access.user, "scope": access.scope,
            "client_id": CLIENT_ID, "token_type": "Bearer", "exp": access.until.0 / Micros::SECOND,
        }),
        None => json!({ "active": false }),
    };
    axum::Json(body).into_response()
}

// --- The browser -----------------------------------------------------------------------------------------------------

/// What a browser gets.
pub struct Fetched {
    pub status: u16,
    pub location: String,
    pub body: String,
}

/// One GET over plain HTTP.
#[track_caller]
pub fn fetch(url: &str) -> Fetched {
    let rest = url.strip_prefix("http://").expect("an address without TLS");
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_port = host.replace("localhost", "127.0.0.1");
    let mut stream = TcpStream::connect(host_port).expect("somebody listens there");
    let slash = if path.starts_with('/') { "" } else { "/" };
    write!(stream, "GET {slash}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    Fetched { status, location: location.to_owned(), body: body.to_owned() }
}
