//! A look at a server for `doctor` and the connection test: log in, ask, change nothing.

use super::command::Command;
use super::list::select;
use super::login;
use crate::failure::Failure;
use crate::sources::ServerSettings;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub greeting: String,
    /// The way of the login: `LOGIN`, or a SASL mechanism. Empty where the server knew us already.
    pub signed_in_by: &'static str,
    /// After login, in upper case.
    pub capabilities: Vec<String>,
    /// Single messages can be removed; without it handled mail is only flagged \Deleted.
    pub has_uidplus: bool,
    pub has_move: bool,
    pub has_idle: bool,
    pub folders: Vec<FolderReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FolderReport {
    pub name: String,
    /// None: the folder cannot be opened, and `words` say why.
    pub messages: Option<u32>,
    pub words: String,
}

/// Logs in and looks at each folder, with EXAMINE, which leaves no trace.
pub async fn examine(settings: ServerSettings) -> Result<Report, Failure> {
    let (mut wire, greeting) = login::log_in(&settings).await?;
    let mut folders = Vec::new();
    for name in &settings.folders {
        let report = match select(&mut wire, "EXAMINE", name).await {
            Ok(opened) => match (opened.exists, opened.validity) {
                (messages, Some(_)) => (Some(messages.unwrap_or(0)), String::new()),
                (_, None) => (None, "no UIDVALIDITY: messages have no lasting names here".to_owned()),
            },
            Err(failure) if wire.is_usable() => (None, failure.to_string()),
            Err(failure) => return Err(failure),
        };
        folders.push(FolderReport { name: name.clone(), messages: report.0, words: report.1 });
    }
    let has = |name| wire.capabilities.has(name);
    let report = Report {
        greeting,
        signed_in_by: wire.signed_in_by,
        has_uidplus: has("UIDPLUS"),
        has_move: has("MOVE"),
        has_idle: has("IDLE"),
        capabilities: wire.capabilities.0.iter().cloned().collect(),
        folders,
    };
    wire.tell(Command::new("LOGOUT")).await?;
    Ok(report)
}
