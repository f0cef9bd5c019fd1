//! Says how a finished folder appears under its name in one step, so that whoever looks there, at whatever moment and whatever
//! happens, sees the old folder or the new one, whole.
//!
//! [`Staging::begin`] refuses what may not be replaced and makes a locked temporary folder next to the output;
//! the files are written there; [`Staging::publish`] gives it the output's name with one rename, or exchanges it with the
//! folder that had the name before. A staging folder that is dropped unpublished is removed, and one that a killed run
//! left behind is removed by the next run with the same output.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vitport_checkpoint::platform;

use super::error::{FolderError, Result};
use super::kept;
use super::occupant::{Occupant, inspect, refuse_overlap};
pub(crate) use super::stale::remove;
use super::stale::{Purpose, Siblings, lock};
use super::syncing::Syncing;
use super::written::first_foreign;
use crate::temporary::uninterrupted;

/// Says how a folder is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Says whether a model folder that has the name already is replaced.
    pub force: bool,
    /// Says whether files and folders are on the disk, not only in the system's cache, before the name changes hands.
    pub fsync: bool,
}

/// Holds a folder that is still being written, next to the place where it will appear.
#[derive(Debug)]
pub struct Staging {
    out: PathBuf,
    parent: PathBuf,
    siblings: Siblings,
    path: PathBuf,
    options: Options,
    syncing: Syncing,
    /// Lists the parents of the output that this run made, outermost first.
    made: Vec<PathBuf>,
    /// Is `None` where the file system knows no locks.
    _lock: Option<File>,
    published: bool,
}

/// Describes a folder that has appeared under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFolder {
    /// Says where it is.
    pub out: PathBuf,
    /// Names the folder that it replaced, when that could not be removed altogether, under its temporary name.
    pub left_behind: Option<PathBuf>,
    /// Lists files that lay there before and lie there still, such as a card.
    pub kept: Vec<OsString>,
}

/// Limits how often something is tried again that another process got in the way of.
const ATTEMPTS: usize = 16;

impl Staging {
    /// Makes the temporary folder for `out`, and the folders above it that are missing, after clearing away what killed
    /// runs left there. `protect` are the paths that the source is read from.
    ///
    /// # Errors
    /// Of class usage when `out` names no folder; is a file, a link, a mount point or the current folder; exists
    /// without `options.force`, or with it but is not a model folder; or is, contains or lies in a protected path. Of class
    /// disk when a folder cannot be made.
    pub fn begin(out: &Path, protect: &[PathBuf], options: Options) -> Result<Self> {
        let (parent, name) = place(out)?;
        let out = parent.join(&name);
        refuse_overlap(&out, protect)?;
        let siblings = Siblings::new(&parent, &name);
        let mut section = uninterrupted();
        siblings.clear(&out);
        inspect(&out, options.force)?;

        let mut made = Vec::new();
        let created = create(&parent, &siblings, &mut made);
        let (path, lock) = created.inspect_err(|_| unmake(&made))?;
        section.add(path.clone(), made.clone());
        drop(section);
        let syncing = Syncing::new(options.fsync);
        let staging =
            Staging { out, parent, siblings, path, options, syncing, made, _lock: lock, published: false };
        if options.fsync {
            staging.made.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)?;
        }
        Ok(staging)
    }

    /// Returns the temporary folder, to write files into.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the absolute path at which the folder will appear.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Returns what takes the folder's files to the disk, which publishing waits for.
    pub fn syncing(&self) -> &Syncing {
        &self.syncing
    }

    /// Writes a small file into the folder.
    ///
    /// # Errors
    /// Of class disk when it exists already or cannot be written.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let write = |path: &Path| {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
            file.write_all(contents).map(|()| file)
        };
        let file = write(&path).map_err(FolderError::disk("write", &path))?;
        self.syncing.begin(&file, &path).map(drop)
    }

    /// Gives the folder its name, in one step. What is the user's in the folder that had it before (a card, a `.git`)
    /// is in the new one afterwards; a new card takes the old one's place only with [`Options::force`].
    ///
    /// # Errors
    /// As [`Staging::begin`], since what stands at the output may have changed meanwhile. Then nothing is published, and
    /// what stood there stands there still.
    pub fn publish(mut self) -> Result<PublishedFolder> {
        self.syncing.finish()?;
        let mut section = uninterrupted();
        let (replaced, kept) = self.take_name()?;
        self.published = true;
        section.forget(&self.path);
        // Somebody may have put a file there in the last moment.
        let is_rescued = replaced.as_deref().is_none_or(|old| {
            kept::rescue(old, &self.out).is_ok() && first_foreign(old).is_ok_and(|file| file.is_none())
        });
        if self.options.fsync {
            sync_folder(&self.parent)?;
        }
        let left_behind = replaced.filter(|old| !is_rescued || remove(old).is_err());
        Ok(PublishedFolder { out: self.out.clone(), left_behind, kept })
    }

    /// Renames the folder to its name; says where the folder that it replaced is now, if there was one, and which of its
    /// files were kept.
    fn take_name(&self) -> Result<(Option<PathBuf>, Vec<OsString>)> {
        let mut taken = None;
        for _ in 0..ATTEMPTS {
            let occupant = inspect(&self.out, self.options.force)?;
            let kept = match occupant {
                Occupant::Folder => kept::adopt_files(&self.out, &self.path, self.options.force)?,
                Occupant::Nothing | Occupant::EmptyFolder => Vec::new(),
            };
            if self.options.fsync {
                sync_folder(&self.path)?;
            }
            let attempt = match occupant {
                Occupant::Nothing | Occupant::EmptyFolder => fs::rename(&self.path, &self.out).map(|()| None),
                Occupant::Folder => self.exchange().map(Some),
            };
            match attempt {
                Ok(replaced) => return Ok((replaced, kept)),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    return Err(FolderError::MountPoint(self.out.clone()));
                }
                Err(error) if is_race(&error) => taken = Some(error),
                Err(error) => return Err(self.cannot_publish(error)),
            }
        }
        Err(taken.map_or_else(|| FolderError::Exists(self.out.clone()), |error| self.cannot_publish(error)))
    }

    fn cannot_publish(&self, error: io::Error) -> FolderError {
        FolderError::disk("publish", &self.out)(error)
    }

    /// Puts the new folder in the old one's place.
    fn exchange(&self) -> io::Result<PathBuf> {
        match platform::exchange(&self.path, &self.out)? {
            true => Ok(self.path.clone()),
            false => self.replace_by_two_renames(),
        }
    }

    /// Renames twice, for file systems that cannot exchange two names: for an instant the name is free. A run that is killed in
    /// that instant leaves the old folder where [`Siblings::clear`] finds it and puts it back.
    fn replace_by_two_renames(&self) -> io::Result<PathBuf> {
        // The lock keeps other runs from taking the folder for a killed run's while it is aside.
        let _old = lock(&self.out).ok().flatten();
        let aside = self.siblings.fresh(Purpose::Aside);
        fs::rename(&self.out, &aside)?;
        match fs::rename(&self.path, &self.out) {
            Ok(()) => Ok(aside),
            Err(error) => {
                // Should another run's folder stand there by now, that one is newer: rename does not replace it.
                let _ = fs::rename(&aside, &self.out);
                Err(error)
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let mut section = uninterrupted();
            // Nobody is left to tell; the next run with this output tries again.
            let _ = remove(&self.path);
            unmake(&self.made);
            section.forget(&self.path);
        }
    }
}

/// Refuses an output that [`Staging::begin`] would refuse, before any work is done, and touches nothing.
///
/// # Errors
/// As [`Staging::begin`].
pub fn check(out: &Path, protect: &[PathBuf], force: bool) -> Result<()> {
    let (parent, name) = place(out)?;
    let out = parent.join(name);
    refuse_overlap(&out, protect)?;
    inspect(&out, force).map(drop)
}

/// Removes what killed runs left next to an output that itself is not touched.
pub fn clear_away(out: &Path) {
    if let Ok((parent, name)) = place(out) {
        Siblings::new(&parent, &name).clear(&parent.join(name));
    }
}

/// Returns the absolute parent of an output path, and the output's name in it.
fn place(out: &Path) -> Result<(PathBuf, OsString)> {
    let absolute = std::path::absolute(out).map_err(|_| FolderError::Unnamed(out.to_owned()))?;
    // `..` and `a/..` name a folder that exists, or nothing.
    let named = match absolute.file_name() {
        Some(_) => absolute,
        None => fs::canonicalize(&absolute).map_err(|_| FolderError::Unnamed(out.to_owned()))?,
    };
    match (named.parent(), named.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.to_owned(), name.to_owned())),
        _ => Err(FolderError::Unnamed(out.to_owned())),
    }
}

/// Makes the missing parents, noting them in `made`, and a new locked folder in the innermost.
fn create(parent: &Path, siblings: &Siblings, made: &mut Vec<PathBuf>) -> Result<(PathBuf, Option<File>)> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        make_parents(parent, made)?;
        let path = siblings.fresh(Purpose::Scratch);
        match fs::create_dir(&path) {
            Ok(()) => {}
            // Another run on this output made the parents, failed, and removed them again; or the name is taken.
            Err(error) if is_race(&error) || error.kind() == io::ErrorKind::AlreadyExists => {
                last = error;
                continue;
            }
            Err(error) => return Err(FolderError::disk("make a folder in", parent)(error)),
        }
        match lock(&path) {
            Ok(Some(lock)) => return Ok((path, Some(lock))),
            // Another run took the folder, not locked yet, for a killed run's.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Ok((path, None)),
        }
    }
    Err(FolderError::disk("make a folder in", parent)(last))
}

fn make_parents(parent: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    let missing: Vec<&Path> = parent.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => made.push(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(FolderError::disk("make the folder", folder)(error)),
        }
    }
    Ok(())
}

/// Removes the parents that this run made, as far as nothing else has moved in.
pub(crate) fn unmake(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

/// Returns whether another process changed the place between a look at it and the rename.
fn is_race(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
    )
}

/// Puts a folder's list of names on the disk.
fn sync_folder(folder: &Path) -> Result<()> {
    platform::sync_folder(folder).map_err(FolderError::disk("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"model_type": "vit"}"#;

    fn old_and_staged(parent: &Path) -> (PathBuf, Staging) {
        let out = parent.join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("config.json"), OLD).unwrap();
        let staging = Staging::begin(&out, &[], Options { force: true, fsync: false }).unwrap();
        staging.write("config.json", b"new").unwrap();
        (out, staging)
    }

    #[test]
    fn without_exchange_the_old_folder_is_moved_aside() {
        let parent = tempfile::tempdir().unwrap();
        let (out, staging) = old_and_staged(parent.path());
        let aside = staging.replace_by_two_renames().unwrap();
        assert_eq!(fs::read(out.join("config.json")).unwrap(), b"new");
        assert_eq!(fs::read(aside.join("config.json")).unwrap(), OLD.as_bytes());
        // A run that is killed here leaves the old folder to the next run, which removes it.
        staging.siblings.clear(&out);
        assert!(!aside.exists());
    }

    #[test]
    fn without_exchange_a_failure_gives_the_old_folder_its_place_back() {
        let parent = tempfile::tempdir().unwrap();
        let (out, staging) = old_and_staged(parent.path());
        fs::remove_dir_all(staging.path()).unwrap();
        assert!(staging.replace_by_two_renames().is_err());
        assert_eq!(fs::read(out.join("config.json")).unwrap(), OLD.as_bytes());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
