//! Takes out of a peer's words what was said to it in secret: servers echo what they did not understand.

/// So many bytes of a long secret in a row are no chance: a part of it that was echoed is blotted out too.
const PART: usize = 16;

/// The text with each secret in it blotted out. Of those longer than a password, also parts.
pub fn blot(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "…");
        if secret.len() >= 2 * PART && secret.is_ascii() {
            text = without_parts(&text, secret);
        }
    }
    text
}

fn without_parts(text: &str, secret: &str) -> String {
    let bytes = text.as_bytes();
    let mut is_secret = vec![false; bytes.len()];
    for (at, part) in bytes.windows(PART).enumerate() {
        if part.is_ascii() && memchr::memmem::find(secret.as_bytes(), part).is_some() {
            is_secret[at..at + PART].fill(true);
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut was_secret = false;
    for (at, c) in text.char_indices() {
        match is_secret[at] {
            false => out.push(c),
            true if !was_secret => out.push('…'),
            true => {}
        }
        was_secret = is_secret[at];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_parts_of_long_ones_are_blotted_out() {
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".to_owned();
        let secrets = ["hunter2".to_owned(), token.clone(), String::new()];
        for (text, blotted) in [
            ("LOGIN joe hunter2?", "LOGIN joe …?"),
            (&format!("für {token}!"), "für …!"),
            (&format!("cut: {}", &token[..30]), "cut: …"),
            (&format!("{}… in the middle", &token[20..40]), "…… in the middle"),
            ("hunter and ya29", "hunter and ya29"),
        ] {
            assert_eq!(blot(text, &secrets), blotted);
        }
    }
}
