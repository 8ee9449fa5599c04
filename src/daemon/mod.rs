//! The process: starts all, stops all in order.

mod works;

pub use works::Works;
