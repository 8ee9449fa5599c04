//! The peers that the tests run against, started privately on free ports, and stopped when dropped.

pub mod certs;
pub mod dovecot;
pub mod peer;
pub mod postgres;
pub mod program;
pub mod smtp;
