//! Files that torch wrote of random objects read as torch reads them: every tensor's dotted path in the order of
//! the object, dtype, shape and bytes. `data/random/make.py` draws the objects and asks torch.

use std::collections::BTreeSet;

use vitport_checkpoint::{Checkpoint, Limits};

use crate::support::data;

/// What `data/random/make.py` wrote down: for each file, name, dtype, shape and SHA-256 of each tensor.
fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = std::fs::read_to_string(data("random/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn random_objects_read_back_equal_to_torch() {
    for (file, wanted) in expected() {
        let path = data("random").join(&file);
        let checkpoint =
            Checkpoint::survey(&path, &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
        let audit = checkpoint.audit_all();
        let found: Vec<serde_json::Value> = checkpoint
            .all_tensors()
            .iter()
            .map(|t| serde_json::json!([t.name, t.dtype, t.shape, audit.sha256(t).unwrap()]))
            .collect();
        assert_eq!(serde_json::Value::from(found), wanted, "{file}");
        audit.finish().unwrap_or_else(|error| panic!("{error}"));
        assert!(checkpoint.evidence().unsupported.is_empty(), "{file}");
    }
}

/// The random files are worth reading: together they hold every dtype, container and protocol, and views of every kind.
#[test]
fn the_random_files_cover_what_torch_writes() {
    let (mut dtypes, mut writers, mut views) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in expected().keys() {
        let c = Checkpoint::survey(&data("random").join(file), &Limits::default()).unwrap();
        writers.insert((format!("{:?}", c.evidence().container.unwrap()), c.evidence().pickle_protocol));
        let mut used = BTreeSet::new();
        for t in c.all_tensors() {
            dtypes.insert(t.dtype);
            let last = t.strides.last().copied();
            let seen = [
                ("scalar", t.shape.is_empty()),
                ("empty", t.shape.contains(&0)),
                ("strided", !t.is_contiguous()),
                ("stepped", last.is_some_and(|stride| stride > 1) && t.elements() > 1),
                ("expanded", t.strides.iter().zip(&t.shape).any(|(stride, size)| *stride == 0 && *size > 1)),
                ("offset", t.offset > 0),
                ("shared", !used.insert(t.storage)),
                ("conjugate", t.lazy_bits.conjugate),
                ("negative", t.lazy_bits.negate),
                ("nested", t.name.matches('.').count() > 2),
            ];
            views.extend(seen.iter().filter(|(_, holds)| *holds).map(|(what, _)| *what));
        }
    }
    assert_eq!(dtypes.len(), 16, "{dtypes:?}");
    assert_eq!(writers.len(), 8, "{writers:?}");
    assert_eq!(views.len(), 10, "{views:?}");
}
