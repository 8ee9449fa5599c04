//! What decisions go by, from the file alone. The ids are the places in the file: a desk that is set up from it draws its own.

use super::{AccountSpec, MailboxSpec, RelaySpec, Role, Surroundings, TypeSpec};
use crate::mail::Address;
use crate::ticket::{AccountId, MailboxId, RelayId, TypeId};
use crate::triage::{MailboxRule, RelayRule, Rules, TypeRule};

/// The checked sections of a file.
pub(super) struct Sections<'a> {
    pub surroundings: &'a Surroundings,
    pub relays: &'a [RelaySpec],
    pub mailboxes: &'a [MailboxSpec],
    pub types: &'a [TypeSpec],
    pub accounts: &'a [AccountSpec],
}

impl Sections<'_> {
    pub fn rules(&self) -> Rules {
        let types: Vec<TypeRule> =
            numbered(self.types).filter(|(_, t)| t.is_active).map(|(id, t)| self.of_type(id, t)).collect();
        let bounce = Rules::bounce_address(&types);
        let mailbox = |(id, m): (i64, &MailboxSpec)| MailboxRule {
            id: MailboxId(id),
            name: m.name.clone(),
            username: m.username.clone(),
        };
        let relay = |(id, r): (i64, &RelaySpec)| RelayRule {
            id: RelayId(id),
            sender: r.sender.clone(),
            verp: r.verp,
        };
        Rules {
            types,
            mailboxes: numbered(self.mailboxes).map(mailbox).collect(),
            relays: numbered(self.relays).filter(|(_, r)| r.is_active).map(relay).collect(),
            accounts: self.account_addresses(),
            blocked: vec![],
            bounce_local: bounce.as_ref().map_or(String::new(), |a| a.local().to_owned()),
            bounce_domain: bounce.as_ref().map_or(String::new(), |a| a.domain().to_owned()),
            desk: String::new(),
            verdicts: self.surroundings.verdicts.clone(),
            trust: self.surroundings.trust.clone(),
            predecessor_tags: self.surroundings.predecessor_tags.clone(),
            loops: self.surroundings.loops.clone(),
        }
    }

    fn of_type(&self, id: i64, spec: &TypeSpec) -> TypeRule {
        let relay = numbered(self.relays).find(|(_, r)| r.name == spec.relay);
        let relay = relay.or_else(|| numbered(self.relays).find(|(_, r)| r.is_active));
        let mailbox = numbered(self.mailboxes).find(|(_, m)| m.name == spec.mailbox);
        spec.rule(TypeId(id), mailbox.map(|(id, _)| MailboxId(id)), relay.map(|(id, _)| RelayId(id)))
    }

    /// Of those who act for the team.
    fn account_addresses(&self) -> Vec<(Address, AccountId)> {
        let acting = numbered(self.accounts).filter(|(_, a)| a.is_active && a.role != Role::ReadOnly);
        acting.flat_map(|(id, a)| a.addresses.iter().map(move |one| (one.clone(), AccountId(id)))).collect()
    }
}

fn numbered<T>(list: &[T]) -> impl Iterator<Item = (i64, &T)> {
    (1..).zip(list)
}
