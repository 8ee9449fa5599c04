//! From a skeleton to a `Message`.

use super::{Message, Skeleton};

/// Never fails: what cannot be read is a defect.
pub fn parse(_skeleton: &Skeleton) -> Message {
    Message::default()
}
