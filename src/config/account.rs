//! `[[account]]`: people who sign in.

use super::section::{Wrong, section};
use super::ticket_type::{address, given};
use super::words::Role;
use super::{checked_name, needed};
use crate::mail::Address;

section! {
    /// A person of the team. Mail from these addresses is the team's, not a customer's.
    AccountSection with AccountFlags {
        /// The name to sign in with.
        login: String = String::new(), required "\"agent\"";
        /// The name for people; empty: the login.
        name: String = String::new(), live "\"Agent\"";
        /// admin, agent, or read_only.
        role: Role = Role::Agent;
        /// The addresses that this person writes from; the first one is told of assigned tickets.
        addresses: Vec<String> = vec![], live "[\"agent@example.org\"]";
        /// Whether this person may sign in.
        active: bool = true;
    }
}

/// An account as it is to be, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSpec {
    pub login: String,
    pub name: String,
    pub role: Role,
    pub addresses: Vec<Address>,
    pub is_active: bool,
}

/// As it would be written.
impl From<&AccountSpec> for AccountSection {
    fn from(spec: &AccountSpec) -> AccountSection {
        AccountSection {
            login: spec.login.clone(),
            name: spec.name.clone(),
            role: spec.role,
            addresses: spec.addresses.iter().map(Address::to_string).collect(),
            active: spec.is_active,
        }
    }
}

impl AccountSection {
    pub fn resolve(&self) -> Result<AccountSpec, Wrong> {
        let login = checked_name("login", &needed("login", &self.login)?)?;
        let mut addresses: Vec<Address> = vec![];
        for text in given(&self.addresses) {
            let address = address("addresses", text)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let name = if self.name.is_empty() { login.clone() } else { self.name.clone() };
        Ok(AccountSpec { login, name, role: self.role, addresses, is_active: self.active })
    }
}
