//! Dates (RFC 5322 §3.3).
