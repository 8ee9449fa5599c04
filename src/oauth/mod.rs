//! Grants of identity providers (A3): connected once by a person, kept alive from then on, whoever owns them.
//!
//! `Grants` is the door: `access_token` for whoever signs in, `refused` where a mail server did not take one, the sign-ins,
//! and `keep_alive`. A refresh is claimed in the store, asked for, and committed before the new token is used; see
//! `refresh`. What goes wrong has a code, words and advice (`refusal`), and what ends has a day (`ends`).

mod ends;
mod grants;
mod keep;
mod login;
mod provider;
mod refresh;
pub mod refusal;
pub mod scope;
mod status;

pub use grants::{AccessToken, Grants, Owner, OwnerKind};
pub use login::{Begun, Connected, Flow, Place, Polled, Wish};
pub use status::GrantLine;
