//! Tests a conversion as a whole: a folder appears only if it is the same model as its source.

use std::path::{Path, PathBuf};

use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::mapping;
use vitport::pipeline::{self, Acceptance, ConvertRequest, Converted, Hooks, NotAccepted};
use vitport::pipeline::{ConvertError, Request, WriteOptions};
use vitport::source::Source;
use vitport::verify::{TestImage, Verdict, VerifyError};
use vitport_checkpoint::Limits;

/// What a conversion of the tests fails with.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("the caller does not want it")]
    Prevented,
}

fn source() -> Source {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/vit_small_twin");
    Source::open(&path, None, &Limits::default()).unwrap()
}

/// A mapping that is wrong in the one way that shapes do not show: queries and keys are exchanged.
fn swapped() -> Request {
    let text = mapping::mappings().iter().find(|mapping| mapping.to() == "transformers/vit").unwrap().text();
    let swapped = text.replace("attention.query.", "attention.QUERY.");
    let swapped =
        swapped.replace("attention.key.", "attention.query.").replace("attention.QUERY.", "attention.key.");
    assert_ne!(swapped, text);
    Request { mapping: Some(("swapped.toml".to_owned(), swapped)), ..Request::default() }
}

fn convert(
    request: &Request,
    out: &Path,
    keep_anyway: bool,
    hooks: &Hooks<'_, Failed>,
) -> Result<Converted, Failed> {
    let image = TestImage::built_in().unwrap();
    let prepared = pipeline::plan(source(), request)?;
    let request = ConvertRequest {
        out: Some(out),
        write: WriteOptions {
            max_shard_size: DEFAULT_SHARD_SIZE,
            force: false,
            fsync: false,
            exact_code: false,
        },
        image: Some(&image),
        acceptance: Acceptance::default(),
        keep_anyway,
        card: true,
        run: None,
    };
    pipeline::convert(prepared, request, hooks)
}

#[test]
fn a_folder_that_is_the_same_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let converted = convert(&Request::default(), &out, false, &Hooks::none()).unwrap();
    assert!(converted.is_published && converted.accepted.is_ok());
    assert_eq!(converted.report.unwrap().verdict, Verdict::Same);
    assert!(out.join("model.safetensors").is_file() && out.join("README.md").is_file());
}

#[test]
fn a_folder_that_is_not_the_same_is_never_published_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let converted = convert(&swapped(), &out, false, &Hooks::none()).unwrap();
    assert!(matches!(converted.accepted, Err(NotAccepted::Different { .. })));
    let report = converted.report.unwrap();
    assert_eq!(report.verdict, Verdict::Different);
    assert!(report.weights.agree(), "the bytes are what the wrong mapping says");
    assert_eq!(report.starts_at.as_deref(), Some("layer 0"));
    assert!(!converted.is_published && !out.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");

    let converted = convert(&swapped(), &out, true, &Hooks::none()).unwrap();
    assert!(converted.is_published && converted.accepted.is_err() && out.exists());
}

#[test]
fn a_caller_can_prevent_publishing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let hooks = Hooks { before_publishing: &|_| Err(Failed::Prevented), ..Hooks::none() };
    let error = convert(&Request::default(), &out, false, &hooks).err().unwrap();
    assert!(matches!(error, Failed::Prevented), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
