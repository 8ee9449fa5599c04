//! desk
pub mod delivery;
