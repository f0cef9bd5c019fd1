//! The header of a safetensors file: JSON that says of every tensor its dtype, its shape and where its bytes lie. A header of
//! ten thousand tensors takes more memory than all else that is known of them, so it is never whole: its length is counted,
//! and any run of its bytes is written when the block of the file that holds it is filled.

use serde_json::Value;

use crate::plan::Target;

/// The member of the header that is no tensor.
pub(super) const METADATA: &str = "__metadata__";

/// What stands behind the last tensor, of which as much as the header's length is a multiple of eight.
const CLOSING: &[u8] = b"}       ";

/// Bytes of the header's length, before the header.
const LENGTH: usize = 8;

/// Tensors from one mark to the next.
const MARKED: usize = 64;

/// The length of a header, and where to begin when a part of it is written.
#[derive(Debug)]
pub struct Header {
    len: usize,
    marks: Vec<Mark>,
}

/// Where the member of one of the tensors begins in the file, and where its bytes begin behind the header.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    begin: u64,
}

impl Header {
    /// The header of tensors whose bytes follow one another in this order.
    pub(super) fn of(tensors: &[&Target]) -> Self {
        let mut length = Length(0);
        let mut marks = vec![Mark { at: 0, begin: 0 }];
        write_opening(&mut length, 0);
        let mut begin = 0;
        for (number, tensors) in tensors.chunks(MARKED).enumerate() {
            if number > 0 {
                marks.push(Mark { at: length.0, begin });
            }
            for tensor in tensors {
                begin = write_member(&mut length, tensor, begin);
            }
        }
        Self { len: length.0.saturating_add(1).next_multiple_of(8), marks }
    }

    /// How many bytes of the file it takes, its length included.
    pub fn bytes(&self) -> u64 {
        self.len as u64
    }

    /// How many bytes it says that it has.
    pub(super) fn text_len(&self) -> usize {
        self.len.saturating_sub(LENGTH)
    }

    /// Fills `out` with the bytes from `position` of the file on. The tensors are those that it was made of.
    pub(super) fn fill(&self, tensors: &[&Target], position: usize, out: &mut [u8]) {
        let first = self.marks.partition_point(|mark| mark.at <= position).saturating_sub(1);
        let Some(&Mark { at, mut begin }) = self.marks.get(first) else { return };
        let mut window = Window { skipped: position.saturating_sub(at), out };
        if first == 0 {
            write_opening(&mut window, self.text_len());
        }
        for tensor in tensors.iter().skip(first.saturating_mul(MARKED)) {
            if window.out.is_empty() {
                return;
            }
            begin = write_member(&mut window, tensor, begin);
        }
        window.push(CLOSING);
    }
}

/// What a header is written to.
trait Sink {
    fn push(&mut self, bytes: &[u8]);
    fn push_number(&mut self, number: u64);
}

/// Only the length of what is written.
struct Length(usize);

impl Sink for Length {
    fn push(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }

    fn push_number(&mut self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        self.0 = self.0.saturating_add(digits);
    }
}

/// A run of what is written, behind a number of bytes that are not wanted.
struct Window<'a> {
    skipped: usize,
    out: &'a mut [u8],
}

impl Sink for Window<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let Some(bytes) = bytes.get(self.skipped..) else {
            self.skipped -= bytes.len();
            return;
        };
        self.skipped = 0;
        let out = std::mem::take(&mut self.out);
        let (room, rest) = out.split_at_mut(bytes.len().min(out.len()));
        if let Some(bytes) = bytes.get(..room.len()) {
            room.copy_from_slice(bytes);
        }
        self.out = rest;
    }

    fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// Writes the length and what stands before the first tensor.
fn write_opening(sink: &mut impl Sink, text_len: usize) {
    sink.push(&(text_len as u64).to_le_bytes());
    sink.push(br#"{"__metadata__":{"format":"pt"}"#);
}

/// Writes a tensor's member, whose bytes begin at `begin`. The answer is where they end.
fn write_member(sink: &mut impl Sink, tensor: &Target, begin: u64) -> u64 {
    let end = begin.saturating_add(tensor.bytes());
    sink.push(b",\"");
    write_escaped(sink, &tensor.name);
    sink.push(b"\":{\"dtype\":\"");
    sink.push(tensor.dtype.name().as_bytes());
    sink.push(b"\",\"shape\":[");
    for (axis, size) in tensor.shape.iter().enumerate() {
        if axis > 0 {
            sink.push(b",");
        }
        sink.push_number(*size);
    }
    sink.push(b"],\"data_offsets\":[");
    sink.push_number(begin);
    sink.push(b",");
    sink.push_number(end);
    sink.push(b"]}");
    end
}

/// Writes a string without its quotes.
fn write_escaped(sink: &mut impl Sink, string: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // Without an early exit, so that many bytes are looked at at once.
    if string.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        sink.push(string.as_bytes());
    } else {
        let quoted = Value::from(string).to_string();
        sink.push(quoted.as_bytes().get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;
    use vitport_checkpoint::Dtype;

    use super::*;
    use crate::plan::{Operation, Part};

    fn zeros(name: &str, dtype: Dtype, shape: &[u64]) -> Target {
        let parts = smallvec![Part::Zeros { elements: shape.iter().product() }];
        Target { name: name.into(), dtype, shape: shape.into(), parts, operation: Operation::Fill }
    }

    /// The header as a serializer of JSON writes it.
    fn serialized(targets: &[Target]) -> Vec<u8> {
        let mut begin = 0;
        let mut members = serde_json::Map::new();
        members.insert(METADATA.to_owned(), serde_json::json!({ "format": "pt" }));
        for target in targets {
            let end = begin + target.bytes();
            let member = serde_json::json!({
                "dtype": target.dtype.name(),
                "shape": *target.shape,
                "data_offsets": [begin, end],
            });
            members.insert(target.name.to_string(), member);
            begin = end;
        }
        let mut text = Value::Object(members).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        [&(text.len() as u64).to_le_bytes()[..], &text].concat()
    }

    #[test]
    fn any_run_of_a_header_is_what_a_serializer_writes() {
        let names = ["a", "a \"quoted\" name", "back\\slash", "line\nand \u{1} control", "naïve \u{7f} ☃"];
        let odd = names.map(|name| zeros(name, Dtype::F16, &[3]));
        let many: Vec<Target> =
            (0..150).map(|i| zeros(&format!("layer.{i}.w"), Dtype::F32, &[i, 7, 1])).collect();
        let scalar = [zeros("scalar", Dtype::I64, &[])];
        for targets in [&[][..], &odd, &many, &scalar, &many[..MARKED], &many[..=MARKED]] {
            let expected = serialized(targets);
            let tensors: Vec<&Target> = targets.iter().collect();
            let header = Header::of(&tensors);
            assert_eq!(header.bytes(), expected.len() as u64);
            for step in [1, 7, 40, 256, expected.len()] {
                let mut written = vec![0; expected.len()];
                for (number, run) in written.chunks_mut(step).enumerate() {
                    header.fill(&tensors, number * step, run);
                }
                assert!(written == expected, "{} tensors, {step} bytes at a time", targets.len());
            }
        }
    }
}
