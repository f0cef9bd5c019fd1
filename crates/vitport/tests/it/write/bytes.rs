//! Checks that bytes that are only moved arrive where the plan says: whole tensors, shares, rows one after another, transposed
//! views, zeros, identities; small ones many to a block and large ones over many blocks.

use std::sync::atomic::{AtomicU64, Ordering};

use vitport::folder::gather;
use vitport::folder::layout::FileLayout;
use vitport::folder::syncing::Syncing;
use vitport::plan::{Part, Plan};
use vitport_checkpoint::Dtype;

use super::source::{Source, bytes_of, noise, singles, target, written};

#[test]
fn tensors_of_every_dtype_and_size_keep_their_bytes() {
    let dtypes = [
        Dtype::U8,
        Dtype::F64,
        Dtype::F16,
        Dtype::Bool,
        Dtype::F32,
        Dtype::I64,
        Dtype::BF16,
        Dtype::I32,
        Dtype::F8E4M3,
        Dtype::I16,
        Dtype::F8E5M2,
        Dtype::C64,
        Dtype::I8,
    ];
    // Element counts around nothing, one, and one and several blocks of 256 KiB.
    let counts = [0_u64, 1, 3, 1000, 32 * 1024 + 1, 64 * 1024 - 5, 262_144, 700_001];
    let tensors: Vec<_> = (0_u64..)
        .zip(dtypes.iter().flat_map(|&dtype| counts.map(|count| (dtype, count))))
        .map(|(seed, (dtype, count))| {
            let mut bytes = noise(usize::try_from(count * dtype.size()).unwrap(), seed);
            if dtype == Dtype::Bool {
                bytes.iter_mut().for_each(|byte| *byte &= 1);
            }
            (format!("{}.{count}", dtype.name()), dtype, [count], bytes)
        })
        .collect();
    let entries: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), *dtype, shape.as_slice(), bytes.clone()))
        .collect();
    let source = Source::new(&entries);
    let targets = tensors
        .iter()
        .map(|(name, dtype, shape, _)| {
            target(&format!("new.{name}"), *dtype, shape, vec![source.whole(name)])
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, targets, folder.path()).unwrap();
    for (name, _, _, bytes) in &tensors {
        assert!(read[&format!("new.{name}")] == *bytes, "{name}");
    }
}

#[test]
fn rows_are_shared_out_and_put_together() {
    const WIDTH: u64 = 130;
    let qkv = bytes_of(&singles(3 * 130 * 130, 1));
    let bias = bytes_of(&singles(130, 2));
    let source = Source::new(&[
        ("qkv", Dtype::F32, &[3 * WIDTH, WIDTH], qkv.clone()),
        ("bias", Dtype::F32, &[WIDTH], bias.clone()),
    ]);
    let share = |number: u64| Part::Slice {
        tensor: source.tensor("qkv").into(),
        first: number * WIDTH * WIDTH,
        elements: WIDTH * WIDTH,
    };
    let mut targets: Vec<_> = (0..3)
        .map(|number| target(&format!("share.{number}"), Dtype::F32, &[WIDTH, WIDTH], vec![share(number)]))
        .collect();
    let padded = vec![Part::Zeros { elements: WIDTH }, source.whole("bias"), share(2)];
    targets.push(target("padded", Dtype::F32, &[WIDTH + 2, WIDTH], padded));
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, targets, folder.path()).unwrap();
    let shares: Vec<_> = qkv.chunks(130 * 130 * 4).collect();
    for (number, share) in shares.iter().enumerate() {
        assert!(read[&format!("share.{number}")] == *share, "share {number}");
    }
    assert!(read["padded"] == [&[0; 520], bias.as_slice(), shares[2]].concat());
}

#[test]
fn a_transposed_view_arrives_in_row_major_order() {
    // Larger than a block, with sides that divide nothing.
    let (rows, columns) = (331_usize, 257_usize);
    let values = singles(rows * columns, 3);
    let source = Source::new(&[("w", Dtype::F32, &[331, 257], bytes_of(&values))]);
    let mut view = source.tensor("w");
    view.shape.reverse();
    view.strides.reverse();
    let part = |first, elements| Part::Slice { tensor: view.clone().into(), first, elements };
    let elements = view.elements();
    let parts = vec![part(0, 1000), part(1000, elements - 1000)];
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, vec![target("w.t", Dtype::F32, &[257, 331], parts)], folder.path()).unwrap();
    let transposed: Vec<f32> = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| row * columns + column))
        .map(|at| values[at])
        .collect();
    assert!(read["w.t"] == bytes_of(&transposed));
}

#[test]
fn identities_and_zeros_are_made_in_the_target_s_dtype() {
    let source = Source::new(&[("w", Dtype::F32, &[1], bytes_of(&[1.0]))]);
    let ones: [(Dtype, &[u8]); 5] = [
        (Dtype::F32, &[0, 0, 0x80, 0x3f]),
        (Dtype::F16, &[0, 0x3c]),
        (Dtype::BF16, &[0x80, 0x3f]),
        (Dtype::F64, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        (Dtype::I64, &[1, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let targets = ones
        .iter()
        .flat_map(|(dtype, _)| {
            [1, 2, 300].map(|size| {
                let parts = vec![Part::Zeros { elements: size }, Part::Identity { size }];
                target(&format!("{}.{size}", dtype.name()), *dtype, &[size + 1, size], parts)
            })
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, targets, folder.path()).unwrap();
    for (dtype, one) in ones {
        for size in [1, 2, 300] {
            let zero = vec![0; one.len()];
            let mut expected = zero.repeat(size);
            for element in 0..size * size {
                expected.extend(if element / size == element % size { one } else { &zero });
            }
            assert!(read[&format!("{}.{size}", dtype.name())] == expected, "{} {size}", dtype.name());
        }
    }
}

#[test]
fn progress_counts_every_byte_of_every_file() {
    let source = Source::new(&[("w", Dtype::F32, &[200_000], bytes_of(&singles(200_000, 4)))]);
    let targets =
        (0..3).map(|number| target(&number.to_string(), Dtype::F32, &[200_000], vec![source.whole("w")]));
    let plan = Plan { targets: targets.collect(), ..Plan::default() };
    let layout = FileLayout::new(&plan, 1_000_000).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let done = AtomicU64::new(0);
    let count = |bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    };
    let syncing = Syncing::new(true);
    gather::write_weights(&source.checkpoint, &layout, folder.path(), &syncing, &count).unwrap();
    syncing.finish().unwrap();
    let lengths = layout.files.iter().map(|file| folder.path().join(&file.name).metadata().unwrap().len());
    assert_eq!(lengths.sum::<u64>(), layout.bytes());
    assert_eq!(done.into_inner(), layout.bytes());
    assert_eq!(layout.files.len(), 3);
}
