//! Numbers and strings, as the instructions spell them.

use super::arena::{Arena, Value};
use super::nodes::{ByteString, New};
use super::text;
use crate::error::{Fault, Reason, refuse};
use crate::source::{Origin, Stream};

/// Gives the length up to which byte strings are kept in memory even where they could be found in the file again.
const SHORT: u64 = 64 << 10;

/// Gives the longest line of protocol 0.
pub(super) const LINE: usize = 64 << 10;

/// Reads a text of `len` bytes. A long one is in memory twice while it is read, and one that is not UTF-8 three times more.
pub(super) fn read_text(stream: &mut Stream<'_>, arena: &mut Arena, len: u64) -> Result<Value, Fault> {
    let bytes = usize::try_from(len).unwrap_or(usize::MAX);
    arena.charge(if len > SHORT { bytes.saturating_mul(2) } else { bytes })?;
    let encoded = stream.take(len)?;
    match std::str::from_utf8(&encoded) {
        Ok(text) => arena.add_text(text),
        Err(_) => {
            arena.charge(bytes.saturating_mul(3))?;
            arena.add_text(&text::decode(&encoded)?)
        }
    }
}

/// Reads a byte string of `len` bytes. A long one in a file is passed over.
pub(super) fn read_bytes(stream: &mut Stream<'_>, arena: &mut Arena, len: u64) -> Result<Value, Fault> {
    let at = match stream.origin() {
        Origin::File(_) => Some(stream.position()),
        Origin::Memory(_) => None,
    };
    let bytes = if at.is_some() && len > SHORT {
        stream.skip(len)?;
        None
    } else {
        arena.charge(usize::try_from(len).unwrap_or(usize::MAX).saturating_mul(2))?;
        Some(stream.take(len)?.into())
    };
    arena.add(New::Bytes(ByteString { len, at, bytes }), 0)
}

/// Adds bytes in memory as a value.
pub(super) fn bytes_value(arena: &mut Arena, bytes: Vec<u8>) -> Result<Value, Fault> {
    let len = bytes.len() as u64;
    let payload = bytes.len().saturating_mul(2);
    arena.add(New::Bytes(ByteString { len, at: None, bytes: Some(bytes.into()) }), payload)
}

/// Parses a little-endian two's-complement number of any length; one beyond 64 bits becomes text.
pub(super) fn long(arena: &mut Arena, bytes: &[u8]) -> Result<Value, Fault> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut eight = [fill; 8];
    for (to, from) in eight.iter_mut().zip(low) {
        *to = *from;
    }
    let number = i64::from_le_bytes(eight);
    if high.iter().all(|byte| *byte == fill) && (number < 0) == negative {
        return arena.add_int(number);
    }
    let hex: String = bytes.iter().rev().take(512).map(|byte| format!("{byte:02x}")).collect();
    arena.charge(hex.len())?;
    arena.add_text(&format!("0x{hex}"))
}

/// Parses the line of an `INT` or `LONG` instruction. `I00` and `I01` are truth values.
pub(super) fn decimal(arena: &mut Arena, line: &[u8], truth_values: bool) -> Result<Value, Fault> {
    match line {
        b"00" if truth_values => return Ok(Value::Bool(false)),
        b"01" if truth_values => return Ok(Value::Bool(true)),
        _ => {}
    }
    let digits = std::str::from_utf8(line).map(|text| text.trim().trim_end_matches('L')).unwrap_or_default();
    if let Ok(number) = digits.parse() {
        return arena.add_int(number);
    }
    let is_number =
        !digits.is_empty() && digits.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return refuse(Reason::Malformed, "a number in the pickle is not a number");
    }
    arena.charge(digits.len())?;
    arena.add_text(digits)
}

/// Parses the line of a `FLOAT` instruction.
pub(super) fn float(arena: &mut Arena, line: &[u8]) -> Result<Value, Fault> {
    let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
    match number {
        Some(number) => arena.add_float(number),
        None => refuse(Reason::Malformed, "a number in the pickle is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn long_numbers() {
        let mut arena = Arena::new(&Limits::default());
        assert_eq!(long(&mut arena, &[]).unwrap(), Value::Int(0));
        assert_eq!(long(&mut arena, &[0xff]).unwrap(), Value::Int(-1));
        assert_eq!(long(&mut arena, &[0xff, 0]).unwrap(), Value::Int(255));
        let lowest = long(&mut arena, &i64::MIN.to_le_bytes()).unwrap();
        assert_eq!(arena.int(lowest), Some(i64::MIN));
        let wide = long(&mut arena, &[0, 0, 0, 0, 0, 0, 0, 0x80, 0]).unwrap();
        assert_eq!(arena.text(wide), Some("0x008000000000000000"));
        assert_eq!(decimal(&mut arena, b"-12L", false).unwrap(), Value::Int(-12));
        assert_eq!(decimal(&mut arena, b"01", true).unwrap(), Value::Bool(true));
        assert!(decimal(&mut arena, b"12;", true).is_err());
    }
}
