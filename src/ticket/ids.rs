//! Ids as types, so that a ticket's is never taken for a log entry's.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.trim_start_matches('#').parse().map($name)
            }
        }
    )+};
}

ids! {
    MailboxId,
    RelayId,
    TypeId,
    ContactId,
    AccountId,
    TicketId,
    LogEntryId,
    ArrivalId,
    OutboxId,
    InvalidId,
    ErrorId,
    BounceId,
    AlertId,
    SecretId,
    GrantId,
    ProviderId,
    /// The number of an event; decisions see what lies below theirs.
    EventNumber,
}
