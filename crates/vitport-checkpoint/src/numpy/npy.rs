//! The header of one array: a Python dict literal that gives type, order and shape.

use super::ArrayType;
use crate::error::{Fault, Reason, refuse};
use crate::tensor::Dims;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Gives the longest header that is read; numpy's own are under 1 kB, and numpy refuses more than 10,000 bytes.
pub(super) const LONGEST: usize = 10_000;

/// Describes what the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) array_type: ArrayType,
    pub(super) fortran_order: bool,
    pub(super) shape: Dims,
    /// Gives the bytes before the first element.
    pub(super) len: u64,
}

/// Parses the beginning of an array's bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    let Some(([major, _minor], rest)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk::<2>)
    else {
        return malformed("it does not begin as one");
    };
    let (text_len, text) = match (major, rest.split_first_chunk::<2>(), rest.split_first_chunk::<4>()) {
        (1, Some((len, text)), _) => (usize::from(u16::from_le_bytes(*len)), text),
        (2 | 3, _, Some((len, text))) => (u32::from_le_bytes(*len) as usize, text),
        _ => return malformed("its version is not 1, 2 or 3"),
    };
    if text_len > LONGEST {
        return malformed("its header is longer than 10,000 bytes");
    }
    let Some(text) = text.get(..text_len).and_then(|text| std::str::from_utf8(text).ok()) else {
        return malformed("its header is cut short or no text");
    };
    let len = (bytes.len() - rest.len() + if *major == 1 { 2 } else { 4 } + text_len) as u64;
    let mut literal = Literal { rest: text };
    literal
        .header(len)
        .ok_or(())
        .or_else(|()| malformed("its header is not a dict of descr, fortran_order and shape"))
}

fn malformed<T>(why: &str) -> Result<T, Fault> {
    refuse(Reason::Malformed, format!("this is not a numpy array: {why}"))
}

/// Describes the dict literal that is left to read.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn header(&mut self, len: u64) -> Option<Header> {
        self.expect('{')?;
        let (mut descr, mut order, mut shape) = (None, None, None);
        while !self.accept('}') {
            let key = self.quoted()?;
            self.expect(':')?;
            let twice = match key {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => order.replace(self.truth()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return None,
            };
            if twice || !(self.accept(',') || self.rest.trim_start().starts_with('}')) {
                return None;
            }
        }
        if !self.rest.trim().is_empty() {
            return None;
        }
        Some(Header { array_type: ArrayType::parse(&descr?), fortran_order: order?, shape: shape?, len })
    }

    fn accept(&mut self, c: char) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Option<()> {
        self.accept(c).then_some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let trimmed = self.rest.trim_start();
        let quote = trimmed.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = trimmed.get(1..)?.split_once(quote)?;
        self.rest = rest;
        Some(text)
    }

    /// Reads a type string; the list of fields of a structured type is kept as one unknown type.
    fn descr(&mut self) -> Option<String> {
        if !self.rest.trim_start().starts_with('[') {
            return self.quoted().map(str::to_owned);
        }
        let mut depth = 0_usize;
        for (at, c) in self.rest.char_indices() {
            match c {
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 && c == ']' {
                self.rest = self.rest.get(at + 1..)?;
                return Some("|V (a structured type)".to_owned());
            }
        }
        None
    }

    fn truth(&mut self) -> Option<bool> {
        let trimmed = self.rest.trim_start();
        let (value, rest) = match (trimmed.strip_prefix("True"), trimmed.strip_prefix("False")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    fn shape(&mut self) -> Option<Dims> {
        self.expect('(')?;
        let mut shape = Dims::new();
        while !self.accept(')') {
            let trimmed = self.rest.trim_start();
            let digits = trimmed.find(|c: char| !c.is_ascii_digit())?;
            let (number, rest) = trimmed.split_at(digits);
            shape.push(number.parse().ok()?);
            // Python 2 wrote `3L`.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.bytes());
        bytes
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let header =
            parse(&array("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n")).unwrap();
        assert_eq!(header.shape[..], [3, 4]);
        assert_eq!(header.array_type, ArrayType { code: "f4".into(), big_endian: false });
        assert!(!header.fortran_order);
        let header = parse(&array("{'descr': '>i8', 'fortran_order': True, 'shape': (3L,), }")).unwrap();
        assert_eq!(header.shape[..], [3]);
        assert!(header.array_type.big_endian && header.fortran_order);
        let scalar = parse(&array("{'descr': '|b1', 'fortran_order': False, 'shape': ()}")).unwrap();
        assert!(scalar.shape.is_empty());
        let header = parse(&array(
            "{'descr': [('a', '<f4'), ('b', '<i8', (2,))], 'fortran_order': False, 'shape': (1,)}",
        ));
        assert_eq!(header.unwrap().array_type.dtype(), None);
    }

    #[test]
    fn other_headers_are_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)} x",
            "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3",
            "__import__('os')",
        ] {
            assert!(parse(&array(text)).is_err(), "{text}");
        }
        assert!(parse(b"\x93NUMPY\x01\x00\xff").is_err());
        assert!(parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").is_err());
    }
}
