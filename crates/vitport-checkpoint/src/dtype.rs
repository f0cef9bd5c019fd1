//! The element types that a tensor may have, with their sizes and their names.
//!
//! The names are those of the safetensors format (`F32`, `BF16`, …), since that is what vitport writes
//! and what `inspect` shows. Each variant says which PyTorch dtype it stands for.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// Describes the type of a tensor's elements. All values are handed out little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// Means `torch.float64`, 8 bytes.
    F64,
    /// Means `torch.float32`, 4 bytes.
    F32,
    /// Means `torch.float16`, 2 bytes.
    F16,
    /// Means `torch.bfloat16`, 2 bytes.
    BF16,
    /// Means `torch.int64`, 8 bytes.
    I64,
    /// Means `torch.int32`, 4 bytes.
    I32,
    /// Means `torch.int16`, 2 bytes.
    I16,
    /// Means `torch.int8`, 1 byte.
    I8,
    /// Means `torch.uint64`, 8 bytes.
    U64,
    /// Means `torch.uint32`, 4 bytes.
    U32,
    /// Means `torch.uint16`, 2 bytes.
    U16,
    /// Means `torch.uint8`, 1 byte.
    U8,
    /// Means `torch.bool`, 1 byte.
    Bool,
    /// Means `torch.float8_e4m3fn`, 1 byte.
    F8E4M3,
    /// Means `torch.float8_e5m2`, 1 byte.
    F8E5M2,
    /// Means `torch.complex64`, 8 bytes: the real part, then the imaginary part.
    C64,
}

/// Holds every dtype with its safetensors name, its PyTorch name and its size in bytes.
const TABLE: [(Dtype, &str, &str, u64); 16] = [
    (Dtype::F64, "F64", "float64", 8),
    (Dtype::F32, "F32", "float32", 4),
    (Dtype::F16, "F16", "float16", 2),
    (Dtype::BF16, "BF16", "bfloat16", 2),
    (Dtype::I64, "I64", "int64", 8),
    (Dtype::I32, "I32", "int32", 4),
    (Dtype::I16, "I16", "int16", 2),
    (Dtype::I8, "I8", "int8", 1),
    (Dtype::U64, "U64", "uint64", 8),
    (Dtype::U32, "U32", "uint32", 4),
    (Dtype::U16, "U16", "uint16", 2),
    (Dtype::U8, "U8", "uint8", 1),
    (Dtype::Bool, "BOOL", "bool", 1),
    (Dtype::F8E4M3, "F8_E4M3", "float8_e4m3fn", 1),
    (Dtype::F8E5M2, "F8_E5M2", "float8_e5m2", 1),
    (Dtype::C64, "C64", "complex64", 8),
];

impl Dtype {
    /// Returns the bytes that one element takes.
    #[must_use]
    pub fn size(self) -> u64 {
        TABLE.iter().find(|row| row.0 == self).map_or(1, |row| row.3)
    }

    /// Returns the name that the safetensors format gives it, such as `F32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Returns the dtype with this safetensors name; `None` when the reader knows no such dtype.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Returns the dtype with this PyTorch name (`float32`, without `torch.`), including PyTorch's short aliases.
    #[must_use]
    pub fn from_torch_name(name: &str) -> Option<Self> {
        let name = match name {
            "double" => "float64",
            "float" => "float32",
            "half" => "float16",
            "long" => "int64",
            "int" => "int32",
            "short" => "int16",
            "cfloat" => "complex64",
            other => other,
        };
        TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Returns true for real floating-point types.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16 | Self::F8E4M3 | Self::F8E5M2)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Dtype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl JsonSchema for Dtype {
    fn schema_name() -> Cow<'static, str> {
        "Dtype".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = TABLE.map(|(_, name, ..)| name);
        json_schema!({ "description": "Names a dtype as safetensors does.", "type": "string", "enum": names })
    }
}

#[cfg(test)]
mod tests {
    use super::{Dtype, TABLE};

    #[test]
    fn every_name_leads_back_to_its_dtype() {
        for (dtype, name, torch, size) in TABLE {
            assert_eq!(Dtype::from_name(name), Some(dtype));
            assert_eq!(Dtype::from_torch_name(torch), Some(dtype));
            assert_eq!(dtype.name(), name);
            assert_eq!(dtype.size(), size);
            assert_eq!(serde_json::to_string(&dtype).unwrap(), format!("\"{name}\""));
        }
        assert_eq!(Dtype::from_name("F4"), None);
        assert_eq!(Dtype::from_torch_name("half"), Some(Dtype::F16));
    }
}
