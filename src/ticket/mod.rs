//! Ticket, log entry, contact: the words of the desk as types, and the rules of the statuses as data.

pub mod ids;
pub mod status;

pub use ids::*;
pub use status::Status;
