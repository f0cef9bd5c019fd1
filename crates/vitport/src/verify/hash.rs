//! The sha256 of files, so that a report says which bytes it is about.

use std::fs::File;
use std::io::Read;

use sha2::{Digest, Sha256};
use vitport_checkpoint::SourceFile;

use super::VerifyError;
use super::report::HashedFile;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

/// Hashes each file, in order.
///
/// # Errors
/// [`VerifyError::Hash`].
pub(super) fn hash_files(files: &[SourceFile]) -> Result<Vec<HashedFile>, VerifyError> {
    files
        .iter()
        .map(|file| {
            let path = file.path.display().to_string();
            let sha256 = hash(file).map_err(|error| VerifyError::Hash { path: path.clone(), error })?;
            let name = file.path.file_name().map_or(path, |name| name.to_string_lossy().into_owned());
            Ok(HashedFile { name, bytes: file.len, sha256 })
        })
        .collect()
}

fn hash(file: &SourceFile) -> std::io::Result<String> {
    let mut reader = File::open(&file.path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let count = reader.read(&mut block)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
