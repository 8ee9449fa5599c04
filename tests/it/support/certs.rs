//! A CA of our own and its certificate for "localhost", made anew for each test process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub struct Certs {
    pub ca_pem: String,
    pub cert_pem: String,
    pub key_pem: String,
    /// Of the same CA and for the same name, but long out of date. It has the same key.
    pub expired_pem: String,
}

/// The certificate is for the name "localhost" and for no address.
pub fn certs() -> &'static Certs {
    static CERTS: OnceLock<Certs> = OnceLock::new();
    CERTS.get_or_init(|| {
        let mut ca = CertificateParams::new(Vec::new()).expect("no names are fine names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.signed_by(&key, &ca))
            .expect("a certificate");
        let mut past = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        past.not_before = rcgen::date_time_ymd(2001, 1, 1);
        past.not_after = rcgen::date_time_ymd(2002, 1, 1);
        let expired = past.signed_by(&key, &ca).expect("a certificate");
        Certs {
            ca_pem: ca.pem(),
            cert_pem: leaf.pem(),
            key_pem: key.serialize_pem(),
            expired_pem: expired.pem(),
        }
    })
}

impl Certs {
    /// Writes the CA where a client under test can be pointed at it.
    pub fn write_ca(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &self.ca_pem).expect("the test's directory is writable");
        path
    }

    /// What a TLS server in the test process needs.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        self.server_config_with(&self.cert_pem)
    }

    pub fn expired_server_config(&self) -> Arc<rustls::ServerConfig> {
        self.server_config_with(&self.expired_pem)
    }

    fn server_config_with(&self, cert_pem: &str) -> Arc<rustls::ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(cert_pem.as_bytes()).expect("made above")];
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("made above");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("a certificate with its key");
        Arc::new(config)
    }
}
