//! The first week of a desk (M5): start from now, mail that is suddenly unknown, shadow mode. On both stores.

mod returned;
mod shadow;
mod start;
mod typed;
mod unknown;
