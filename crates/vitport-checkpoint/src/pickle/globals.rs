//! What the globals mean that a pickle may name.
//!
//! Three kinds: the short list of builders whose effect the reader reproduces as data; dangerous names
//! ([`dangerous`](super::dangerous)); and all others, which stay opaque. None is ever called.

use super::dangerous::is_dangerous;
use crate::dtype::Dtype;
use crate::evidence::GlobalClass;

/// Describes the effect of calling a global from the short list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Stands for `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`.
    RebuildTensor,
    /// Stands for `torch._utils._rebuild_tensor_v3`: untyped storage and a dtype.
    RebuildTensorV3,
    /// Stands for `torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`.
    RebuildParameter,
    /// Stands for `torch._tensor._rebuild_from_type_v2`: another builder, its arguments, a type, a state.
    RebuildFromType,
    /// Stands for `torch._utils._rebuild_device_tensor_from_cpu_tensor`: an XLA tensor that was saved from the CPU.
    RebuildFromCpu,
    /// Means a builder of tensors that have no plain elements.
    Unsupported(&'static str),
    /// Stands for `torch.storage._load_from_bytes`: a storage inside a plain pickle.
    LoadFromBytes,
    /// Means a storage class, such as `torch.FloatStorage`.
    Storage(StorageType),
    /// Means a dtype, such as `torch.float32`.
    Dtype(Option<Dtype>),
    /// Means a tensor class, such as `torch.FloatTensor`, or `torch.nn.parameter.Parameter`.
    TensorClass,
    /// Stands for `collections.OrderedDict` and its like.
    Dict,
    /// Stands for `collections.defaultdict`, whose first argument makes values.
    DefaultDict,
    /// Stands for `torch.Size`, `tuple`.
    Tuple,
    /// Stands for `list`.
    List,
    /// Stands for `set`, `frozenset`.
    Set,
    /// Stands for something that stands for its only argument: `torch.device`, a layout.
    Itself,
    /// Stands for `_codecs.encode`: how Python 3 spells byte strings in protocol 2.
    Encode,
    /// Stands for `bytearray`.
    ByteArray,
    /// Stands for `numpy.core.multiarray.scalar`.
    NumpyScalar,
    /// Stands for `numpy.dtype`.
    NumpyDtype,
    /// Stands for `numpy.core.multiarray._reconstruct`: an array that is given its contents afterwards.
    NumpyArray,
    /// Stands for `numpy.core.numeric._frombuffer`: an array as protocol 5 writes it.
    NumpyFromBuffer,
    /// Stands for `copyreg._reconstructor` and `copyreg.__newobj__`: an object of the class in the first argument.
    NewObject,
    /// Stands for anything else.
    Nothing,
}

/// Describes the element type of a storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageType {
    /// Means a type that this reader holds.
    Of(Dtype),
    /// Stands for bytes without a type.
    Untyped,
    /// Means a type that it does not hold: its name and its size in bytes.
    Other(&'static str, u64),
}

impl StorageType {
    /// Returns the type, or else PyTorch's name for one that this reader does not hold.
    pub(crate) fn dtype(self) -> (Option<Dtype>, Option<&'static str>) {
        match self {
            Self::Of(dtype) => (Some(dtype), None),
            Self::Untyped => (None, None),
            Self::Other(name, _) => (None, Some(name)),
        }
    }

    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Of(dtype) => dtype.size(),
            Self::Untyped => 1,
            Self::Other(_, size) => size,
        }
    }
}

/// Returns what PyTorch's storage classes hold (`torch.storage._dtype_to_storage_type_map`).
fn storage_type(name: &str) -> Option<StorageType> {
    let dtype = match name {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        "ComplexFloatStorage" => Dtype::C64,
        "UntypedStorage" | "_UntypedStorage" => return Some(StorageType::Untyped),
        "ComplexDoubleStorage" => return Some(StorageType::Other("complex128", 16)),
        "QInt8Storage" => return Some(StorageType::Other("qint8", 1)),
        "QUInt8Storage" => return Some(StorageType::Other("quint8", 1)),
        "QInt32Storage" => return Some(StorageType::Other("qint32", 4)),
        "QUInt4x2Storage" => return Some(StorageType::Other("quint4x2", 1)),
        "QUInt2x4Storage" => return Some(StorageType::Other("quint2x4", 1)),
        _ => return None,
    };
    Some(StorageType::Of(dtype))
}

/// Lists PyTorch's names that stand for a dtype this reader does not hold.
const OTHER_DTYPES: [&str; 34] = [
    "bcomplex32",
    "bit",
    "bits16",
    "bits1x8",
    "bits2x4",
    "bits4x2",
    "bits8",
    "cdouble",
    "chalf",
    "complex128",
    "complex32",
    "float4_e2m1fn_x2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "int1",
    "int2",
    "int3",
    "int4",
    "int5",
    "int6",
    "int7",
    "qint32",
    "qint8",
    "quint2x4",
    "quint4x2",
    "quint8",
    "uint1",
    "uint2",
    "uint3",
    "uint4",
    "uint5",
    "uint6",
    "uint7",
];

/// Returns what a global means, and what it is reported as.
pub(crate) fn meaning(module: &str, name: &str) -> (GlobalClass, Meaning) {
    let meaning = match module {
        "torch._utils" => torch_utils(name),
        "torch._tensor" if name == "_rebuild_from_type_v2" => Meaning::RebuildFromType,
        "torch" | "torch.cuda" | "torch.storage" => torch_name(module, name),
        "torch.nn.parameter" | "torch.nn" if matches!(name, "Parameter" | "Buffer") => Meaning::TensorClass,
        "torch.autograd.variable" if name == "Variable" => Meaning::TensorClass,
        "torch.serialization" if name == "_get_layout" => Meaning::Itself,
        "torch.nested._internal.nested_tensor" if name == "_rebuild_njt" => {
            Meaning::Unsupported("a nested tensor")
        }
        "torch._tensor" | "torch.tensor" if name == "Tensor" => Meaning::TensorClass,
        "collections" => match name {
            "OrderedDict" | "Counter" => Meaning::Dict,
            "defaultdict" => Meaning::DefaultDict,
            _ => Meaning::Nothing,
        },
        "builtins" | "__builtin__" => match name {
            "set" | "frozenset" => Meaning::Set,
            "list" => Meaning::List,
            "tuple" => Meaning::Tuple,
            "dict" => Meaning::Dict,
            "bytearray" => Meaning::ByteArray,
            _ => Meaning::Nothing,
        },
        "_codecs" if name == "encode" => Meaning::Encode,
        "copy_reg" | "copyreg" if matches!(name, "_reconstructor" | "__newobj__") => Meaning::NewObject,
        "numpy" if name == "dtype" => Meaning::NumpyDtype,
        "numpy.core.multiarray" | "numpy._core.multiarray" => match name {
            "scalar" => Meaning::NumpyScalar,
            "_reconstruct" => Meaning::NumpyArray,
            _ => Meaning::Nothing,
        },
        "numpy.core.numeric" | "numpy._core.numeric" if name == "_frombuffer" => Meaning::NumpyFromBuffer,
        _ => Meaning::Nothing,
    };
    let class = match meaning {
        Meaning::Nothing if is_dangerous(module, name) => GlobalClass::Dangerous,
        Meaning::Nothing => GlobalClass::Opaque,
        _ => GlobalClass::Builder,
    };
    (class, meaning)
}

fn torch_utils(name: &str) -> Meaning {
    match name {
        "_rebuild_tensor" | "_rebuild_tensor_v2" => Meaning::RebuildTensor,
        "_rebuild_tensor_v3" => Meaning::RebuildTensorV3,
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => Meaning::RebuildParameter,
        "_rebuild_device_tensor_from_cpu_tensor" => Meaning::RebuildFromCpu,
        "_rebuild_qtensor" => Meaning::Unsupported("a quantized tensor"),
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => Meaning::Unsupported("a sparse tensor"),
        "_rebuild_nested_tensor" => Meaning::Unsupported("a nested tensor"),
        "_rebuild_meta_tensor_no_storage" => Meaning::Unsupported("a meta tensor, saved without values"),
        "_rebuild_wrapper_subclass" => Meaning::Unsupported("a tensor subclass without storage"),
        "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor" => {
            Meaning::Unsupported("a device tensor that was saved as a numpy array")
        }
        _ => Meaning::Nothing,
    }
}

fn torch_name(module: &str, name: &str) -> Meaning {
    if let Some(storage) = storage_type(name) {
        return Meaning::Storage(storage);
    }
    if module == "torch.storage" {
        return if name == "_load_from_bytes" { Meaning::LoadFromBytes } else { Meaning::Nothing };
    }
    if name == "Tensor"
        || (name.ends_with("Tensor") && storage_type(&name.replace("Tensor", "Storage")).is_some())
    {
        return Meaning::TensorClass;
    }
    if module != "torch" {
        return Meaning::Nothing;
    }
    match name {
        "Size" => Meaning::Tuple,
        "device" => Meaning::Itself,
        "per_tensor_affine" | "per_channel_affine" | "per_channel_affine_float_qparams" | "strided" => {
            Meaning::Itself
        }
        name if OTHER_DTYPES.contains(&name) => Meaning::Dtype(None),
        name => match Dtype::from_torch_name(name) {
            Some(dtype) => Meaning::Dtype(Some(dtype)),
            None => Meaning::Nothing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(meaning("os", "system").0, GlobalClass::Dangerous);
        assert_eq!(meaning("argparse", "Namespace").0, GlobalClass::Opaque);
        for (module, name) in
            [("torch._utils", "_rebuild_tensor_v2"), ("torch.cuda", "HalfStorage"), ("torch", "uint16")]
        {
            assert_eq!(meaning(module, name).0, GlobalClass::Builder, "{module}.{name}");
        }
    }
}
