//! What the admin has laid down, as far as a decision needs it: a snapshot, loaded once a batch.

use serde::{Deserialize, Serialize};

use super::LoopRule;
use crate::mail::Address;
use crate::ticket::{AccountId, MailboxId, RelayId, TypeId};

#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Active types only, in the order of their ids.
    pub types: Vec<TypeRule>,
    pub mailboxes: Vec<MailboxRule>,
    /// Active relays, in the order of their ids.
    pub relays: Vec<RelayRule>,
    /// Agents and admins that sign in, by their addresses.
    pub accounts: Vec<(Address, AccountId)>,
    /// Addresses or domains (`@example.com`) whose mail goes to the invalid queue.
    pub blocked: Vec<String>,
    /// The domain of the return path: that of the active bounce type's address; empty where there is none.
    pub bounce_local: String,
    pub bounce_domain: String,
    /// This desk's own mark in `X-Maildesk-Loop`.
    pub desk: String,
    pub verdicts: VerdictRule,
    pub trust: TrustRule,
    /// The tags of the system before this one in subjects, `{number}` for the digits.
    pub predecessor_tags: Vec<String>,
    /// The caps of the loop breaker.
    pub loops: LoopRule,
}

/// Which mail servers in front are ours, and what they do with verdicts of others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRule {
    /// By their names in Received, in lower case; `*.` for all below a domain; addresses, and networks (`10.0.0.0/8`).
    pub relays: Vec<String>,
    /// They take verdicts of others out of what comes in.
    pub strips_verdicts: bool,
}

/// Who finds out whether a sender is who the mail says, and how far a mail of each grade reaches (M6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRule {
    /// DKIM, SPF, DMARC and ARC are verified here.
    pub verifies: bool,
    /// The name under which a relay of ours writes Authentication-Results, in lower case; `none`: it writes no name;
    /// empty: none of them counts.
    pub authserv_id: String,
    /// Domains whose ARC seals count, in lower case.
    pub arc_sealers: Vec<String>,
    pub neutral: Reach,
    pub fail: Reach,
}

/// How far a mail reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    Full,
    /// The team is told; it neither reopens nor answers.
    Notify,
    /// It is kept where it belongs, and nobody is told.
    Quiet,
    /// It goes to the invalid queue.
    Invalid,
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
pub struct RelayRule {
    pub id: RelayId,
    /// The account's own address, the return path where VERP is off.
    pub sender: Address,
    pub verp: bool,
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

impl TrustRule {
    /// Somebody is to look.
    pub fn is_on(&self) -> bool {
        self.verifies || !self.authserv_id.is_empty()
    }
}

impl Default for TrustRule {
    fn default() -> TrustRule {
        TrustRule {
            verifies: false,
            authserv_id: String::new(),
            arc_sealers: vec![],
            neutral: Reach::Notify,
            fail: Reach::Invalid,
        }
    }
}

impl Reach {
    /// For the trace.
    pub fn words(self) -> &'static str {
        match self {
            Reach::Full => "full effect",
            Reach::Notify => "neither reopens nor answers",
            Reach::Quiet => "kept, with no effect",
            Reach::Invalid => "set aside",
        }
    }
}

impl Rules {
    pub fn of_type(&self, id: TypeId) -> Option<&TypeRule> {
        self.types.iter().find(|t| t.id == id)
    }

    /// The relay that a type's mail goes out by: its own, else the first one.
    pub fn relay_of(&self, rule: &TypeRule) -> Option<&RelayRule> {
        rule.relay.and_then(|id| self.relays.iter().find(|r| r.id == id)).or(self.relays.first())
    }

    pub fn account_of(&self, address: &Address) -> Option<AccountId> {
        self.accounts.iter().find(|(a, _)| a == address).map(|(_, id)| *id)
    }

    /// The admin address of some type.
    pub fn is_admin(&self, address: &Address) -> bool {
        self.types.iter().any(|t| t.admin.as_ref() == Some(address))
    }

    /// Speaks for the team: an account, or the admin address of some type. A +detail does not change who writes.
    pub fn is_team(&self, address: &Address) -> bool {
        let bare = address.without_detail();
        [address, &bare].into_iter().any(|a| self.account_of(a).is_some() || self.is_admin(a))
    }

    /// An address that mail of ours comes from: an automatic answer to it would come back.
    pub fn is_own_address(&self, address: &Address) -> bool {
        self.types.iter().any(|t| t.address == address.without_detail())
    }

    /// On our side of the desk: the team, an address that a type answers to or writes from, a return path. Not a contact's.
    pub fn is_ours(&self, address: &Address) -> bool {
        let is_return_path =
            address.domain() == self.bounce_domain && address.without_detail().local() == self.bounce_local;
        let answers = |t: &TypeRule| t.patterns.iter().any(|pattern| address.matches(pattern));
        self.is_team(address)
            || self.is_own_address(address)
            || is_return_path
            || self.types.iter().any(answers)
    }

    /// Where the reports of `types` come: the first address of the bounce type that is no pattern, without +detail.
    pub fn bounce_address(types: &[TypeRule]) -> Option<Address> {
        let bounce = types.iter().find(|t| t.flow == Flow::Bounce)?;
        let first = bounce.patterns.iter().find(|p| !p.contains('*')).and_then(|p| Address::parse(p));
        Some(first.unwrap_or_else(|| bounce.address.clone()).without_detail())
    }

    /// The tag word of some active type, compared without case.
    pub fn is_current_tag(&self, word: &str) -> bool {
        self.types.iter().any(|t| t.tag.to_lowercase() == word.to_lowercase())
    }

    /// The entry of the block list that names this address or its domain.
    pub fn blocked_by(&self, address: &Address) -> Option<&str> {
        let names = |entry: &str| match entry.trim().strip_prefix('@') {
            Some(domain) => domain.eq_ignore_ascii_case(address.domain()),
            None => Address::parse(entry).as_ref() == Some(address),
        };
        self.blocked.iter().map(String::as_str).find(|entry| names(entry))
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
words!(Reach { Full => "full", Notify => "notify", Quiet => "quiet", Invalid => "invalid" });
words!(ListMail { Invalid => "invalid", Open => "open" });
