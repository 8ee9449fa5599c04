//! What a sign-in asks for, and what is odd about what it was given.

use super::pending::Pending;
use super::{Flow, Owner, OwnerKind};
use crate::config::{Auth, Protocol, ProviderKind};
use crate::failure::Failure;
use crate::oauth::provider::Issued;
use crate::oauth::scope::Door;
use crate::store::Tx;

/// The user of a mailbox or relay, how it signs in, and what it speaks.
pub(super) async fn served(tx: &mut Tx, owner: &Owner) -> Result<(String, Auth, Door), Failure> {
    let id = format!("#{}", owner.id);
    Ok(match owner.kind {
        OwnerKind::Mailbox => {
            let spec = tx.find_mailbox(&id).await?.spec;
            let door = if spec.protocol == Protocol::Pop3 { Door::Pop3 } else { Door::Imap };
            (spec.username, spec.auth, door)
        }
        OwnerKind::Relay => {
            let spec = tx.find_relay(&id).await?.spec;
            (spec.username, spec.auth, Door::Smtp)
        }
    })
}

pub(super) fn usual_scopes(kind: ProviderKind, flow: Flow, door: Door) -> Vec<String> {
    let scopes: &[&str] = match (kind, flow, door) {
        (ProviderKind::Microsoft, Flow::ClientCredentials, _) => &["https://outlook.office365.com/.default"],
        // Without the last two nobody would hear that somebody else has signed in.
        (ProviderKind::Microsoft, _, Door::Imap) => {
            &["https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Microsoft, _, Door::Pop3) => {
            &["https://outlook.office.com/POP.AccessAsUser.All", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Microsoft, _, Door::Smtp) => {
            &["https://outlook.office.com/SMTP.Send", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Google, ..) => &["https://mail.google.com/"],
        (ProviderKind::Other, ..) => &[],
    };
    scopes.iter().map(|s| (*s).to_owned()).collect()
}

/// What is odd about a sign-in that went well otherwise.
pub(super) fn note(pending: &Pending, issued: &Issued) -> String {
    let unused = match pending.is_used {
        true => String::new(),
        false => format!(
            "nobody uses it before `auth = \"oauth2\"` stands in the {}'s settings",
            pending.owner_kind
        ),
    };
    let another = another_user(&pending.user, issued.user());
    let parts = [another, missing_scopes(&pending.scopes, issued.granted()), unused];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A browser is often signed in as somebody else already.
fn another_user(expected: &str, signed_in: Option<&str>) -> String {
    match signed_in {
        Some(user) if !expected.is_empty() && !user.eq_ignore_ascii_case(expected) => format!(
            "{user} has signed in, and not {expected}: that is right only where {user} may open it, as with a shared \
             mailbox; else sign in again, in a private window of the browser"
        ),
        _ => String::new(),
    }
}

/// What was asked for and not granted. Scopes about the sign-in itself are not told back.
fn missing_scopes(asked: &[String], granted: Option<Vec<String>>) -> String {
    const SILENT: [&str; 5] =
        ["offline_access", "openid", "profile", "email", "https://outlook.office365.com/.default"];
    let Some(granted) = granted else { return String::new() };
    let has = |scope: &&String| granted.iter().any(|g| g.eq_ignore_ascii_case(scope));
    let missing: Vec<&str> =
        asked.iter().filter(|s| !SILENT.contains(&s.as_str()) && !has(s)).map(String::as_str).collect();
    match missing.is_empty() {
        true => String::new(),
        false => format!(
            "the provider has not granted {}: the mail server may refuse the token",
            missing.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_follow_from_what_is_connected() {
        let of = |kind, flow, door| usual_scopes(kind, flow, door).join(" ");
        assert_eq!(
            of(ProviderKind::Microsoft, Flow::Device, Door::Pop3),
            "https://outlook.office.com/POP.AccessAsUser.All offline_access openid profile"
        );
        assert_eq!(
            of(ProviderKind::Microsoft, Flow::ClientCredentials, Door::Smtp),
            "https://outlook.office365.com/.default"
        );
        assert_eq!(of(ProviderKind::Google, Flow::Code, Door::Imap), "https://mail.google.com/");
        let asked = ["a".to_owned(), "offline_access".to_owned()];
        assert_eq!(missing_scopes(&asked, Some(vec!["A".into()])), "");
        assert!(missing_scopes(&asked, Some(vec![])).contains("not granted a:"));
        assert_eq!(another_user("ida@example.com", Some("Ida@Example.com")), "");
        assert_eq!(another_user("", Some("ida@example.com")), "");
        assert_eq!(another_user("ida@example.com", None), "");
        assert!(another_user("desk@example.com", Some("ida@example.com")).starts_with("ida@example.com has"));
    }
}
