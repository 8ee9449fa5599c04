//! Whoever signs and seals mail in the tests, with a key that is made for each run.

use base64::Engine as _;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults, DmarcOutput, DmarcResult};

use super::dns::Dns;

const SIGNED: [&str; 4] = ["From", "To", "Subject", "Message-ID"];

/// The key of all domains, under the selector `s`.
pub struct Signer(Vec<u8>);

impl Signer {
    pub fn new() -> Signer {
        Signer(Ed25519Key::generate_pkcs8().expect("a key"))
    }

    fn key(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.0).expect("the key")
    }

    /// Makes the key known.
    pub fn publish(&self, dns: &Dns, domain: &str) {
        let key = base64::engine::general_purpose::STANDARD.encode(self.key().public_key());
        dns.txt(&format!("s._domainkey.{domain}"), &format!("v=DKIM1; k=ed25519; p={key}"));
    }

    /// With a signature on top.
    pub fn signed(&self, domain: &str, message: &[u8]) -> Vec<u8> {
        let signer = DkimSigner::from_key(self.key()).domain(domain).selector("s").headers(SIGNED);
        let signature = signer.sign(message).expect("signed").to_header();
        [signature.as_bytes(), message].concat()
    }

    /// With a signature on top that ended in 1970.
    pub fn signed_long_ago(&self, domain: &str, message: &[u8]) -> Vec<u8> {
        let signer = DkimSigner::from_key(self.key()).domain(domain).selector("s").headers(SIGNED);
        let mut signature = signer.sign(message).expect("signed");
        signature.x = 1;
        [signature.to_header().as_bytes(), message].concat()
    }

    /// As a list hands it on that has found DMARC to pass for this From.
    pub fn sealed(&self, sealer: &str, from: &str, message: &[u8]) -> Vec<u8> {
        let parsed = AuthenticatedMessage::parse(message).expect("a message");
        let dmarc = DmarcOutput::new(from.to_owned()).with_dkim_result(DmarcResult::Pass);
        let results = AuthenticationResults::new(sealer).with_dmarc_result(&dmarc);
        let arc = ArcSealer::from_key(self.key()).domain(sealer).selector("s").headers(SIGNED);
        let set = arc.seal(&parsed, &results, &ArcOutput::default()).expect("sealed").to_header();
        [set.as_bytes(), message].concat()
    }
}
