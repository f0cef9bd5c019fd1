//! Converts a source into a folder in a temporary folder of its own, as `vitport convert` does it, without
//! verification.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vitport::model::Prepared;
use vitport::pipeline::{Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport_checkpoint::Limits;

/// Holds a conversion that nobody has touched.
pub struct Converted {
    /// Says what was planned.
    pub prepared: Prepared,
    /// Names the folder.
    pub folder: PathBuf,
    temporary: TempDir,
}

impl Converted {
    /// Returns a place next to the folder, gone with the conversion.
    pub fn place(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }
}

/// Converts the file or folder `source`.
pub fn convert(source: &Path, request: &Request) -> Converted {
    let opened = Source::open(source, None, &Limits::default()).unwrap();
    let prepared = plan(opened, request).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("untouched");
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    let written = write(&prepared, &folder, options, &|_| ()).unwrap();
    written.staging.publish().unwrap();
    Converted { prepared, folder, temporary }
}
