//! numpy's arrays: in a zip of their own (`.npz`), or inside a pickle.
//!
//! The format of an array's header is that of `numpy.lib.format`, versions 1 to 3. Arrays of Python
//! objects hold pickles and are refused.

mod npy;
pub(crate) mod npz;

use crate::dtype::Dtype;
use crate::tensor::Dims;

/// Describes the element type of an array, as numpy's type strings say it (`<f4`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayType {
    /// Holds the kind and the size, such as `f4`.
    pub(crate) code: String,
    /// Is true when elements are stored most significant byte first.
    pub(crate) big_endian: bool,
}

impl ArrayType {
    /// Splits a type string into byte order and code.
    pub(crate) fn parse(descr: &str) -> Self {
        let (big_endian, code) = match descr.split_at_checked(1) {
            Some((">", code)) => (true, code),
            Some(("<" | "|" | "=", code)) => (false, code),
            _ => (false, descr),
        };
        Self { code: code.to_owned(), big_endian }
    }

    /// Returns the dtype of the elements, if this reader holds it.
    pub(crate) fn dtype(&self) -> Option<Dtype> {
        Some(match self.code.as_str() {
            "f8" => Dtype::F64,
            "f4" => Dtype::F32,
            "f2" => Dtype::F16,
            "i8" => Dtype::I64,
            "i4" => Dtype::I32,
            "i2" => Dtype::I16,
            "i1" => Dtype::I8,
            "u8" => Dtype::U64,
            "u4" => Dtype::U32,
            "u2" => Dtype::U16,
            "u1" => Dtype::U8,
            "b1" => Dtype::Bool,
            "c8" => Dtype::C64,
            _ => return None,
        })
    }

    /// Returns true for text, which may stand next to weights without being one.
    pub(crate) fn is_text(&self) -> bool {
        self.code.starts_with(['U', 'S', 'a'])
    }
}

/// Returns column-major strides: the first dimension varies fastest.
pub(crate) fn column_major(shape: &[u64]) -> Dims {
    shape
        .iter()
        .scan(1_u64, |next, &size| {
            let stride = *next;
            *next = next.saturating_mul(size.max(1));
            Some(stride)
        })
        .collect()
}
