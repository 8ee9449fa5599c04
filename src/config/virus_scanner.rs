//! `[virus_scanner]`: a clamd that is asked before an attachment is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::{Wrong, section};
use super::under;
use super::words::Unscanned;

section! {
    /// ClamAV's daemon, asked about each message before it is decided. What it finds goes to the invalid queue.
    VirusScannerSection {
        /// Its socket (`unix:/run/clamav/clamd.ctl`) or its host and port (`127.0.0.1:3310`); empty: nobody is asked. By
        /// host and port the mail goes there in the clear.
        address: String = String::new(), example "\"unix:/run/clamav/clamd.ctl\"";
        /// A larger message is not sent to it. Not more than StreamMaxLength in clamd.conf.
        size_limit_mb: u64 = 25;
        /// So many seconds one message may take.
        timeout_s: u64 = 60;
        /// What becomes of a message that it cannot be asked about. `wait`: it waits, undecided, until the scanner answers,
        /// and one over the limit goes to the invalid queue; `take`: both are taken in unscanned.
        unscanned: Unscanned = Unscanned::Wait;
    }
}

/// `[virus_scanner]`, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirusScanner {
    pub address: ScannerAddress,
    pub size_limit_bytes: u64,
    pub timeout: Duration,
    pub unscanned: Unscanned,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannerAddress {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
}

impl VirusScannerSection {
    /// `None`: nobody is asked.
    pub fn resolve(&self, folder: &Path) -> Result<Option<VirusScanner>, Wrong> {
        if !(1..=4000).contains(&self.size_limit_mb) {
            return Err(Wrong::new("size_limit_mb", "must be between 1 and 4000"));
        }
        if !(1..=3600).contains(&self.timeout_s) {
            return Err(Wrong::new("timeout_s", "must be between 1 and 3600"));
        }
        let Some(address) = address_of(self.address.trim(), folder)? else { return Ok(None) };
        Ok(Some(VirusScanner {
            address,
            size_limit_bytes: self.size_limit_mb * 1_000_000,
            timeout: Duration::from_secs(self.timeout_s),
            unscanned: self.unscanned,
        }))
    }
}

fn address_of(text: &str, folder: &Path) -> Result<Option<ScannerAddress>, Wrong> {
    let wrong = || {
        let words = "is neither a socket such as unix:/run/clamav/clamd.ctl nor a host and port such as 127.0.0.1:3310";
        Wrong::new("address", format!("{text:?} {words}"))
    };
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err(wrong())
        } else {
            Ok(Some(ScannerAddress::Unix(under(folder, path))))
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(wrong());
    }
    Ok(Some(ScannerAddress::Tcp { host: host.to_owned(), port }))
}

impl std::fmt::Display for ScannerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ScannerAddress::Unix(path) => write!(f, "{}", path.display()),
            ScannerAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_host_with_a_port() {
        let read = |text: &str| address_of(text, Path::new("/etc/maildesk")).map_err(|wrong| wrong.words);
        let tcp = |host: &str, port| Ok(Some(ScannerAddress::Tcp { host: host.into(), port }));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("unix:/run/clamd.ctl"), Ok(Some(ScannerAddress::Unix("/run/clamd.ctl".into()))));
        assert_eq!(read("unix:clamd"), Ok(Some(ScannerAddress::Unix("/etc/maildesk/clamd".into()))));
        assert_eq!(read("127.0.0.1:3310"), tcp("127.0.0.1", 3310));
        assert_eq!(read("[::1]:3310"), tcp("::1", 3310));
        assert_eq!(read("scanner.internal:1"), tcp("scanner.internal", 1));
        for bad in
            ["unix:", "/run/clamd.ctl", "localhost", "localhost:0", "localhost:99999", ":3310", "a b:1"]
        {
            assert!(read(bad).unwrap_err().contains("127.0.0.1:3310"), "{bad}");
        }
    }
}
