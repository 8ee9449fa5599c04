//! A parameter that is cut into numbered pieces (RFC 2231 §3 and §4.1): `name*0*=utf-8''%C3; name*1*=%A4`. The pieces are
//! joined as bytes before they are decoded, for many programs cut a character in two.

use super::{charset, field, words};

/// No name of a file needs more.
const MAX_PIECES: usize = 200;

/// The value of such a parameter. None: it does not stand there in pieces.
pub(super) fn read(value: &[u8], name: &str) -> Option<String> {
    let mut pieces: Vec<(usize, bool, Vec<u8>)> = field::parameters(value)
        .filter_map(|(key, said)| {
            let (number, is_extended) = number_of(key, name)?;
            Some((number, is_extended, field::unquoted(said)))
        })
        .take(MAX_PIECES)
        .collect();
    pieces.sort_by_key(|(number, ..)| *number);
    pieces.dedup_by_key(|(number, ..)| *number);
    let (_, is_extended, first) = pieces.first_mut()?;
    let charset = if *is_extended { take_charset(first) } else { None };
    let bytes: Vec<u8> = pieces
        .into_iter()
        .flat_map(|(_, is_extended, piece)| if is_extended { percent_decoded(&piece) } else { piece })
        .collect();
    Some(match charset {
        Some(charset) => words::clean(&charset::decode(&bytes, Some(&charset)).0),
        None => words::decode(&bytes),
    })
}

/// Of `filename*2*` the number, and whether it ends with a star, which says that it is percent-encoded.
fn number_of(key: &[u8], name: &str) -> Option<(usize, bool)> {
    let (said, number) = key.split_at_checked(name.len())?;
    let number = std::str::from_utf8(number.strip_prefix(b"*")?).ok()?;
    let (number, is_extended) = number.strip_suffix('*').map_or((number, false), |n| (n, true));
    (said.eq_ignore_ascii_case(name.as_bytes())).then_some(())?;
    Some((number.parse().ok()?, is_extended))
}

/// `utf-8'en'` in front of the first piece.
fn take_charset(piece: &mut Vec<u8>) -> Option<String> {
    let mut quotes = memchr::memchr_iter(b'\'', piece);
    let (first, second) = (quotes.next()?, quotes.next()?);
    let charset = String::from_utf8_lossy(&piece[..first]).into_owned();
    piece.drain(..=second);
    Some(charset)
}

fn percent_decoded(piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.len());
    let mut rest = piece;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = tail;
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => out.push(*first),
        }
    }
    out
}
