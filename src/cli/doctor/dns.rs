//! Whether the types' domains take mail: without an MX record nothing ever comes in.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::super::checkup::Checkup;
use crate::net::mail_exchangers;
use crate::triage::Rules;

/// RFC 2606: names that are nobody's, and of which DNS knows nothing.
const NOBODYS: &[&str] =
    &["test", "example", "invalid", "localhost", "example.com", "example.net", "example.org"];

pub async fn domains(rules: &Rules) -> Vec<Checkup> {
    let named: BTreeSet<&str> = rules.types.iter().map(|t| t.address.domain()).collect();
    let real = named.into_iter().filter(|domain| !is_nobodys(domain));
    join_all(real.map(domain)).await
}

async fn domain(domain: &str) -> Checkup {
    let mut it = Checkup::of(format!("domain {domain}"));
    match mail_exchangers(domain).await {
        Ok(0) => it.warn(
            "DNS has no MX record for it: other servers may find nobody to deliver to",
            "add one, unless its mail comes by another way",
        ),
        Ok(count) => it.ok(format!("DNS has {count} MX records for it")),
        Err(e) => it.warn(format!("its MX records are not known: {e}"), "check the resolver of this machine"),
    }
    it
}

fn is_nobodys(domain: &str) -> bool {
    NOBODYS.iter().any(|name| domain == *name || domain.ends_with(&format!(".{name}")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_are_nobodys_are_not_asked_for() {
        for (domain, expected) in
            [("example.com", true), ("mail.b.test", true), ("mytest", false), ("acme.de", false)]
        {
            assert_eq!(super::is_nobodys(domain), expected, "{domain}");
        }
    }
}
