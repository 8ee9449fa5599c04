//! When a grant's parts end (M9), and how many days before that it is told. Pure.

use std::time::Duration;

use crate::clock::Micros;
use crate::config::{ProviderKind, ProviderSpec};

const DAY_US: i64 = 24 * 3600 * Micros::SECOND;
/// Days before an end on which it is told, the earliest first.
pub const STAGES: [i64; 4] = [14, 7, 3, 1];
/// Where a provider does not say how long an access token lasts (RFC 6749 §5.1 leaves that open).
pub const USUAL_LIFE: Duration = Duration::from_secs(3600);
/// An access token is not used in its last moments: the mail server's clock may be ahead of ours.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);
/// It is refreshed so long before its end, whether or not anybody needs it.
const LONGEST_AHEAD: Duration = Duration::from_secs(10 * 60);

/// When a refresh token that was used now ends by the provider's rules, as far as they are known: Microsoft's ends 90 days
/// after it was last used, Google's after six months.
pub fn refresh_end(spec: &ProviderSpec, now: Micros) -> Option<Micros> {
    let days = match (spec.refresh_days, spec.kind) {
        (0, ProviderKind::Microsoft) => 90,
        (0, ProviderKind::Google) => 180,
        (0, ProviderKind::Other) => return None,
        (days, _) => i64::from(days),
    };
    Some(Micros(now.0.saturating_add(days * DAY_US)))
}

/// From when on an access token is used no more.
pub fn last_use(issued: Micros, until: Micros) -> Micros {
    Micros(until.0 - part(issued, until, 4).min(LONGEST_MARGIN.as_micros() as i64))
}

/// From when on an access token is refreshed, before anybody needs it.
pub fn refresh_time(issued: Micros, until: Micros) -> Micros {
    Micros(until.0 - part(issued, until, 3).min(LONGEST_AHEAD.as_micros() as i64))
}

fn part(issued: Micros, until: Micros, of: i64) -> i64 {
    until.0.saturating_sub(issued.0).max(0) / of
}

/// Whole days until then; what is past is negative.
pub fn days_left(end: Micros, now: Micros) -> i64 {
    end.0.saturating_sub(now.0).div_euclid(DAY_US)
}

/// The stage that is told at this moment: the smallest that the end is no further away than. `None`: it is far.
pub fn stage(end: Micros, now: Micros) -> Option<i64> {
    let left = end.0.saturating_sub(now.0);
    STAGES.into_iter().rev().find(|stage| left <= stage * DAY_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Micros {
        Micros(n * DAY_US)
    }

    /// The days on which another stage begins.
    fn told(end: Micros) -> Vec<(i64, i64)> {
        let mut told = vec![];
        for n in 0..=end.0 / DAY_US {
            if let Some(stage) = stage(end, day(n))
                && told.last().is_none_or(|(_, last)| *last != stage)
            {
                told.push((n, stage));
            }
        }
        told
    }

    #[test]
    fn an_end_is_told_14_7_3_and_1_days_before() {
        assert_eq!(told(day(30)), [(16, 14), (23, 7), (27, 3), (29, 1)]);
        let spec = ProviderSpec {
            name: "m".into(),
            kind: ProviderKind::Microsoft,
            client_id: "c".into(),
            secret_until: None,
            authorize_url: String::new(),
            token_url: String::new(),
            device_url: String::new(),
            revoke_url: String::new(),
            scopes: vec![],
            redirect_url: String::new(),
            refresh_days: 0,
            timeout_s: 20,
        };
        let end = refresh_end(&spec, day(0)).unwrap();
        assert_eq!(told(end), [(76, 14), (83, 7), (87, 3), (89, 1)]);
        let other = ProviderSpec { kind: ProviderKind::Other, ..spec.clone() };
        assert_eq!(refresh_end(&other, day(0)), None);
        assert_eq!(refresh_end(&ProviderSpec { refresh_days: 5, ..other }, day(1)), Some(day(6)));
        assert_eq!(refresh_end(&ProviderSpec { kind: ProviderKind::Google, ..spec }, day(0)), Some(day(180)));
    }

    #[test]
    fn a_token_is_refreshed_before_it_is_used_no_more() {
        let at = Micros::from_seconds;
        for (until, refreshed, unused) in [(3600, 3000, 3540), (2, 1, 1), (60, 40, 45)] {
            assert_eq!(refresh_time(at(0), at(until)).0 / Micros::SECOND, refreshed, "{until}");
            assert_eq!(last_use(at(0), at(until)).0 / Micros::SECOND, unused, "{until}");
        }
    }
}
