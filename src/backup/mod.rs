//! Backups as files (M12): taken while the desk goes on, whole or not there, kept in rotation, and brought back.
//!
//! What stands in such a file is the store's matter (`store/backup.rs`). Here it gets its name, its mode and its key.

mod restore;
mod rotation;
mod take;

pub use restore::{Opened, Unlock, open};
pub use rotation::{Daily, LAST};
pub use take::{Source, Taken, Told, take};
