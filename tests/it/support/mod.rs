//! The peers that the tests run against, started privately on free ports, and stopped when dropped.

pub mod dovecot;
pub mod postgres;
pub mod program;
pub mod smtp;
