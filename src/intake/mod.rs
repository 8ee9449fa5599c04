//! intake

pub mod source;
