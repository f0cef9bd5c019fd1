//! Opens the examples of the repository, as sources.

use std::path::{Path, PathBuf};

use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

/// Returns where a file or folder of `examples` lies.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Returns the plan for an example.
pub fn prepared(name: &str, facts: FactOptions) -> Prepared {
    let source = Source::open(&path(name), None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() }).unwrap()
}
