//! Mailboxes and relays that sign in with the tokens of an identity provider.

mod login_to_mail;
mod mail;
mod sessions;
