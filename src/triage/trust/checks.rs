//! What was found out about a message's sender, in the words of RFC 8601, whoever looked.

use serde::{Deserialize, Serialize};

use crate::mail::Address;
use crate::triage::rules::words;

/// What each method found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checks {
    /// Of the envelope's sender, or of HELO where that is null (RFC 7208 §2.4). None: not looked at.
    pub spf: Option<Found>,
    /// One for each signature.
    pub dkim: Vec<Found>,
    pub dmarc: Option<Found>,
    /// What the domain asks for where DMARC fails, as far as it is known.
    pub policy: Policy,
    pub arc: Option<Found>,
    /// Who has sealed a chain that is whole, newest first, each with what he had found.
    pub chain: Vec<Sealed>,
    /// Why not all was looked at.
    pub gap: String,
}

/// What one method found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub result: Outcome,
    /// Whom it is about: of SPF the envelope's domain, of DKIM and ARC who signed, of DMARC that of From; empty: not said.
    pub domain: String,
}

/// RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    Fail,
    SoftFail,
    Neutral,
    None,
    Policy,
    TempError,
    PermError,
}

words!(Outcome {
    Pass => "pass",
    Fail => "fail",
    SoftFail => "softfail",
    Neutral => "neutral",
    None => "none",
    Policy => "policy",
    TempError => "temperror",
    PermError => "permerror"
});

/// What a domain asks for where DMARC fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    Unknown,
    None,
    Quarantine,
    Reject,
}

words!(Policy { Unknown => "unknown", None => "none", Quarantine => "quarantine", Reject => "reject" });

/// One seal of an ARC chain (RFC 8617).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub domain: String,
    pub checks: Checks,
}

impl Found {
    pub fn new(result: Outcome, domain: impl Into<String>) -> Found {
        Found { result, domain: domain.into().to_ascii_lowercase() }
    }

    pub fn has_passed(&self) -> bool {
        self.result == Outcome::Pass
    }

    /// For evidence: `pass (example.org)`.
    fn words(&self) -> String {
        match self.domain.as_str() {
            "" => self.result.to_string(),
            domain => format!("{} ({domain})", self.result),
        }
    }
}

impl Checks {
    /// Nothing could be found out, and why.
    pub fn gap(why: impl Into<String>) -> Checks {
        Checks { gap: why.into(), ..Checks::default() }
    }

    /// What vouches for this very From: DMARC, or a signature of exactly its domain. That one would pass DMARC under any
    /// record, so it proves the sender where there is no record, too.
    pub fn proof_of(&self, from: &Address) -> Option<String> {
        let domain = from.domain();
        if self.dmarc_of(from).is_some_and(Found::has_passed) {
            return Some(format!("DMARC passes for {domain}"));
        }
        let signed = self.dkim.iter().any(|found| found.has_passed() && found.domain == domain);
        signed.then(|| format!("a DKIM signature of {domain} holds"))
    }

    /// DMARC's word, if it is about this From: a message may show another From than the one that was looked at.
    pub fn dmarc_of(&self, from: &Address) -> Option<&Found> {
        self.dmarc.as_ref().filter(|found| found.domain.is_empty() || found.domain == from.domain())
    }

    /// Of several signatures the word about the one that counts most.
    pub fn dkim_word(&self) -> Option<Outcome> {
        let rank = |result: &Outcome| match result {
            Outcome::Pass => 0,
            Outcome::TempError => 1,
            Outcome::Fail => 2,
            _ => 3,
        };
        self.dkim.iter().map(|found| found.result).min_by_key(rank)
    }

    /// For the trace.
    pub fn evidence(&self) -> String {
        let mut said = vec![];
        let single = [("spf", &self.spf), ("dmarc", &self.dmarc), ("arc", &self.arc)];
        let of = |name: &str| single.iter().find(|(n, _)| *n == name).and_then(|(_, found)| found.as_ref());
        said.extend(of("spf").map(|found| format!("spf={}", found.words())));
        said.extend(self.dkim.iter().map(|found| format!("dkim={}", found.words())));
        said.extend(of("dmarc").map(|found| format!("dmarc={}, policy {}", found.words(), self.policy)));
        said.extend(of("arc").map(|found| format!("arc={}", found.words())));
        said.extend(self.chain.iter().map(|seal| format!("sealed by {}", seal.domain)));
        said.extend(Some(self.gap.clone()).filter(|gap| !gap.is_empty()));
        match said.is_empty() {
            true => "nothing was found".to_owned(),
            false => said.join("; "),
        }
    }
}
