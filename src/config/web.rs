//! `[web]`: where the daemon answers over HTTP.

use std::net::SocketAddr;

use super::section::{Wrong, section};

section! {
    /// What the daemon tells over HTTP: /healthz (how it fares) and /metrics (for Prometheus). No mail, no addresses.
    WebSection {
        /// Address and port to answer at; empty: nowhere.
        listen: String = "127.0.0.1:8025".into();
        /// Whether `listen` may be an address that other machines reach. Nobody is asked for a password there.
        beyond_loopback: bool = false;
    }
}

impl WebSection {
    /// `None`: nowhere.
    pub fn resolve(&self) -> Result<Option<SocketAddr>, Wrong> {
        if self.listen.trim().is_empty() {
            return Ok(None);
        }
        let address: SocketAddr = self.listen.trim().parse().map_err(|_| {
            let words =
                format!("{:?} is no address with a port, such as 127.0.0.1:8025 or [::1]:8025", self.listen);
            Wrong::new("listen", words)
        })?;
        if !address.ip().is_loopback() && !self.beyond_loopback {
            let words = format!(
                "{address} can be reached from other machines, and nobody is asked for a password there: give a loopback \
                 address, or `beyond_loopback = true` if that is meant"
            );
            return Err(Wrong::new("listen", words));
        }
        Ok(Some(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_reach_it_only_when_told_so() {
        let resolve = |listen: &str, beyond_loopback| {
            WebSection { listen: listen.into(), beyond_loopback }.resolve().map_err(|wrong| wrong.words)
        };
        assert_eq!(WebSection::default().resolve().unwrap().unwrap().to_string(), "127.0.0.1:8025");
        assert_eq!(resolve("", false), Ok(None));
        assert_eq!(resolve("[::1]:0", false).unwrap().unwrap().to_string(), "[::1]:0");
        assert_eq!(resolve("0.0.0.0:80", true).unwrap().unwrap().to_string(), "0.0.0.0:80");
        for bad in ["0.0.0.0:8025", "192.0.2.1:8025", "[::]:8025"] {
            assert!(resolve(bad, false).unwrap_err().contains("`beyond_loopback = true`"), "{bad}");
        }
        for bad in ["8025", "localhost:8025", "127.0.0.1"] {
            assert!(resolve(bad, true).unwrap_err().contains("such as 127.0.0.1:8025"), "{bad}");
        }
    }
}
