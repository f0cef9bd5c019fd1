//! A source converted into a folder in a room of its own, as `vitport convert` does it, without weighing.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vitport::model::Prepared;
use vitport::pipeline::{Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport_checkpoint::Limits;

/// A conversion that nobody has touched.
pub struct Converted {
    /// What was planned.
    pub prepared: Prepared,
    /// The folder.
    pub folder: PathBuf,
    room: TempDir,
}

impl Converted {
    /// A place beside the folder, gone with the conversion.
    pub fn place(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }
}

/// Converts the file or folder `source`.
pub fn convert(source: &Path, request: &Request) -> Converted {
    let opened = Source::open(source, None, &Limits::default()).unwrap();
    let prepared = plan(opened, request).unwrap();
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("untouched");
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    let written = write(&prepared, &folder, options, &|_| ()).unwrap();
    written.staging.publish().unwrap();
    Converted { prepared, folder, room }
}
