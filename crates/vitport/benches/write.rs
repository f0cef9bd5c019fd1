//! Measures, as `cargo bench --bench write [FILTER]`, how long writing weights takes, as a ratio to copying the same file.
//!
//! The source is a safetensors file of float32 tensors, 340 MB, in the system's cache. In every round each case runs
//! once, right after a plain copy of the file (`std::fs::copy`) to the same file system; what is printed is the median
//! over the rounds of the ratio of the two. What is written is removed between runs, outside of the time. Single times of
//! a shared machine mean little, so there is no history and no statistics beyond the median.
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use smallvec::smallvec;
use vitport::folder::gather::write_weights;
use vitport::folder::layout::FileLayout;
use vitport::folder::syncing::Syncing;
use vitport::plan::{Part, Plan, Target};
use vitport_checkpoint::{Checkpoint, Dtype, Limits, Tensor};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 9;

/// Float32 elements of a source.
const ELEMENTS: u64 = 85_000_000;

/// Columns of the source's matrices.
const COLUMNS: u64 = 768;

/// One way to write a source.
struct Case {
    name: String,
    source: PathBuf,
    fsync: bool,
    targets: fn(&Checkpoint) -> Vec<Target>,
}

fn main() -> Outcome<()> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let out = folder.path().join("out");
    let plain = source(folder.path(), 150)?;
    let case =
        |name: &str, targets| Case { name: name.to_owned(), source: plain.clone(), fsync: false, targets };
    let mut cases = vec![
        case("as it is", as_it_is),
        case("rows split in three", split),
        case("transposed", transposed),
        case("cast to float16", cast),
        case("rows scaled", scaled),
        Case { fsync: true, ..case("with fsync, against a copy with fsync", as_it_is) },
    ];
    for count in [100, 300, 1000, 3000, 10_000] {
        let source = source(folder.path(), count)?;
        cases.push(Case { source, ..case(&format!("{count} tensors"), as_it_is) });
    }
    cases.retain(|case| case.name.contains(&filter));

    let mut ratios = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, ratios) in cases.iter().zip(&mut ratios) {
            let copied = timed(&out, |out| copy(&case.source, out, case.fsync))?;
            let written = timed(&out, |out| case.write(out))?;
            if round > 0 {
                ratios.push(written / copied);
            }
        }
    }
    for (case, mut ratios) in cases.iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        let at = |place: usize| ratios.get(place).copied().unwrap_or(f64::NAN);
        let (median, least, most) = (at(ROUNDS / 2), at(0), at(ROUNDS - 1));
        println!("{:<38} {median:5.2} × a copy  ({least:.2} to {most:.2})", case.name);
    }
    Ok(())
}

impl Case {
    fn write(&self, out: &Path) -> Outcome<()> {
        let checkpoint = Checkpoint::open(&self.source, &Limits::default())?;
        let plan = Plan { targets: (self.targets)(&checkpoint), ..Plan::default() };
        let layout = FileLayout::new(&plan, u64::MAX)?;
        let syncing = Syncing::new(self.fsync);
        write_weights(&checkpoint, &layout, out, &syncing, &|_| ())?;
        Ok(syncing.finish()?)
    }
}

fn copy(source: &Path, out: &Path, fsync: bool) -> Outcome<()> {
    let target = out.join("copy");
    fs::copy(source, &target)?;
    if fsync {
        File::open(&target)?.sync_all()?;
    }
    Ok(())
}

/// Seconds that it takes to fill an empty folder, which is gone afterwards.
fn timed(out: &Path, fill: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<f64> {
    fs::create_dir(out)?;
    let start = Instant::now();
    fill(out)?;
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_dir_all(out)?;
    Ok(seconds)
}

/// A file of `count` matrices, whose rows can be split in three.
fn source(folder: &Path, count: u64) -> Outcome<PathBuf> {
    let path = folder.join(format!("{count}.safetensors"));
    let rows = (ELEMENTS / COLUMNS / count).next_multiple_of(3);
    let bytes = rows * COLUMNS * 4;
    let entries = (0..count).map(|number| {
        let data_offsets = [number * bytes, (number + 1) * bytes];
        let entry = json!({ "dtype": "F32", "shape": [rows, COLUMNS], "data_offsets": data_offsets });
        (format!("blocks.{number}.weight"), entry)
    });
    let header = serde_json::Value::Object(entries.collect()).to_string();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for element in 0..count * rows * COLUMNS {
        file.write_all(&((element % 1009) as f32 / 1009.0).to_le_bytes())?;
    }
    file.flush()?;
    Ok(path)
}

fn each(checkpoint: &Checkpoint, target: impl Fn(&Tensor) -> Target) -> Vec<Target> {
    checkpoint.tensors().iter().map(|tensor| target(tensor)).collect()
}

fn whole(tensor: &Tensor) -> Target {
    let part = Part::Slice { tensor: tensor.clone().into(), first: 0, elements: tensor.elements() };
    Target {
        name: Arc::clone(&tensor.name),
        dtype: tensor.dtype,
        shape: tensor.shape.as_slice().into(),
        parts: smallvec![part],
        operation: "rename",
    }
}

fn as_it_is(checkpoint: &Checkpoint) -> Vec<Target> {
    each(checkpoint, whole)
}

fn split(checkpoint: &Checkpoint) -> Vec<Target> {
    let shares = |tensor: &Arc<Tensor>| {
        let elements = tensor.elements() / 3;
        (0..3)
            .map(move |share| Target {
                name: format!("{}.{share}", tensor.name).into(),
                shape: [elements / COLUMNS, COLUMNS].as_slice().into(),
                parts: smallvec![Part::Slice { tensor: tensor.clone(), first: share * elements, elements }],
                ..whole(tensor)
            })
            .collect::<Vec<_>>()
    };
    checkpoint.tensors().iter().flat_map(shares).collect()
}

fn transposed(checkpoint: &Checkpoint) -> Vec<Target> {
    each(checkpoint, |tensor| {
        let mut view = tensor.clone();
        view.shape.reverse();
        view.strides.reverse();
        whole(&view)
    })
}

fn cast(checkpoint: &Checkpoint) -> Vec<Target> {
    each(checkpoint, |tensor| Target { dtype: Dtype::F16, ..whole(tensor) })
}

/// Each matrix scaled by as many elements of its first rows as it has rows.
fn scaled(checkpoint: &Checkpoint) -> Vec<Target> {
    each(checkpoint, |tensor| {
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let factors =
            Tensor::contiguous(&*tensor.name, tensor.dtype, vec![rows], tensor.offset, tensor.storage);
        let part = Part::ScaledRows { tensor: tensor.clone().into(), factors: factors.into() };
        Target { parts: smallvec![part], ..whole(tensor) }
    })
}
