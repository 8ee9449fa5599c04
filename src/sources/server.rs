//! How a mail server is reached, and who signs in there: the same for IMAP and POP3.

use std::path::PathBuf;

use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::net::{self, Deadlines, Login, Stream};

#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub login: Login,
    /// In clear text, as a person names them; read in this order. POP3 has one, without a name.
    pub folders: Vec<String>,
    /// A PEM file of CAs trusted beside the system's.
    pub extra_roots: Option<PathBuf>,
    /// Where large messages lie while they are taken in.
    pub spool_dir: PathBuf,
    pub deadlines: Deadlines,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte: usually port 993 (IMAP) or 995 (POP3).
    Tls,
    /// After a few words in the clear, usually port 143 or 110; refused if the server does not offer it.
    StartTls,
    /// Never: the password or token crosses the network in the clear.
    Plain,
}

impl ServerSettings {
    /// A connection on which the server speaks first.
    pub(super) async fn dial(&self) -> Result<Stream, Failure> {
        let tcp = net::dial(&self.host, self.port, self.deadlines.dial).await?;
        match self.tls {
            Tls::Tls => self.wrap(tcp).await,
            Tls::StartTls | Tls::Plain => Ok(Stream::Plain(tcp)),
        }
    }

    /// TLS from here on.
    pub(super) async fn wrap(&self, tcp: TcpStream) -> Result<Stream, Failure> {
        net::tls::wrap(tcp, &self.host, self.extra_roots.as_deref(), self.deadlines.handshake).await
    }
}
