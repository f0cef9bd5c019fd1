//! Says what a folder may hold that is the user's and no part of a model: the card and the marks of a cloned repository. They
//! outlive the publishing of a model next to them.
//!
//! Files are put into the new folder before it takes its name, so they are there in the same step. Folders (`.git`) cannot
//! be in two places; they are moved over right after it. A run that is killed in between leaves them in the folder that was
//! replaced, where the next run with the same output finds them and moves them ([`rescue`]); nothing that holds one is ever
//! removed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use super::error::{FolderError, Result};
use crate::front_matter::CARD;

/// Lists the files that are kept.
const FILES: [&str; 6] = [CARD, ".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt"];

/// Lists the folders that are kept: a clone's, and what `hf download --local-dir` leaves. A worktree's `.git` is a file.
const FOLDERS: [&str; 2] = [".git", ".cache"];

/// Says whether an entry of a folder is the user's and no part of the model. A link is not, for it could lead anywhere.
pub fn is_kept(name: &OsStr, kind: fs::FileType) -> bool {
    (kind.is_file() && (FILES.iter().any(|file| name == *file) || name == ".git"))
        || (kind.is_dir() && FOLDERS.iter().any(|folder| name == *folder))
}

/// Puts the kept files of `out` into the folder `new`, in place of its own. The card stays `new`'s own if `new_card` says
/// so and it has one. Returns the names.
pub(super) fn adopt_files(out: &Path, new: &Path, new_card: bool) -> Result<Vec<OsString>> {
    let mut kept = Vec::new();
    for name in FILES.into_iter().chain([".git"]) {
        let (old, own) = (out.join(name), new.join(name));
        if !fs::symlink_metadata(&old).is_ok_and(|there| there.is_file()) {
            continue;
        }
        if name == CARD && new_card && own.exists() {
            continue;
        }
        let _ = fs::remove_file(&own);
        fs::hard_link(&old, &own)
            .or_else(|_| fs::copy(&old, &own).map(|_| ()))
            .map_err(FolderError::disk("keep", &old))?;
        kept.push(name.into());
    }
    Ok(kept)
}

/// Moves the kept folders out of `old`, which was replaced, into `out`.
///
/// # Errors
/// If one of them is still in `old`.
pub(super) fn rescue(old: &Path, out: &Path) -> io::Result<()> {
    for name in FOLDERS {
        let place = old.join(name);
        if !fs::symlink_metadata(&place).is_ok_and(|there| there.is_dir()) {
            continue;
        }
        if fs::symlink_metadata(out.join(name)).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match fs::rename(&place, out.join(name)) {
            // Another run was quicker.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&place).is_err() => {}
            moved => moved?,
        }
    }
    Ok(())
}
