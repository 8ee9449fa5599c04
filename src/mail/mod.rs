//! An e-mail as data (RFC 5322, RFC 2045 to 2049): pure, never fails, bounded in memory.
//!
//! `scan` reads bytes once and leaves a skeleton: headers and small text leaves, with big or binary leaves as spans.
//! `parse` turns a skeleton into a `Message`. What is wrong with a mail is data (`defects`), not an error.

pub mod address;
mod body;
mod charset;
pub mod compose;
mod content;
mod continued;
pub mod date;
pub mod decode;
pub mod display;
pub mod dsn;
mod field;
mod flowed;
mod html;
mod list;
pub mod message;
pub mod message_id;
pub mod parse;
pub mod phrases;
pub mod quoting;
mod raw_header;
pub mod scan;
pub mod subject;
mod tnef;
pub mod transfer;
mod uuencode;
mod words;

pub use address::{Address, NamedAddress};
pub use message::{Attachment, Defect, Encoding, Header, Message, Outer, ReturnPath, Span};
pub use message_id::{MailKeys, MessageId, OurToken};
pub use parse::parse;
pub use scan::{Skeleton, scan};
