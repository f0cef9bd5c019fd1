//! Writes the header of a safetensors file: its length, and JSON that says of every tensor its dtype, its shape and where its
//! bytes lie after the header.

use serde_json::{Map, Value, json};

use crate::plan::Target;

/// Names the member of the header that is not a tensor.
pub(super) const METADATA: &str = "__metadata__";

/// Counts the bytes of the header's length, and what the whole is padded to a multiple of.
pub(super) const LENGTH: usize = 8;

/// Returns the header of a file whose tensors' bytes follow one another in this order.
pub(super) fn header(tensors: &[&Target]) -> Vec<u8> {
    let mut members = Map::with_capacity(tensors.len().saturating_add(1));
    members.insert(METADATA.to_owned(), json!({ "format": "pt" }));
    let mut begin = 0_u64;
    for tensor in tensors {
        let end = begin.saturating_add(tensor.bytes());
        let (dtype, shape) = (tensor.dtype.name(), &*tensor.shape);
        let member = json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] });
        members.insert(tensor.name.to_string(), member);
        begin = end;
    }
    let mut text = Value::Object(members).to_string();
    let padding = text.len().next_multiple_of(LENGTH).saturating_sub(text.len());
    text.push_str(&" ".repeat(padding));
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;
    use vitport_checkpoint::Dtype;

    use super::*;
    use crate::plan::Part;

    fn zeros(name: &str, dtype: Dtype, shape: &[u64]) -> Target {
        let parts = smallvec![Part::Zeros { elements: shape.iter().product() }];
        Target { name: name.into(), dtype, shape: shape.into(), parts, operation: "fill" }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let targets = [zeros("a \"quoted\" ☃", Dtype::F16, &[3, 1]), zeros("scalar", Dtype::I64, &[])];
        let text = concat!(
            r#"{"__metadata__":{"format":"pt"},"#,
            r#""a \"quoted\" ☃":{"dtype":"F16","shape":[3,1],"data_offsets":[0,6]},"#,
            r#""scalar":{"dtype":"I64","shape":[],"data_offsets":[6,14]}}"#,
        );
        let written = header(&targets.iter().collect::<Vec<_>>());
        let (len, padded) = written.split_at(8);
        assert_eq!(padded.trim_ascii_end(), text.as_bytes());
        assert_eq!(
            (len, padded.len()),
            (&(padded.len() as u64).to_le_bytes()[..], text.len().next_multiple_of(8))
        );
        assert_eq!(header(&[])[8..], *br#"{"__metadata__":{"format":"pt"}} "#.trim_ascii_end());
    }
}
