//! `[[type]]`: what a message becomes.

use super::section::{Wrong, section};
use super::{checked_name, needed};
use crate::mail::Address;
use crate::ticket::{MailboxId, RelayId, TypeId};
use crate::triage::{Flow, ListMail, OnClosed, TypeRule};

section! {
    /// A ticket type: what a message to its addresses becomes.
    TypeSection with TypeFlags {
        /// Its name, for people.
        name: String = String::new(), required "\"Support\"";
        /// The word in the tag line of its mail: `[Support #123-789]`. Empty: the name.
        tag: String = String::new();
        /// What it is for.
        description: String = String::new();
        /// simple, assignment, or bounce (at most one active: its address takes delivery reports).
        flow: Flow = Flow::Simple;
        /// The mailbox that its mail arrives in; empty: whichever.
        mailbox: String = String::new(), live "\"support\"";
        /// The relay that its mail leaves through; empty: the first one.
        relay: String = String::new(), live "\"out\"";
        /// The addresses it answers to. `*` is any run of characters; +details are understood.
        addresses: Vec<String> = vec![], required "[\"support@example.com\", \"help-*@example.com\"]";
        /// The address that its mail comes from; empty: the first of `addresses` without `*`.
        address: String = String::new();
        /// Who is told of its tickets while nobody is assigned. Not an address that maildesk itself reads.
        admin: String = String::new(), live "\"admin@example.org\"";
        /// Who gets a copy of each new ticket. Not an address that maildesk itself reads.
        forward: Vec<String> = vec![];
        /// Takes whatever its mailbox holds that no other type answers to.
        catch_all: bool = false;
        /// What a reply to an ended ticket does: reopen, or follow_up (a new ticket).
        on_closed: OnClosed = OnClosed::Reopen;
        /// What becomes of mailing-list and bulk mail: invalid (kept for an admin), or open (a ticket).
        list_mail: ListMail = ListMail::Invalid;
        /// Whether the sender of a new ticket gets an automatic answer.
        auto_answer: bool = false;
        /// The language of its mail.
        language: String = "en".into();
        /// Whether mail becomes tickets of it.
        active: bool = true;
    }
}

/// A ticket type as it is to be, checked; mailbox and relay by name, empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSpec {
    pub name: String,
    pub tag: String,
    pub description: String,
    pub flow: Flow,
    pub mailbox: String,
    pub relay: String,
    /// Lower case, no doubles.
    pub patterns: Vec<String>,
    pub address: Address,
    pub admin: Option<Address>,
    pub forwards: Vec<Address>,
    pub is_catch_all: bool,
    pub on_closed: OnClosed,
    pub list_mail: ListMail,
    pub answers_automatically: bool,
    pub language: String,
    pub is_active: bool,
}

impl TypeSpec {
    /// What a decision needs of it, with its mailbox and relay found.
    pub fn rule(&self, id: TypeId, mailbox: Option<MailboxId>, relay: Option<RelayId>) -> TypeRule {
        TypeRule {
            id,
            name: self.name.clone(),
            tag: self.tag.clone(),
            flow: self.flow,
            mailbox,
            relay,
            address: self.address.clone(),
            patterns: self.patterns.clone(),
            admin: self.admin.clone(),
            forwards: self.forwards.clone(),
            is_catch_all: self.is_catch_all,
            on_closed: self.on_closed,
            list_mail: self.list_mail,
            answers_automatically: self.answers_automatically,
            language: self.language.clone(),
        }
    }
}

/// As it would be written.
impl From<&TypeSpec> for TypeSection {
    fn from(spec: &TypeSpec) -> TypeSection {
        TypeSection {
            name: spec.name.clone(),
            tag: spec.tag.clone(),
            description: spec.description.clone(),
            flow: spec.flow,
            mailbox: spec.mailbox.clone(),
            relay: spec.relay.clone(),
            addresses: spec.patterns.clone(),
            address: spec.address.to_string(),
            admin: spec.admin.as_ref().map_or(String::new(), Address::to_string),
            forward: spec.forwards.iter().map(Address::to_string).collect(),
            catch_all: spec.is_catch_all,
            on_closed: spec.on_closed,
            list_mail: spec.list_mail,
            auto_answer: spec.answers_automatically,
            language: spec.language.clone(),
            active: spec.is_active,
        }
    }
}

impl TypeSection {
    pub fn resolve(&self) -> Result<TypeSpec, Wrong> {
        let patterns = self.checked_patterns()?;
        Ok(TypeSpec {
            name: checked_name("name", &self.name)?,
            tag: self.checked_tag()?,
            description: self.description.clone(),
            flow: self.flow,
            mailbox: self.mailbox.clone(),
            relay: self.relay.clone(),
            address: self.checked_address(&patterns)?,
            patterns,
            admin: match self.admin.as_str() {
                "" => None,
                text => Some(address("admin", text)?),
            },
            forwards: given(&self.forward).map(|text| address("forward", text)).collect::<Result<_, _>>()?,
            is_catch_all: self.catch_all,
            on_closed: self.on_closed,
            list_mail: self.list_mail,
            answers_automatically: self.auto_answer,
            language: self.checked_language()?,
            is_active: self.active,
        })
    }

    fn checked_tag(&self) -> Result<String, Wrong> {
        let tag = if self.tag.is_empty() { &self.name } else { &self.tag };
        let is_bad = |c: char| c.is_control() || matches!(c, '[' | ']' | '#');
        if tag.trim() != tag || tag.is_empty() || tag.len() > 64 || tag.contains(is_bad) {
            let words =
                format!("{tag:?} is no tag word: 1 to 64 bytes without brackets, # or space around it");
            return Err(Wrong::new("tag", words));
        }
        Ok(tag.clone())
    }

    fn checked_patterns(&self) -> Result<Vec<String>, Wrong> {
        let mut patterns: Vec<String> = vec![];
        for text in given(&self.addresses) {
            let pattern = text.trim().to_lowercase();
            if Address::parse(&pattern.replace('*', "x")).is_none() {
                let words =
                    format!("{text:?} is no address or pattern such as support@example.com or *@example.com");
                return Err(Wrong::new("addresses", words));
            }
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        if patterns.is_empty() {
            return Err(Wrong::new("addresses", "must name at least one address"));
        }
        Ok(patterns)
    }

    fn checked_address(&self, patterns: &[String]) -> Result<Address, Wrong> {
        if !self.address.is_empty() {
            return address("address", &self.address);
        }
        let first = patterns.iter().find(|p| !p.contains('*')).and_then(|p| Address::parse(p));
        first.ok_or_else(|| Wrong::new("address", "must be given where `addresses` are patterns alone"))
    }

    fn checked_language(&self) -> Result<String, Wrong> {
        let language = needed("language", &self.language)?;
        let is_tag = language.len() <= 16 && language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_tag { Ok(language) } else { Err(Wrong::new("language", "must be a tag such as en or pt-BR")) }
    }
}

pub(super) fn address(key: &'static str, text: &str) -> Result<Address, Wrong> {
    text.parse().map_err(|words: String| Wrong::new(key, words))
}

/// What a list gives; an empty text (a flag that clears the list) is nothing.
pub(super) fn given(list: &[String]) -> impl Iterator<Item = &String> {
    list.iter().filter(|text| !text.trim().is_empty())
}
