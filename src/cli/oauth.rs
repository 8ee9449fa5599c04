//! `maildesk oauth …`: the face of the room `oauth`. What only the process that was typed to can do, the browser's way
//! back and what a person pastes, is in `sign_in`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Context;
use super::output::{CliError, Output};
use super::table::Table;
use crate::config::oauth_provider::day_or_time;
use crate::oauth::{Begun, Connected, GrantLine, Polled, Wish};
use crate::seal::Secret;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    #[command(after_help = "Examples:\n  \
        maildesk oauth login support                        in a browser on this machine\n  \
        maildesk oauth login support --paste                in a browser elsewhere\n  \
        maildesk oauth login support --flow device          in a browser elsewhere, by typing a code\n  \
        maildesk oauth login out --flow client-credentials  by the application's own rights")]
    Login(LoginArgs),
    /// What ends when, and what is wrong
    Status {
        /// A mailbox or relay; else all of them
        target: Option<String>,
    },
    /// Fetch a new access token now
    Refresh {
        /// `mailbox:NAME`, `relay:NAME`, or the name
        target: String,
    },
    /// Give the tokens back to the provider, and forget them
    Revoke {
        /// `mailbox:NAME`, `relay:NAME`, or the name
        target: String,
    },
    Import(ImportArgs),
}

/// What is connected, and by which application
#[derive(Clone, Debug, clap::Args)]
pub struct WishArgs {
    /// `mailbox:NAME`, `relay:NAME`, or the name
    target: String,
    /// The [[oauth_provider]]; else the only one that there is
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Who signs in, where that is not the user of the mailbox or relay: for shared mailboxes
    #[arg(long)]
    user: Option<String>,
    /// What to ask for, instead of the usual scopes; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A client secret for this grant alone: the first line of the file
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// The day on which that secret ends, such as 2027-05-31
    #[arg(long, value_name = "DAY", requires = "client_secret_file")]
    secret_until: Option<String>,
}

/// Connect a mailbox or relay to its account at an identity provider
#[derive(Clone, Debug, clap::Args)]
pub struct LoginArgs {
    #[command(flatten)]
    pub wish: WishArgs,
    /// In a browser (code), on another device (device), or by the application's own rights
    #[arg(long, value_enum, default_value = "code")]
    pub flow: FlowWord,
    /// Paste the address that the browser ends at, instead of waiting for it here
    #[arg(long)]
    pub paste: bool,
    /// A part of a sign-in, for the process that leads through it
    #[arg(long, hide = true, value_enum)]
    pub step: Option<Step>,
    #[arg(long, hide = true)]
    pub redirect: Option<String>,
}

/// Take over a refresh token that you have already, from standard input or a file
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub wish: WishArgs,
    /// Its first line is the refresh token; else that of standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FlowWord {
    Code,
    Device,
    #[value(alias = "client_credentials")]
    ClientCredentials,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Where the browser comes back to.
    Place,
    Begin,
    /// Take the browser's last address, or ask after a device code.
    Finish,
}

/// What goes beside the arguments: nothing of it may stand there.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Handed {
    pub refresh_token: Option<String>,
    pub client_secret: Option<String>,
    pub pending: Option<String>,
    pub answer: Option<String>,
}

impl Handed {
    pub fn bytes(&self) -> Result<Vec<u8>, CliError> {
        serde_json::to_vec(self).map_err(|e| CliError::data(format!("what was given: {e}")))
    }

    fn of(stdin: &[u8]) -> Result<Handed, CliError> {
        if stdin.is_empty() {
            return Ok(Handed::default());
        }
        // The error of the parser may hold a part of the text.
        serde_json::from_slice(stdin)
            .map_err(|_| CliError::data("what was given beside the arguments is not readable"))
    }
}

/// A sign-in on its way, as one process tells the other.
#[derive(Serialize, Deserialize)]
pub struct Way {
    pub pending: String,
    pub page: String,
    pub user_code: String,
    pub pause_ms: u64,
}

impl From<Begun> for Way {
    fn from(begun: Begun) -> Way {
        let Begun { pending, page, user_code, pause } = begun;
        Way { pending, page, user_code, pause_ms: pause.as_millis() as u64 }
    }
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    let grants = &context.works.grants;
    match verb {
        Verb::Login(args) => login(args, context).await,
        Verb::Status { target } => {
            let owner = match &target {
                Some(target) => Some(grants.find_owner(target).await?),
                None => None,
            };
            let lines = grants.status(owner.as_ref()).await?;
            shown(&lines, context)
        }
        Verb::Refresh { target } => {
            let owner = grants.find_owner(&target).await?;
            grants.refresh_now(&owner).await.map_err(|failure| failure.of(&target))?;
            let line = grants.status(Some(&owner)).await?.pop();
            let until = line.and_then(|line| line.access_until).unwrap_or_default();
            let words = format!("{target} has a new access token, good until {until}");
            Ok(Output::said(words, json!({ "owner": owner.to_string(), "access_until": until })))
        }
        Verb::Revoke { target } => {
            let owner = grants.find_owner(&target).await?;
            let said = grants.revoke(&owner).await?;
            let words = format!("{target} has no grant any more; {said}");
            Ok(Output::said(words, json!({ "owner": owner.to_string(), "provider_said": said })))
        }
        Verb::Import(args) => {
            let handed = Handed::of(&context.stdin)?;
            let wish = wish(&args.wish, &handed, context).await?;
            let Some(token) = handed.refresh_token.filter(|token| !token.is_empty()) else {
                return Err(CliError::usage("there is no refresh token on standard input"));
            };
            connected(grants.import(&wish, &Secret::new(token)).await?)
        }
    }
}

async fn login(args: LoginArgs, context: &Context) -> Result<Output, CliError> {
    let grants = &context.works.grants;
    let handed = Handed::of(&context.stdin)?;
    let wish = wish(&args.wish, &handed, context).await?;
    match (args.flow, args.step) {
        (FlowWord::ClientCredentials, _) => connected(grants.connect_application(&wish).await?),
        (FlowWord::Code, Some(Step::Place)) => {
            let place = grants.redirect(&wish).await?;
            Ok(Output { json: json!({ "url": place.url, "is_here": place.is_here }), ..Output::default() })
        }
        (FlowWord::Code, Some(Step::Begin)) => {
            let redirect = args.redirect.unwrap_or_default();
            way(grants.begin_code(&wish, &redirect).await?)
        }
        (FlowWord::Device, Some(Step::Begin)) => way(grants.begin_device(&wish).await?),
        (FlowWord::Code, Some(Step::Finish)) => {
            let (pending, answer) = (handed.pending.unwrap_or_default(), handed.answer.unwrap_or_default());
            connected(grants.finish_code(&pending, &answer).await?)
        }
        (FlowWord::Device, Some(Step::Finish)) => {
            match grants.poll_device(&handed.pending.unwrap_or_default()).await? {
                Polled::Waiting(begun) => way(begun),
                Polled::Connected(done) => connected(done),
            }
        }
        (_, None | Some(Step::Place)) => {
            Err(CliError::usage("this sign-in is led by the process that was typed to"))
        }
    }
}

async fn wish(args: &WishArgs, handed: &Handed, context: &Context) -> Result<Wish, CliError> {
    let until = args.secret_until.as_deref().map(day_or_time).transpose();
    Ok(Wish {
        owner: context.works.grants.find_owner(&args.target).await?,
        provider: args.provider.clone().unwrap_or_default(),
        user: args.user.clone().unwrap_or_default(),
        scopes: args.scopes.clone(),
        client_secret: handed.client_secret.as_deref().map(Secret::new),
        secret_until: until.map_err(|words| CliError::usage(format!("--secret-until: {words}")))?,
    })
}

fn way(begun: Begun) -> Result<Output, CliError> {
    Ok(Output { json: super::output::json(Way::from(begun))?, ..Output::default() })
}

fn connected(done: Connected) -> Result<Output, CliError> {
    let Connected { owner, target, provider, user, access_until, note } = done;
    let json = json!({
        "owner": owner.to_string(), "target": target, "provider": provider, "user": user,
        "access_until": access_until.rfc3339(), "note": note, "connected": true,
    });
    Ok(Output::said(connected_words(&json), json))
}

/// What a person reads of a sign-in that is done.
pub fn connected_words(done: &serde_json::Value) -> String {
    let word = |key: &str| done.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    let who = if word("user").is_empty() { String::new() } else { format!(" as {}", word("user")) };
    let mut words = format!(
        "{} signs in at {}{who} from now on; maildesk keeps the grant alive by itself.\n",
        word("target"),
        word("provider")
    );
    if !word("note").is_empty() {
        words.push_str(&format!("note: {}\n", word("note")));
    }
    words
}

fn shown(lines: &[GrantLine], context: &Context) -> Result<Output, CliError> {
    let mut output = Output::list(lines, context.wants_json, |lines| {
        let heads =
            ["OWNER", "NAME", "PROVIDER", "USER", "STATE", "ACCESS TOKEN", "REFRESH TOKEN", "CLIENT SECRET"];
        let none = "nobody has signed in; `maildesk oauth login TARGET` connects a mailbox or relay";
        Table::of(heads, none, lines, |line| {
            [
                line.owner.clone(),
                line.name.clone(),
                line.provider.clone(),
                line.user.clone(),
                line.state.clone(),
                line.access_seconds_left.map_or("-".into(), for_so_long),
                days(line.refresh_days_left),
                days(line.secret_days_left),
            ]
        })
    })?;
    if context.wants_json {
        return Ok(output);
    }
    for line in lines {
        if !line.error.is_empty() {
            let next = line.next_try.as_ref().map_or(String::new(), |next| format!(" Next try at {next}."));
            output.human.push_str(&format!("\n{}: {}\n  {}{next}\n", line.name, line.error, line.advice));
        }
        if !line.server_refused.is_empty() {
            output
                .human
                .push_str(&format!("\n{}: the mail server refuses it: {}\n", line.name, line.server_refused));
        }
    }
    Ok(output)
}

fn for_so_long(seconds: i64) -> String {
    match seconds {
        ..=0 => "ended".to_owned(),
        1..120 => format!("{seconds} s"),
        120.. => format!("{} min", seconds / 60),
    }
}

fn days(left: Option<i64>) -> String {
    match left {
        None => "-".to_owned(),
        Some(left) if left < 0 => "ended".to_owned(),
        Some(left) => format!("{left} d"),
    }
}
