//! The integration tests, in one binary: real Dovecot, a real SMTP sink, real PostgreSQL, the real program.

mod support;

mod architecture;
mod backup;
mod big_mail;
mod commands;
mod corpora;
mod crash;
mod deliver;
mod demo;
mod docs;
mod doctor;
mod explain;
mod failures;
mod first_week;
mod harness;
mod health;
mod identity;
mod imap;
mod import;
mod install;
mod intake;
mod log_events;
mod mailboxes;
mod maildir;
mod outbound;
mod pages;
mod pop3;
mod program;
mod replay;
mod scheduler;
mod space;
mod spine;
mod store_contract;
mod support_bundle;
mod systemd;
