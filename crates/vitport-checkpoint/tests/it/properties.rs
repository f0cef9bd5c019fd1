//! Properties that hold for all files: views read as arithmetic says, damage is noticed or does not
//! matter, and no bytes whatever make the reader panic.

use proptest::prelude::*;

use crate::support::pickles::Pickle;
use crate::support::zips::{entry, torch_file, zip};
use crate::support::{self, bytes, data, described, open, open_bytes};

/// A view of a storage of 720 floats: sizes, strides and offset that fit.
fn view() -> impl Strategy<Value = (Vec<i64>, Vec<i64>, i64)> {
    proptest::collection::vec((0_i64..6, 0_i64..30), 0..5).prop_flat_map(|dims| {
        let (shape, strides): (Vec<i64>, Vec<i64>) = dims.into_iter().unzip();
        let span: i64 = shape.iter().zip(&strides).map(|(size, stride)| (size - 1).max(0) * stride).sum();
        (Just(shape), Just(strides), 0..=(719 - span).max(0))
    })
}

/// The elements of a view in row-major order, by counting.
fn by_counting(shape: &[i64], strides: &[i64], offset: i64) -> Vec<f32> {
    let mut elements = vec![offset];
    for (size, stride) in shape.iter().zip(strides) {
        elements = elements.iter().flat_map(|at| (0..*size).map(move |i| at + i * stride)).collect();
    }
    elements.into_iter().map(|element| element as f32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_read_as_counting_says((shape, strides, offset) in view(), block in 1_u64..40) {
        let values: Vec<u8> = (0..720).flat_map(|v| (v as f32).to_le_bytes()).collect();
        let pickle = Pickle::new().op(b"}").text("w").tensor("0", 720, offset, &shape, &strides).op(b"s.").0;
        let c = open_bytes(&zip(&[entry("a/data.pkl", &pickle), entry("a/data/0", &values)])).unwrap();
        let tensor = &c.tensors()[0];
        let mut out = Vec::new();
        let mut first = 0;
        while first < tensor.elements() {
            let count = block.min(tensor.elements() - first);
            let mut part = vec![0; count as usize * 4];
            c.read(tensor, first, &mut part).unwrap();
            out.extend(part);
            first += count;
        }
        let found: Vec<f32> = out.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        prop_assert_eq!(found, by_counting(&shape, &strides, offset));
    }

    #[test]
    fn a_flipped_bit_is_refused_or_harmless(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let whole = std::fs::read(data("small.pth")).unwrap();
        let truth = described(&open("small.pth"));
        let mut damaged = whole;
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        if let Ok(c) = open_bytes(&damaged)
            && c.verify_all().is_ok()
        {
            prop_assert_eq!(described(&c), truth, "byte {}", at);
        }
    }

    #[test]
    fn cut_out_or_doubled_bytes_are_refused_or_harmless(
        at in any::<prop::sample::Index>(), len in 1_usize..200, double in any::<bool>()
    ) {
        let whole = std::fs::read(data("train.pth")).unwrap();
        let truth = described(&open("train.pth"));
        let at = at.index(whole.len());
        let end = (at + len).min(whole.len());
        let mut damaged = whole[..at].to_vec();
        if double {
            damaged.extend(&whole[at..end]);
            damaged.extend(&whole[at..end]);
        }
        damaged.extend(&whole[end..]);
        if let Ok(c) = open_bytes(&damaged)
            && c.verify_all().is_ok()
        {
            prop_assert_eq!(described(&c), truth);
        }
    }

    #[test]
    fn no_program_makes_the_machine_panic(program in proptest::collection::vec(opcodes(), 0..60)) {
        let mut pickle = Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s");
        for part in program {
            pickle = pickle.op(&part);
        }
        let _ = open_bytes(&torch_file(&pickle.op(b".").0)).map(|c| c.verify_all());
    }

    #[test]
    fn damage_anywhere_in_other_formats_does_not_panic(
        file in 0..8_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let files = ["small.legacy.pth", "old.tar", "plain4.pkl", "arrays_compressed.npz", "dtypes.safetensors",
            "script.pt", "deflated.pth", "old_views.legacy.pth"];
        let mut damaged = std::fs::read(data(files[file])).unwrap();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        if let Ok(c) = open_bytes(&damaged) {
            for tensor in c.tensors() {
                let mut out = vec![0; tensor.bytes().min(1 << 20) as usize];
                let _ = c.read(tensor, 0, &mut out);
            }
            let _ = c.verify_all();
        }
    }
}

/// Instructions with arguments that often make sense.
fn opcodes() -> impl Strategy<Value = Vec<u8>> {
    let simple = proptest::sample::select(
        &b"(012NRabde}glopstu)]\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94QjJ"[..],
    );
    prop_oneof![
        6 => simple.prop_map(|opcode| vec![opcode]),
        2 => (0_u8..6).prop_map(|slot| vec![b'q', slot]),
        2 => (0_u8..6).prop_map(|slot| vec![b'h', slot]),
        1 => any::<u8>().prop_map(|number| vec![b'K', number]),
        1 => Just(b"ccollections\nOrderedDict\n".to_vec()),
        1 => Just(b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec()),
        1 => Just(b"ctorch._utils\n_rebuild_parameter\n".to_vec()),
        1 => Just(b"ctorch._tensor\n_rebuild_from_type_v2\n".to_vec()),
        1 => Just(b"ctorch\nFloatStorage\n".to_vec()),
        1 => Just(b"ctorch\nFloatTensor\n".to_vec()),
        1 => Just(b"ctorch.storage\n_load_from_bytes\n".to_vec()),
        1 => Just(b"cnumpy\ndtype\n".to_vec()),
        1 => Just(b"cnumpy.core.multiarray\nscalar\n".to_vec()),
        1 => Just(b"cos\nsystem\n".to_vec()),
        1 => Just(b"X\x07\0\0\0storage".to_vec()),
        1 => Just(b"U\x02f4".to_vec()),
        1 => any::<Vec<u8>>(),
    ]
}

#[test]
fn every_single_bit_of_a_file() {
    // Exhaustive over one file: the smallest one that has every kind of record.
    let whole = torch_file(&support::pickles::one_tensor());
    let truth = bytes(&open_bytes(&whole).unwrap(), &open_bytes(&whole).unwrap().tensors()[0]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let Ok(c) = open_bytes(&damaged) else { continue };
            if c.verify_all().is_ok() {
                assert_eq!(c.tensors().len(), 1, "byte {at} bit {bit}");
                assert_eq!(&*c.tensors()[0].name, "w", "byte {at} bit {bit}");
                assert_eq!(bytes(&c, &c.tensors()[0]), truth, "byte {at} bit {bit}");
            }
        }
    }
}
