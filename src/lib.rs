//! maildesk: a support mailbox becomes tickets; no message is lost, none is handled twice.
//!
//! The rooms, floor by floor. A room imports only rooms on lower floors; `tests/it/architecture.rs` names the wrong arrow.
//! Reading starts at `intake`, which holds the flow of one message; `ARCHITECTURE.md` is the map.

// 0  words: pure, no async, no I/O, no clock
pub mod clock;
pub mod crash;
pub mod failure;
pub mod mail;
pub mod seal;
pub mod ticket;

// 1  rules: pure
pub mod letters;
pub mod schedule;
pub mod triage;

// 2  settings and sight
pub mod config;
pub mod telemetry;

// 3  ground
pub mod net;
pub mod store;

// 3½
pub mod alert;
pub mod lease;

// 4  the desk
pub mod desk;

// 4½
pub mod backup;
pub mod oauth;
pub mod scanner;
pub mod scheduler;
pub mod verifier;

// 5  intake
pub mod intake;

// 6  doors
pub mod control;
pub mod outbound;
pub mod sources;
pub mod web;

// 7  assembly
pub mod cli;
pub mod daemon;
