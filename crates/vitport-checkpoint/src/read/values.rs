//! From stored elements to values: byte order, and the operations that PyTorch leaves for later.

use crate::dtype::Dtype;
use crate::tensor::Tensor;

/// Converts elements as they are stored to little-endian values, in place.
pub(super) fn put_right(tensor: &Tensor, big_endian: bool, out: &mut [u8]) {
    if big_endian {
        swap(tensor.dtype, out);
    }
    if tensor.lazy_bits.conjugate && tensor.dtype == Dtype::C64 {
        out.chunks_exact_mut(8).for_each(|element| {
            if let Some((_, imaginary)) = element.split_at_mut_checked(4) {
                flip_sign(imaginary);
            }
        });
    }
    if tensor.lazy_bits.negate {
        negate(tensor.dtype, out);
    }
}

/// Reverses the bytes of each number; a complex element is two numbers.
fn swap(dtype: Dtype, out: &mut [u8]) {
    let width = match dtype {
        Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
        Dtype::F32 | Dtype::I32 | Dtype::U32 | Dtype::C64 => 4,
        Dtype::F16 | Dtype::BF16 | Dtype::I16 | Dtype::U16 => 2,
        Dtype::I8 | Dtype::U8 | Dtype::Bool | Dtype::F8E4M3 | Dtype::F8E5M2 => return,
    };
    out.chunks_exact_mut(width).for_each(<[u8]>::reverse);
}

/// Negates each element: the sign bit of floating-point numbers, the two's complement of whole numbers.
fn negate(dtype: Dtype, out: &mut [u8]) {
    match dtype {
        Dtype::F64 => out.chunks_exact_mut(8).for_each(flip_sign),
        Dtype::F32 | Dtype::C64 => out.chunks_exact_mut(4).for_each(flip_sign),
        Dtype::F16 | Dtype::BF16 => out.chunks_exact_mut(2).for_each(flip_sign),
        Dtype::F8E4M3 | Dtype::F8E5M2 => out.chunks_exact_mut(1).for_each(flip_sign),
        Dtype::I64 | Dtype::U64 => out.chunks_exact_mut(8).for_each(complement),
        Dtype::I32 | Dtype::U32 => out.chunks_exact_mut(4).for_each(complement),
        Dtype::I16 | Dtype::U16 => out.chunks_exact_mut(2).for_each(complement),
        Dtype::I8 | Dtype::U8 => out.chunks_exact_mut(1).for_each(complement),
        Dtype::Bool => {}
    }
}

fn flip_sign(number: &mut [u8]) {
    if let Some(last) = number.last_mut() {
        *last ^= 0x80;
    }
}

fn complement(number: &mut [u8]) {
    let mut carry = true;
    for byte in number {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::LazyBits;

    #[test]
    fn lazy_operations_are_done() {
        let mut tensor = Tensor::contiguous("t", Dtype::I32, vec![3], 0, 0);
        tensor.lazy_bits = LazyBits { conjugate: false, negate: true };
        let mut out: Vec<u8> = [5_i32, 0, -256].iter().flat_map(|v| v.to_le_bytes()).collect();
        put_right(&tensor, false, &mut out);
        let expected: Vec<u8> = [-5_i32, 0, 256].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(out, expected);

        tensor.dtype = Dtype::C64;
        tensor.lazy_bits = LazyBits { conjugate: true, negate: false };
        let mut out: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        put_right(&tensor, true, &mut out);
        let expected: Vec<u8> = [1.0_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(out, expected);
    }
}
