//! A look at a server for `doctor` and the connection test: sign in, ask, change nothing.

use super::session::Command;
use super::{list, login};
use crate::failure::Failure;
use crate::sources::ServerSettings;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub greeting: String,
    /// The way of the login: `USER`, or a SASL mechanism.
    pub signed_in_by: &'static str,
    /// After login, with their arguments; empty where the server knows no CAPA.
    pub capabilities: Vec<String>,
    pub messages: u64,
    /// Why the messages cannot be listed by unique ids; empty where they can.
    pub unlisted: String,
    pub has_top: bool,
    /// The least seconds between two logins that the server asks for.
    pub login_delay_s: u64,
    /// After so many days the server removes mail by itself.
    pub expire_days: Option<u64>,
}

/// Signs in and lists; nothing is fetched or deleted.
pub async fn examine(settings: ServerSettings) -> Result<Report, Failure> {
    let (mut session, greeting) = login::log_in(&settings).await?;
    let messages = list::messages(&mut session).await?;
    let listed = list::list(&mut session).await;
    let unlisted = match listed {
        Ok(_) => String::new(),
        Err(failure) if session.is_usable() => failure.to_string(),
        Err(failure) => return Err(failure),
    };
    session.tell(Command::new("QUIT")).await?;
    let capabilities = session.capabilities.as_ref();
    let shown = |(name, arguments): (&String, &String)| format!("{name} {arguments}").trim_end().to_owned();
    Ok(Report {
        greeting,
        signed_in_by: session.signed_in_by,
        capabilities: capabilities.map(|c| c.0.iter().map(shown).collect()).unwrap_or_default(),
        messages,
        unlisted,
        has_top: capabilities.is_none_or(|c| c.has("TOP")),
        login_delay_s: capabilities.map_or(0, |c| c.login_delay_s()),
        expire_days: capabilities.and_then(|c| c.expire_days()),
    })
}
