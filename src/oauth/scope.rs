//! Whether what a grant was given for is enough for a protocol, as far as that is known of a provider. Pure.

/// What an access token is to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Imap,
    Pop3,
    Smtp,
}

const GOOGLE: &str = "https://mail.google.com/";

/// The scope that is missing; nothing where none is, or nobody knows.
pub fn missing(scopes: &[String], door: Door) -> Option<&'static str> {
    let has = |wanted: &str| scopes.iter().any(|scope| scope.eq_ignore_ascii_case(wanted));
    let is_at = |host: &str| scopes.iter().any(|scope| scope.to_ascii_lowercase().starts_with(host));
    let name = match door {
        Door::Imap => "IMAP.AccessAsUser.All",
        Door::Pop3 => "POP.AccessAsUser.All",
        Door::Smtp => "SMTP.Send",
    };
    let microsoft = ["https://outlook.office.com/", "https://outlook.office365.com/"];
    if microsoft.iter().any(|host| is_at(host)) {
        // Of an application by itself the directory decides (.default).
        let is_there =
            microsoft.iter().any(|host| has(&format!("{host}{name}")) || has(&format!("{host}.default")));
        return (!is_there).then_some(name);
    }
    let is_google = is_at(GOOGLE) || is_at("https://www.googleapis.com/");
    let is_enough =
        has(GOOGLE) || (door == Door::Imap && has("https://www.googleapis.com/auth/gmail.imap_admin"));
    (is_google && !is_enough).then_some(GOOGLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_is_missing_is_named() {
        let of =
            |scopes: &str, door| missing(&scopes.split(' ').map(str::to_owned).collect::<Vec<_>>(), door);
        let imap = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access";
        assert_eq!(of(imap, Door::Imap), None);
        assert_eq!(of(imap, Door::Pop3), Some("POP.AccessAsUser.All"));
        assert_eq!(of(&imap.to_lowercase(), Door::Imap), None);
        assert_eq!(of("https://outlook.office365.com/.default", Door::Smtp), None);
        assert_eq!(of("https://outlook.office365.com/SMTP.Send", Door::Smtp), None);
        assert_eq!(of("https://www.googleapis.com/auth/gmail.readonly", Door::Imap), Some(GOOGLE));
        assert_eq!(of("https://www.googleapis.com/auth/gmail.imap_admin", Door::Imap), None);
        assert_eq!(of("https://mail.google.com/", Door::Smtp), None);
        assert_eq!(of("openid", Door::Imap), None);
    }
}
