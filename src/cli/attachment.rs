//! `maildesk ticket attachment`

use std::path::PathBuf;

use super::Context;
use super::output::{CliError, Output};
use crate::mail::decode::Decoder;
use crate::ticket::LogEntryId;

/// What a response carries at most: it is in memory whole, here and in the daemon.
pub const RAW_LIMIT: u64 = 128 << 20;
/// Bytes of the message that are decoded at a time.
const PIECE: u64 = 1 << 20;

/// The bytes of an attachment, on standard output or into a file
#[derive(Debug, clap::Args)]
#[command(after_help = "`ticket show` names entries and positions.\n\n\
    Example:\n  maildesk ticket attachment 7 0 > invoice.pdf")]
pub struct Args {
    #[arg(value_name = "ENTRY")]
    entry: LogEntryId,
    #[arg(value_name = "POSITION")]
    position: i64,
    /// A new file; one that is there is not written over
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

pub async fn run(args: &Args, context: &Context) -> Result<Output, CliError> {
    let mut tx = context.store.read().await?;
    let place = tx.attachment(args.entry, args.position).await?;
    if place.size > RAW_LIMIT || place.span.length > 2 * RAW_LIMIT {
        return Err(CliError::data(format!("the attachment has {} bytes: too many to hand out", place.size)));
    }
    let mut raw = Vec::with_capacity(usize::try_from(place.size).unwrap_or_default());
    let mut decoder = Decoder::new(place.span.encoding);
    let mut at = 0;
    while at < place.span.length {
        let length = PIECE.min(place.span.length - at);
        let piece = tx.read_raw(place.arrival, place.span.offset + at, length as usize).await?;
        decoder.feed(&piece, &mut raw);
        at += length;
    }
    decoder.finish(&mut raw);
    Ok(Output { raw, ..Output::default() })
}
