//! `maildesk ticket attachment`

use std::path::PathBuf;

use super::Context;
use super::output::{CliError, Output};
use crate::mail::decode::Decoder;
use crate::store::raw::RAW_CHUNK;
use crate::ticket::LogEntryId;

/// Bytes of the message that are decoded at a time.
const PIECE: u64 = RAW_CHUNK as u64;

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

/// Each piece is read by itself: a snapshot would stand as long as the asker is slow.
pub async fn run(args: &Args, context: &Context) -> Result<Output, CliError> {
    let place = context.store.read().await?.attachment(args.entry, args.position).await?;
    let mut decoder = Decoder::new(place.span.encoding);
    let mut at = 0;
    while at < place.span.length {
        let length = PIECE.min(place.span.length - at);
        let mut tx = context.store.read().await?;
        let piece = tx.read_raw(place.arrival, place.span.offset + at, length as usize).await?;
        drop(tx);
        let mut decoded = Vec::with_capacity(piece.len());
        decoder.feed(&piece, &mut decoded);
        context.hand_out(decoded).await?;
        at += length;
    }
    let mut rest = vec![];
    decoder.finish(&mut rest);
    context.hand_out(rest).await?;
    Ok(Output::default())
}
