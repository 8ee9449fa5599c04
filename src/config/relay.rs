//! `[[relay]]`: an account through which mail leaves the house.

use std::path::Path;

use super::section::{Password, Wrong, section};
use super::words::{Auth, RelayKind, Tls};
use super::{checked_name, needed, no_password_beside, password_of, under};
use crate::mail::Address;
use crate::seal::Secret;

section! {
    /// An account through which mail leaves the house. A type names the one that it sends through.
    RelaySection with RelayFlags {
        /// Its name, for people and for the types that send through it.
        name: String = String::new(), required "\"out\"";
        /// smtp, or folder: mail is written as files into `path`.
        kind: RelayKind = RelayKind::Smtp;
        /// The SMTP server.
        host: String = String::new(), live "\"smtp.example.com\"";
        /// Its port; 0: 465 for tls, 587 for starttls, 25 for plain.
        port: u16 = 0;
        /// tls (from the first byte), starttls, or plain (in the clear: for a server on this machine).
        tls: Tls = Tls::Tls;
        /// Of kind folder: where to write.
        path: String = String::new(), example "\"sent\"";
        /// password, or oauth2: the access tokens of a grant, which `maildesk oauth login` gets.
        auth: Auth = Auth::Password;
        /// Who signs in; empty: nobody does. With oauth2 it must be given.
        username: String = String::new(), live "\"support@example.com\"";
        /// The account's own address: the return path where `verp` is off.
        sender: String = String::new(), required "\"support@example.com\"";
        /// Whether the account may send with return paths of ours in the domain of the bounce type (VERP).
        verp: bool = true;
        /// Whether mail may leave through it.
        active: bool = true;
        /// The password from a file: its first line.
        password_file: String = String::new(), example "\"out.password\"";
    }
    secret {
        /// The password itself; better in a file of its own.
        password: Password, example "\"…\"";
    }
}

/// A relay as it is to be, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySpec {
    pub name: String,
    pub kind: RelayKind,
    /// Of a folder: its path.
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub auth: Auth,
    pub username: String,
    pub sender: Address,
    pub verp: bool,
    pub is_active: bool,
}

/// As it would be written.
impl From<&RelaySpec> for RelaySection {
    fn from(spec: &RelaySpec) -> RelaySection {
        let (host, path) = match spec.kind {
            RelayKind::Smtp => (spec.host.clone(), String::new()),
            RelayKind::Folder => (String::new(), spec.host.clone()),
        };
        RelaySection {
            name: spec.name.clone(),
            kind: spec.kind,
            host,
            path,
            port: if spec.port == usual_port(spec.tls) { 0 } else { spec.port },
            tls: spec.tls,
            auth: spec.auth,
            username: spec.username.clone(),
            sender: spec.sender.to_string(),
            verp: spec.verp,
            active: spec.is_active,
            ..RelaySection::default()
        }
    }
}

fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::Tls => 465,
        Tls::Starttls => 587,
        Tls::Plain => 25,
    }
}

impl RelaySection {
    pub fn resolve(&self, folder: &Path) -> Result<RelaySpec, Wrong> {
        let host = match self.kind {
            RelayKind::Smtp => needed("host", &self.host)?,
            RelayKind::Folder => under(folder, &needed("path", &self.path)?).to_string_lossy().into_owned(),
        };
        Ok(RelaySpec {
            name: checked_name("name", &self.name)?,
            kind: self.kind,
            host,
            port: if self.port == 0 { usual_port(self.tls) } else { self.port },
            tls: self.tls,
            auth: self.checked_auth()?,
            username: self.username.clone(),
            sender: self.sender.parse().map_err(|words: String| Wrong::new("sender", words))?,
            verp: self.verp,
            is_active: self.active,
        })
    }

    fn checked_auth(&self) -> Result<Auth, Wrong> {
        if self.auth == Auth::Oauth2 {
            if self.kind == RelayKind::Folder {
                return Err(Wrong::new("auth", "nobody signs in at a folder: leave it out"));
            }
            needed("username", &self.username)?;
        }
        no_password_beside(self.auth, &self.password, &self.password_file)?;
        Ok(self.auth)
    }

    /// The password it gives, itself or by its file.
    pub fn read_password(&self, folder: &Path) -> Result<Option<Secret>, Wrong> {
        password_of(&self.password, &self.password_file, folder)
    }
}
