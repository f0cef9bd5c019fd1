//! Finds out what stands where the output folder is to go, and whether it may be replaced: every refusal that can be given before
//! any work is done.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use vitport_checkpoint::platform::{Special, identity, special};

use super::error::{FolderError, Result};
use super::kept;
use super::written::{first_foreign, has_model_config};

/// Says what lies at the output path, when it may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupant {
    /// Means that nothing is there.
    Nothing,
    /// Means a folder without entries.
    EmptyFolder,
    /// Means a model folder, which the caller asked to replace, or one that holds nothing but what is kept: a card, a `.git`.
    Folder,
}

/// Looks at `out` and refuses what may not be replaced: files, links, folders with something in them that no conversion writes,
/// and without `force` any folder with something in it that is not kept.
pub(super) fn inspect(out: &Path, force: bool) -> Result<Occupant> {
    let Some(metadata) = entry(out)? else { return Ok(Occupant::Nothing) };
    if metadata.is_symlink() {
        let target = fs::read_link(out).map_err(FolderError::disk("read", out))?;
        return Err(FolderError::Symlink { out: out.to_owned(), target });
    }
    if !metadata.is_dir() {
        return Err(FolderError::NotAFolder { out: out.to_owned(), what: kind(&metadata) });
    }
    if is_mount_point(out, &metadata)? {
        return Err(FolderError::MountPoint(out.to_owned()));
    }
    if holds_current_folder(&metadata) {
        return Err(FolderError::Current(out.to_owned()));
    }
    let contents = contents(out)?;
    if !contents.others {
        return Ok(if contents.kept { Occupant::Folder } else { Occupant::EmptyFolder });
    }
    if !force {
        return Err(FolderError::Exists(out.to_owned()));
    }
    if !has_model_config(out) {
        return Err(FolderError::NotAModel(out.to_owned()));
    }
    if let Some(inner) = contents.folder {
        return Err(FolderError::HoldsFolder { out: out.to_owned(), inner });
    }
    match first_foreign(out)? {
        Some(file) => Err(FolderError::HoldsFile { out: out.to_owned(), file }),
        None => Ok(Occupant::Folder),
    }
}

/// Refuses an output that is a protected path, lies in one, or contains one.
pub(super) fn refuse_overlap(out: &Path, protect: &[PathBuf]) -> Result<()> {
    // Where the output would really lie, should a link be on the way to it.
    let real_parent = out.ancestors().skip(1).find_map(|ancestor| fs::canonicalize(ancestor).ok());
    let real_parent = real_parent.unwrap_or_default();
    for source_path in protect {
        let overlap = |relation| {
            Err(FolderError::Overlap { out: out.to_owned(), relation, source_path: source_path.clone() })
        };
        // A link into the Hub's cache lies in one folder and its bytes in another: neither may be touched.
        let as_named = std::path::absolute(source_path).unwrap_or_else(|_| source_path.clone());
        let resolved = fs::canonicalize(source_path).unwrap_or_else(|_| as_named.clone());
        if let Ok(source) = fs::metadata(source_path) {
            if same(out, &source) {
                return overlap("is");
            }
            if real_parent.ancestors().any(|ancestor| same(ancestor, &source)) {
                return overlap("lies in");
            }
        }
        if let Ok(folder) = fs::metadata(out) {
            let mut around = as_named.ancestors().chain(resolved.ancestors());
            if around.any(|ancestor| same(ancestor, &folder)) {
                return overlap("contains");
            }
        }
    }
    Ok(())
}

/// Returns the entry at `path` itself, not what a link there points to; `None` when there is none.
fn entry(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => {
            let parent = path.ancestors().skip(1).find(|ancestor| ancestor.exists()).unwrap_or(path);
            Err(FolderError::ParentNotAFolder { parent: parent.to_owned(), out: path.to_owned() })
        }
        Err(cause) => Err(FolderError::disk("look at", path)(cause)),
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    match special(metadata.file_type()) {
        None => "file",
        Some(Special::Pipe) => "pipe",
        Some(Special::Socket) => "socket",
        Some(Special::CharacterDevice | Special::Device) => "device",
    }
}

/// Lists what a folder holds.
#[derive(Default)]
struct Contents {
    /// Says whether there is something that is kept.
    kept: bool,
    /// Says whether there is something else.
    others: bool,
    /// Gives the first folder among the others.
    folder: Option<PathBuf>,
}

fn contents(out: &Path) -> Result<Contents> {
    let mut found = Contents::default();
    for entry in fs::read_dir(out).map_err(FolderError::disk("list", out))? {
        let entry = entry.map_err(FolderError::disk("list", out))?;
        let kind = entry.file_type().map_err(FolderError::disk("look at", &entry.path()))?;
        if kept::is_kept(&entry.file_name(), kind) {
            found.kept = true;
            continue;
        }
        found.others = true;
        if kind.is_dir() {
            found.folder = Some(entry.file_name().into());
            break;
        }
    }
    Ok(found)
}

fn is_mount_point(out: &Path, folder: &Metadata) -> Result<bool> {
    let parent = out.parent().unwrap_or(out);
    let above = fs::metadata(parent).map_err(FolderError::disk("look at", parent))?;
    let file_system = |metadata| identity(metadata).map(|(file_system, _)| file_system);
    Ok(file_system(&above) != file_system(folder))
}

fn holds_current_folder(folder: &Metadata) -> bool {
    std::env::current_dir().is_ok_and(|current| current.ancestors().any(|ancestor| same(ancestor, folder)))
}

/// Returns whether `path` exists and is the very file or folder that `other` describes.
fn same(path: &Path, other: &Metadata) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| identity(&metadata).is_some_and(|file| identity(other) == Some(file)))
}
