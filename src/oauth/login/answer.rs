//! The address that a browser came to, as a person pastes it.

use oauth2::url::form_urlencoded;

use crate::oauth::refusal::{Next, Refusal, judge};
use crate::seal::Secret;

/// The code in the address that a browser came to (RFC 6749 §4.1.2).
pub(super) fn code_of(answer: &str, state: &str) -> Result<Secret, Refusal> {
    let odd =
        |words: &str| Err(Refusal { is_settled: true, ..Refusal::new("bad_request", Next::SignIn, words) });
    let answer = answer.trim();
    let query = answer.split_once('?').map_or(answer, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    // Before anything else is believed: it belongs to this very sign-in.
    if get("state") != Some(state) {
        return odd("that address does not belong to this sign-in: copy all of it, from http to the end");
    }
    if let Some(error) = get("error") {
        let body = serde_json::json!({
            "error": error,
            "error_description": get("error_description").unwrap_or_default(),
        });
        judge(400, None, body.to_string().as_bytes())?;
    }
    match get("code") {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => odd("there is no code in that address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_from_whatever_is_pasted_of_this_sign_in() {
        let code = |answer: &str| code_of(answer, "s1").map(|c| c.expose().to_owned()).map_err(|r| r.told());
        for answer in [
            "http://localhost:8400/?code=a%2Fb&state=s1",
            "  http://localhost:8400/?state=s1&code=a%2Fb&session_state=x#frag \n",
            "code=a%2Fb&state=s1",
        ] {
            assert_eq!(code(answer).as_deref(), Ok("a/b"), "{answer}");
        }
        assert!(code("http://localhost/?code=x&state=s2").unwrap_err().contains("does not belong"));
        assert!(code("http://localhost/?code=x").unwrap_err().contains("does not belong"));
        assert!(code("http://localhost/?state=s1").unwrap_err().contains("no code"));
        let declined = "http://localhost/?error=access_denied&error_description=no&state=s1";
        assert!(code(declined).unwrap_err().starts_with("the sign-in was declined"));
    }
}
