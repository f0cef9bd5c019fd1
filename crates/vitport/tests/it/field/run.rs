//! Runs a conversion that is written as on the command line, and compares what it writes with `truths.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::image::{CropMode, Filter};
use vitport::options::FactOptions;
use vitport::pipeline::{
    self, Acceptance, ConvertError, ConvertRequest, Converted, Hooks, Request, WriteOptions,
};
use vitport::source::Source;
use vitport::verify::{TestImage, VerifyError};
use vitport_checkpoint::{Checkpoint, Limits};

/// What a conversion of these tests fails with.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Returns where a file of `tests/data` lies.
pub fn path(folder: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder).join(name)
}

/// Returns the file, the part of it and the options of a command line: `gray.pth --key model --num-heads 3`. `--usual` stands for what
/// the bare files of this folder need.
pub fn parse(folder: &str, line: &str) -> (PathBuf, Option<String>, FactOptions) {
    let mut words = line.split(' ');
    let file = path(folder, words.next().unwrap());
    let (mut key, mut facts) = (None, FactOptions::default());
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap();
        match option {
            "--usual" => {
                facts.num_heads = facts.num_heads.or(Some(vec![3]));
                facts.mean = facts.mean.or(Some([0.485, 0.456, 0.406]));
                facts.std = facts.std.or(Some([0.229, 0.224, 0.225]));
                facts.interpolation = Some(Filter::Bicubic);
                facts.crop_pct = Some(1.0);
            }
            "--key" => key = Some(value().to_owned()),
            "--num-heads" => {
                facts.num_heads = Some(value().split(',').map(|number| number.parse().unwrap()).collect());
            }
            "--mean" => facts.mean = Some([value().parse().unwrap(); 3]),
            "--std" => facts.std = Some([value().parse().unwrap(); 3]),
            "--image-size" => {
                let (height, width) = value().split_once('x').unwrap();
                facts.image_size = Some([height.parse().unwrap(), width.parse().unwrap()]);
            }
            "--crop-mode" => facts.crop_mode = Some(CropMode::from_name(value())),
            "--lora-alpha" => facts.lora_alpha = Some(value().parse().unwrap()),
            "--drop" => facts.drop.push(glob::Pattern::new(value()).unwrap()),
            "--no-head" => facts.without_head = true,
            "--no-processor" => facts.without_processor = true,
            other => panic!("{other}"),
        }
    }
    (file, key, facts)
}

/// Converts into a folder, with both networks run.
///
/// # Errors
/// As the library.
pub fn convert(folder: &str, line: &str, out: &Path) -> Result<Converted, Failed> {
    let (file, key, facts) = parse(folder, line);
    let source = Source::open(&file, key.as_deref(), &Limits::default()).map_err(ConvertError::from)?;
    convert_source(source, facts, out)
}

/// The same with a source that is open.
///
/// # Errors
/// As the library.
pub fn convert_source(source: Source, facts: FactOptions, out: &Path) -> Result<Converted, Failed> {
    let prepared = pipeline::plan(source, &Request { facts, ..Request::default() })?;
    let image = TestImage::built_in().unwrap();
    let write =
        WriteOptions { max_shard_size: DEFAULT_SHARD_SIZE, force: false, fsync: false, exact_code: false };
    let request = ConvertRequest {
        out: Some(out),
        write,
        image: Some(&image),
        acceptance: Acceptance::default(),
        keep_anyway: false,
        card: true,
        run: None,
    };
    pipeline::convert(prepared, request, &Hooks::<Failed>::none())
}

/// Converts, which publishes only what agrees, and returns what was converted and the SHA-256 of each tensor in the folder, by its name.
pub fn written(folder: &str, line: &str) -> (Converted, BTreeMap<String, String>) {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let converted = convert(folder, line, &out).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(converted.is_published, "{line}");
    (converted, hashes(&out))
}

/// Returns the SHA-256 of each tensor in a folder, by its name.
pub fn hashes(folder: &Path) -> BTreeMap<String, String> {
    let weights = Checkpoint::open(folder, &Limits::default()).unwrap();
    let hashes = weights.tensors().iter().map(|tensor| {
        let mut bytes = vec![0; tensor.bytes() as usize];
        weights.read(tensor, 0, &mut bytes).unwrap();
        (tensor.name.to_string(), Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    });
    hashes.collect()
}

/// Returns the rows of `truths.json`: of each command line the SHA-256 of each tensor that is right.
pub fn truths(folder: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    serde_json::from_slice(&std::fs::read(path(folder, "truths.json")).unwrap()).unwrap()
}

/// Compares what was written with what is right.
pub fn compare(line: &str, found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{line}");
    for (name, hash) in expected {
        assert_eq!(&found[name], hash, "{line}: {name}");
    }
}
