//! What the admin has laid down, as far as a decision needs it: a snapshot, loaded once a batch.

use serde::{Deserialize, Serialize};

use crate::mail::Address;
use crate::ticket::{AccountId, MailboxId, RelayId, TypeId};

#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Active types only, in the order of their ids.
    pub types: Vec<TypeRule>,
    pub mailboxes: Vec<MailboxRule>,
    /// Agents and admins that sign in, by their addresses.
    pub accounts: Vec<(Address, AccountId)>,
    /// Addresses or domains (`@example.com`) whose mail goes to the invalid queue.
    pub blocked: Vec<String>,
    /// The domain of the return path: that of the active bounce type's address; empty where there is none.
    pub bounce_local: String,
    pub bounce_domain: String,
    /// This desk's own mark in `X-Maildesk-Loop`.
    pub desk: String,
}

#[derive(Clone, Debug)]
pub struct TypeRule {
    pub id: TypeId,
    pub name: String,
    pub tag: String,
    pub flow: Flow,
    pub mailbox: Option<MailboxId>,
    pub relay: Option<RelayId>,
    /// Where its mail comes from.
    pub address: Address,
    /// Addresses it answers to: exact, or with `*` for any run of characters.
    pub patterns: Vec<String>,
    pub admin: Option<Address>,
    pub forwards: Vec<Address>,
    pub is_catch_all: bool,
    pub on_closed: OnClosed,
    pub list_mail: ListMail,
    pub answers_automatically: bool,
    pub language: String,
}

#[derive(Clone, Debug)]
pub struct MailboxRule {
    pub id: MailboxId,
    pub name: String,
    pub username: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    Simple,
    Assignment,
    Bounce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClosed {
    Reopen,
    FollowUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListMail {
    Invalid,
    Open,
}

impl Rules {
    pub fn of_type(&self, id: TypeId) -> Option<&TypeRule> {
        self.types.iter().find(|t| t.id == id)
    }

    pub fn account_of(&self, address: &Address) -> Option<AccountId> {
        self.accounts.iter().find(|(a, _)| a == address).map(|(_, id)| *id)
    }

    /// The admin address of some type.
    pub fn is_admin(&self, address: &Address) -> bool {
        self.types.iter().any(|t| t.admin.as_ref() == Some(address))
    }

    /// Speaks for the team: an account, or the admin address of some type.
    pub fn is_team(&self, address: &Address) -> bool {
        self.account_of(address).is_some() || self.is_admin(address)
    }
}

/// The names of a closed list, there and back: the same in config, commands and store.
macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ }) => {
        impl $type {
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(word: &str) -> Result<$type, String> {
                match word {
                    $($word => Ok($type::$variant),)+
                    _ => Err(format!("must be one of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use words;

words!(Flow { Simple => "simple", Assignment => "assignment", Bounce => "bounce" });
words!(OnClosed { Reopen => "reopen", FollowUp => "follow_up" });
words!(ListMail { Invalid => "invalid", Open => "open" });
