//! TLS on a connection: rustls with ring, the system's roots, and on wish a file of further ones.
//!
//! STARTTLS is spoken by the caller, who then hands the bare connection to `wrap`. Certificates are always checked;
//! a server with a certificate of its own is trusted by its CA file, never by looking away.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Stream;
use crate::clock::Micros;
use crate::failure::{Failure, Kind};

/// Speaks TLS on `stream`, which must lead to `host`, within `deadline`. The roots are read anew each time, so a
/// renewed CA bundle needs no restart.
pub async fn wrap(
    stream: TcpStream,
    host: &str,
    extra_roots: Option<&Path>,
    deadline: Duration,
) -> Result<Stream, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|e| {
        Failure::permanent(format!("{host:?} is not a host name")).kind(Kind::Settings).because(e)
    })?;
    let file = extra_roots.map(Path::to_owned);
    let roots = tokio::task::spawn_blocking(move || roots(file.as_deref()))
        .await
        .map_err(|e| Failure::temporary("reading the CA certificates failed").because(e))??;
    let connector = TlsConnector::from(Arc::new(configuration(roots)?));
    match timeout(deadline, connector.connect(name, stream)).await {
        Ok(Ok(tls)) => Ok(Stream::Tls(Box::new(tls))),
        Ok(Err(error)) => Err(refused(host, error)),
        Err(_) => Err(Failure::temporary(format!(
            "{host} does not answer in the TLS handshake: check that this port speaks TLS"
        ))
        .kind(Kind::Silent)),
    }
}

pub(super) fn configuration(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::permanent("no TLS version in common with the TLS library").because(e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

pub(super) fn roots(extra: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A few broken certificates in a system's bundle are usual, and no reason to distrust the rest.
    roots.add_parsable_certificates(native.certs);
    if let Some(file) = extra {
        add_file(&mut roots, file)?;
    }
    if roots.is_empty() {
        let words = "this machine has no CA certificates: install the package ca-certificates";
        return Err(Failure::temporary(words).kind(Kind::TlsUntrusted));
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), Failure> {
    let unusable =
        || Failure::temporary(format!("cannot use the CA file {}", file.display())).kind(Kind::Settings);
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| unusable().because(e))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| unusable().because(e))?;
        roots.add(certificate).map_err(|e| unusable().because(e))?;
    }
    Ok(())
}

fn refused(host: &str, error: io::Error) -> Failure {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let words = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => certificate_words(host, why),
        Some(rustls::Error::InvalidMessage(_)) => {
            format!("{host} does not speak TLS on this port: use its TLS port, or STARTTLS")
        }
        Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)) => {
            format!("{host} and maildesk have no TLS version or cipher in common: TLS 1.2 is the least")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{host} closed the connection in the TLS handshake")
        }
        _ => format!("the TLS handshake with {host} failed"),
    };
    let kind = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => certificate_kind(why),
        _ => Kind::TlsRefused,
    };
    let failure = Failure::temporary(words).kind(kind);
    match inner {
        // The words say it already, and better than the library.
        Some(rustls::Error::InvalidCertificate(why)) if is_worded(why) => failure,
        _ => failure.because(error),
    }
}

fn is_worded(why: &CertificateError) -> bool {
    certificate_kind(why) != Kind::TlsUntrusted || matches!(why, CertificateError::UnknownIssuer)
}

fn certificate_kind(why: &CertificateError) -> Kind {
    use CertificateError as C;
    match why {
        C::NotValidForName | C::NotValidForNameContext { .. } => Kind::TlsName,
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
            Kind::TlsExpired
        }
        _ => Kind::TlsUntrusted,
    }
}

fn certificate_words(host: &str, why: &CertificateError) -> String {
    use CertificateError as C;
    match why {
        C::UnknownIssuer => format!(
            "the certificate of {host} comes from an unknown CA: install that CA on this machine, or name its file in the settings"
        ),
        C::NotValidForName => format!(
            "the certificate is not for {host}: connect to the server by the name that its certificate carries"
        ),
        C::NotValidForNameContext { presented, .. } => format!(
            "the certificate is not for {host} but for {}: connect to the server by that name",
            names(presented)
        ),
        C::ExpiredContext { not_after, .. } => {
            let end = Micros::from_seconds(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX));
            format!(
                "the certificate of {host} has expired at {}: the server's operator must renew it",
                end.rfc3339()
            )
        }
        C::Expired => format!("the certificate of {host} has expired: the server's operator must renew it"),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet: check this machine's clock")
        }
        C::Revoked => format!("the certificate of {host} is revoked: the server's operator must renew it"),
        _ => format!("the certificate of {host} is not acceptable"),
    }
}

/// rustls names them as `DnsName("mail.example.org")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| match name.split('"').nth(1) {
        Some(inner) => inner.to_owned(),
        None => name.clone(),
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}
