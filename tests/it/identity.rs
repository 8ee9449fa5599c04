//! The same message and the same number are not the same thing: what servers, senders and other clients do to the
//! identity of a mail, and that nothing is lost or doubled by it. On both stores.

mod kept_back;
mod meanwhile;
mod oversize;
mod owed;
mod poison;
pub mod renumbered;
mod sizes;
mod threads;
mod twice;
mod withheld;
