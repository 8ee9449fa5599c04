//! Authentication-Results (RFC 8601) as data: who wrote it, and what each method found. Comments and quotes may stand
//! anywhere; what is not understood is passed over, method by method.
//!
//! The policy of DMARC has no place of its own in the grammar: each program writes it in its own way, often in a comment.

use super::checks::{Checks, Found, Outcome, Policy};

/// Characters of a field that are read.
const LIMIT: usize = 16 << 10;

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The authserv-id in lower case; none: it begins with a result at once, as Exchange Online's do.
    pub id: Option<String>,
    pub checks: Checks,
}

impl Results {
    pub fn parse(value: &str) -> Results {
        let tokens = tokens(value);
        let mut parts = tokens.split(|token| *token == Token::Semicolon);
        let head = parts.next().unwrap_or_default();
        let mut results = Results::default();
        match head.contains(&Token::Equals) {
            true => results.read(head),
            // Behind the id there may be a version.
            false => results.id = head.iter().find_map(Token::word).map(str::to_ascii_lowercase),
        }
        for part in parts {
            results.read(part);
        }
        results
    }

    /// ARC-Authentication-Results: the same behind the number of its set (RFC 8617 §4.1.1).
    pub fn parse_sealed(value: &str) -> Results {
        Results::parse(value.split_once(';').map_or("", |(_, rest)| rest))
    }

    /// `method=result (comment) reason=… ptype.property=value …`
    fn read(&mut self, part: &[Token]) {
        let pairs = pairs(part);
        let Some(((_, result), method)) = pairs.first().zip(part.iter().find_map(Token::word)) else {
            return;
        };
        let method = method.split('/').next().unwrap_or_default();
        let result = outcome(result);
        let property = |names: &[&str]| {
            let found = pairs.iter().find(|(name, _)| names.iter().any(|n| name.eq_ignore_ascii_case(n)));
            found.map(|(_, value)| *value)
        };
        let checks = &mut self.checks;
        match method.to_ascii_lowercase().as_str() {
            "spf" => {
                let of = property(&["smtp.mailfrom", "smtp.mail", "smtp.helo"]).unwrap_or_default();
                checks.spf.get_or_insert(Found::new(result, domain(of)));
            }
            "dkim" => {
                // An identity is of the signing domain, or below it.
                let of = property(&["header.d", "header.i", "header.from"]).unwrap_or_default();
                checks.dkim.push(Found::new(result, domain(of)));
            }
            "dmarc" if checks.dmarc.is_none() => {
                checks.policy = policy(part, &property);
                let of = property(&["header.from", "from"]).unwrap_or_default();
                checks.dmarc = Some(Found::new(result, domain(of)));
            }
            "arc" => {
                checks.arc.get_or_insert(Found::new(result, ""));
            }
            _ => {}
        }
    }
}

impl Checks {
    /// What a field further down adds: for each method the field on top counts.
    pub fn add(&mut self, lower: Checks) {
        self.spf = self.spf.take().or(lower.spf);
        if self.dkim.is_empty() {
            self.dkim = lower.dkim;
        }
        if self.dmarc.is_none() {
            (self.dmarc, self.policy) = (lower.dmarc, lower.policy);
        }
        self.arc = self.arc.take().or(lower.arc);
    }
}

fn outcome(word: &str) -> Outcome {
    match word.to_ascii_lowercase().as_str() {
        // Before RFC 7601.
        "hardfail" => Outcome::Fail,
        // Not RFC 8601, but Exchange: what it thinks of a domain without a record.
        "bestguesspass" => Outcome::None,
        word => word.parse().unwrap_or(Outcome::Neutral),
    }
}

/// The domain of an address, of an identity (`@example.org`), or as it stands there.
fn domain(of: &str) -> &str {
    let of = of.trim_matches(['<', '>']);
    of.rsplit_once('@').map_or(of, |(_, domain)| domain)
}

/// What the domain asks for: `policy.dmarc=reject`, `policy.published-domain-policy=reject`, Exchange's
/// `action=oreject`, Google's and OpenDMARC's `(p=REJECT …)`, Rspamd's `(policy=reject)`.
fn policy<'a>(part: &'a [Token], property: &impl Fn(&[&str]) -> Option<&'a str>) -> Policy {
    let stated = property(&["policy.dmarc", "policy.published-domain-policy", "policy.policy"]);
    let comments = part.iter().filter_map(|token| match token {
        Token::Comment(comment) => Some(comment.as_str()),
        _ => None,
    });
    let in_comment = comments
        .flat_map(|comment| comment.split([' ', ',', ';']))
        .filter_map(|word| word.split_once('='))
        .find(|(name, _)| ["p", "policy"].iter().any(|n| name.trim().eq_ignore_ascii_case(n)))
        .map(|(_, value)| value.trim());
    // Exchange: what was overruled has an `o` in front.
    let action = property(&["action"]).map(|action| action.strip_prefix('o').unwrap_or(action));
    let words = stated.or(in_comment).or(action).unwrap_or_default();
    words.to_ascii_lowercase().parse().unwrap_or_default()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Comment(String),
    Equals,
    Semicolon,
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// Names and values around each `=`; comments are left out.
fn pairs(part: &[Token]) -> Vec<(&str, &str)> {
    let bare: Vec<&Token> = part.iter().filter(|token| !matches!(token, Token::Comment(_))).collect();
    let mut pairs = vec![];
    let mut at = 0;
    while at < bare.len() {
        match (bare[at].word(), bare.get(at + 1), bare.get(at + 2).and_then(|token| token.word())) {
            (Some(name), Some(Token::Equals), Some(value)) => {
                pairs.push((name, value));
                at += 3;
            }
            _ => at += 1,
        }
    }
    pairs
}

fn tokens(value: &str) -> Vec<Token> {
    let mut tokens = vec![];
    let mut characters = value.chars().take(LIMIT).peekable();
    while let Some(c) = characters.next() {
        match c {
            ';' => tokens.push(Token::Semicolon),
            '=' => tokens.push(Token::Equals),
            '(' => tokens.push(Token::Comment(comment(&mut characters))),
            '"' => tokens.push(Token::Word(quoted(&mut characters))),
            c if c.is_whitespace() => {}
            c => {
                // A value may hold `=` itself: the end of a signature in base64.
                let is_value = tokens.last() == Some(&Token::Equals);
                let mut word = String::from(c);
                while let Some(c) = characters.next_if(|c| {
                    !c.is_whitespace() && !matches!(c, ';' | '(' | '"') && (is_value || *c != '=')
                }) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

/// RFC 5322 §3.2.2: comments nest, and a backslash takes the meaning from the next character.
fn comment(characters: &mut impl Iterator<Item = char>) -> String {
    let (mut text, mut depth) = (String::new(), 1);
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            '(' => depth += 1,
            ')' if depth == 1 => break,
            ')' => depth -= 1,
            c => text.push(c),
        }
    }
    text
}

fn quoted(characters: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => text.extend(characters.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Id, spf, dkim with domains, dmarc with domain and policy, as one line.
    fn read(value: &str) -> String {
        let Results { id, checks } = Results::parse(value);
        format!("{}: {}", id.unwrap_or_else(|| "nobody".into()), checks.evidence())
    }

    #[test]
    fn each_program_writes_its_own_way() {
        for (value, expected) in [
            // Google
            (
                "mx.google.com; dkim=pass header.i=@example.org header.s=s1 header.b=Rv/Kj+Wm==; spf=pass (google.com: \
                 domain of a@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@example.org; \
                 dmarc=pass (p=REJECT sp=NONE dis=NONE) header.from=example.org",
                "mx.google.com: spf=pass (example.org); dkim=pass (example.org); dmarc=pass (example.org), policy reject",
            ),
            // Exchange Online: no authserv-id
            (
                "spf=fail (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=none (message not signed) \
                 header.d=none;dmarc=fail action=oreject header.from=example.org;compauth=fail reason=000",
                "nobody: spf=fail (example.org); dkim=none (none); dmarc=fail (example.org), policy reject",
            ),
            // OpenDMARC
            (
                "mx.desk.test; dmarc=fail (p=quarantine dis=none) header.from=example.org",
                "mx.desk.test: dmarc=fail (example.org), policy quarantine",
            ),
            // Rspamd
            (
                "mx.desk.test;\tdkim=pass header.d=example.org header.s=a header.b=x;\tdmarc=fail reason=\"No valid SPF; \
                 p=none\" header.from=example.org (policy=reject);\tspf=softfail (mx: x) smtp.mailfrom=a@b.test",
                "mx.desk.test: spf=softfail (b.test); dkim=pass (example.org); dmarc=fail (example.org), policy reject",
            ),
            // Mail::DMARC
            (
                "mx.desk.test; dmarc=fail policy.published-domain-policy=reject header.from=a.test",
                "mx.desk.test: dmarc=fail (a.test), policy reject",
            ),
            // RFC 8601, Appendix B.7: comments everywhere, nested, and a folded value
            (
                "foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy \
                 (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462",
                "foo.example.net: dkim=fail",
            ),
            ("\"MX.desk.test\" 1; none", "mx.desk.test: nothing was found"),
            ("mx.desk.test", "mx.desk.test: nothing was found"),
            ("mx.desk.test; auth=pass (x; dmarc=pass) smtp.auth=u", "mx.desk.test: nothing was found"),
            (
                "mx.desk.test; dkim=pass (a\\) ; dmarc=pass) header.d=A.test",
                "mx.desk.test: dkim=pass (a.test)",
            ),
            ("evil.test (mx.desk.test); dmarc=pass", "evil.test: dmarc=pass, policy unknown"),
            ("mx.desk.test; dmarc=bestguesspass", "mx.desk.test: dmarc=none, policy unknown"),
            ("mx.desk.test; dmarc=(unclosed", "mx.desk.test: nothing was found"),
            ("", "nobody: nothing was found"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    #[test]
    fn the_field_on_top_counts_for_each_method() {
        let mut top =
            Results::parse("a; dkim=fail header.d=x.test; dmarc=fail (p=none) header.from=x.test").checks;
        top.add(Results::parse("a; dkim=pass header.d=x.test; dmarc=pass; spf=pass smtp.helo=x.test").checks);
        assert_eq!(top.evidence(), "spf=pass (x.test); dkim=fail (x.test); dmarc=fail (x.test), policy none");
        let sealed = Results::parse_sealed("i=2; lists.test; dmarc=pass header.from=x.test; arc=pass (i=1)");
        assert_eq!(sealed.id.as_deref(), Some("lists.test"));
        assert_eq!(sealed.checks.evidence(), "dmarc=pass (x.test), policy unknown; arc=pass");
    }
}
