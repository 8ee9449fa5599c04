//! The trace of a decision: which rule looked at the message, what it saw, and what it made of that (M3, B11).

use std::fmt::Display;

use super::Step;

/// Longest evidence kept: it is read by people, and a header field may be as long as its sender likes.
const EVIDENCE_LIMIT: usize = 300;

#[derive(Debug, Default)]
pub struct Trace(Vec<Step>);

impl Trace {
    pub fn note(&mut self, rule: &str, evidence: impl Display, verdict: impl Display) {
        self.0.push(Step {
            rule: rule.to_owned(),
            evidence: clipped(&evidence.to_string()),
            verdict: clipped(&verdict.to_string()),
        });
    }

    pub fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

/// At most `EVIDENCE_LIMIT` characters, on one line.
pub fn clipped(text: &str) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = characters.by_ref().take(EVIDENCE_LIMIT).collect();
    if characters.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_one_line_of_bounded_length() {
        assert_eq!(clipped("a\r\nb"), "a  b");
        assert_eq!(clipped(&"ü".repeat(1000)).chars().count(), EVIDENCE_LIMIT + 1);
    }
}
