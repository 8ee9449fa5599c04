//! The integration tests, in one binary: real Dovecot, a real SMTP sink, real PostgreSQL, the real program.

mod support;

mod architecture;
mod backup;
mod big_mail;
mod commands;
mod corpora;
mod crash;
mod demo;
mod docs;
mod doctor;
mod explain;
mod harness;
mod identity;
mod imap;
mod import;
mod intake;
mod maildir;
mod outbound;
mod program;
mod replay;
mod spine;
mod store_contract;
mod support_bundle;
