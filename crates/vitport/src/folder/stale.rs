//! Names the temporary folders next to the output, distinguishes a live one from one that a killed run left behind, and
//! removes the latter.
//!
//! The process that owns a temporary folder holds an advisory lock (`flock`) on the folder itself. The system lets go of
//! it when the process ends, however it ends, so a folder that can be locked belongs to nobody. On file systems that
//! know no such locks, nothing is ever taken for stale.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use vitport_checkpoint::platform::{identity, open_folder, open_to_owner};

use super::kept;
use super::written::first_foreign;

/// Says where the temporary folders of one output path lie, and what they are called.
#[derive(Debug, Clone)]
pub(super) struct Siblings {
    parent: PathBuf,
    prefix: OsString,
}

/// Says what a temporary folder is for. The difference shows in its name, because a killed run must leave behind which of them
/// may hold the only copy of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Means a folder being filled, or one that has been replaced: `.NAME.vitport-XXXXXX`.
    Scratch,
    /// Means the folder that stood at the output path, while its successor moves in: `.NAME.vitport-old-XXXXXX`.
    Aside,
}

const ASIDE: &str = "old-";
const RANDOM: usize = 6;

impl Siblings {
    /// Describes the temporary folders of the folder `name` in `parent`.
    pub(super) fn new(parent: &Path, name: &OsStr) -> Self {
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".vitport-");
        Siblings { parent: parent.to_owned(), prefix }
    }

    /// Returns a path that nobody uses yet, most probably.
    pub(super) fn fresh(&self, purpose: Purpose) -> PathBuf {
        let mut name = self.prefix.clone();
        if purpose == Purpose::Aside {
            name.push(ASIDE);
        }
        let mut random = RandomState::new().hash_one(std::process::id());
        for _ in 0..RANDOM {
            let digit = u32::try_from(random % 36).ok().and_then(|digit| char::from_digit(digit, 36));
            name.push(digit.unwrap_or('0').encode_utf8(&mut [0; 4]));
            random /= 36;
        }
        self.parent.join(name)
    }

    /// Removes what killed runs left behind. Should one have been killed after it moved the old folder aside and before
    /// the new one was in place, the old one gets its place back; after that, what is kept of the old one is moved to the
    /// new one. What cannot be removed, or holds a file that no conversion writes, is left for another day.
    pub(super) fn clear(&self, out: &Path) {
        let Ok(entries) = fs::read_dir(&self.parent) else { return };
        for entry in entries.flatten() {
            let Some(purpose) = self.purpose(&entry.file_name()) else { continue };
            let path = entry.path();
            let Ok(Some(_lock)) = lock(&path) else { continue };
            if purpose == Purpose::Aside && fs::symlink_metadata(out).is_err() {
                let _ = fs::rename(&path, out);
            } else if kept::rescue(&path, out).is_ok()
                && first_foreign(&path).is_ok_and(|file| file.is_none())
            {
                let _ = remove(&path);
            }
        }
    }

    fn purpose(&self, name: &OsStr) -> Option<Purpose> {
        let rest = name.as_encoded_bytes().strip_prefix(self.prefix.as_encoded_bytes())?;
        let (purpose, random) = match rest.strip_prefix(ASIDE.as_bytes()) {
            Some(random) => (Purpose::Aside, random),
            None => (Purpose::Scratch, rest),
        };
        let is_ours = random.len() == RANDOM
            && random.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        is_ours.then_some(purpose)
    }
}

/// Locks the folder at `path`: `None` when somebody else holds it, or when it went away or became another one while it
/// was being locked.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(None);
    }
    let folder = open_folder(path)?;
    match folder.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let locked = folder.metadata()?;
    let here = fs::symlink_metadata(path);
    let unchanged = here.is_ok_and(|here| identity(&here) == identity(&locked));
    Ok(unchanged.then_some(folder))
}

/// Removes a folder and all in it, while somebody else may be doing the same. Folders in it that may not be written to are
/// opened up first, as far as they belong to this user.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for _ in 0..8 {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return open_up(path).and_then(|()| fs::remove_dir_all(path));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_err() {
                    return Ok(());
                }
            }
            result => return result,
        }
    }
    fs::remove_dir_all(path)
}

/// Lets the owner of a folder change what is in it and in the folders below.
fn open_up(folder: &Path) -> io::Result<()> {
    open_to_owner(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folders_that_may_not_be_written_to_are_opened_up() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, below) = (parent.path().join("model"), parent.path().join("model/below"));
        fs::create_dir_all(&below).unwrap();
        std::os::unix::fs::symlink(parent.path(), folder.join("link")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for path in [&below, &folder, &parent.path().to_owned()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
        }
        open_up(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&below)), (0o755, 0o755));
        assert_eq!(mode(parent.path()), 0o555, "a link is not followed");
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn only_our_own_names_are_taken_for_ours() {
        let siblings = Siblings::new(Path::new("/p"), OsStr::new("model"));
        for purpose in [Purpose::Scratch, Purpose::Aside] {
            let fresh = siblings.fresh(purpose);
            assert_eq!(fresh.parent(), Some(Path::new("/p")));
            assert_eq!(siblings.purpose(fresh.file_name().unwrap()), Some(purpose), "{fresh:?}");
        }
        for stranger in [
            "model",
            ".model.vitport-",
            ".model.vitport-abc",
            ".model.vitport-ABCDEF",
            ".model2.vitport-abcdef",
            ".model.vitport-abcdef.bak",
        ] {
            assert_eq!(siblings.purpose(OsStr::new(stranger)), None, "{stranger}");
        }
    }

    #[test]
    fn a_locked_folder_is_left_alone_and_an_unlocked_one_removed() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("model");
        let siblings = Siblings::new(parent.path(), OsStr::new("model"));
        let (live, stale) = (siblings.fresh(Purpose::Scratch), siblings.fresh(Purpose::Scratch));
        for folder in [&live, &stale] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("config.json"), "{}").unwrap();
        }
        let held = lock(&live).unwrap().unwrap();
        siblings.clear(&out);
        assert!(live.join("config.json").exists());
        assert!(!stale.exists());
        drop(held);
        siblings.clear(&out);
        assert!(!live.exists());
    }

    #[test]
    fn an_old_folder_that_was_only_moved_aside_gets_its_place_back() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("model");
        let siblings = Siblings::new(parent.path(), OsStr::new("model"));
        for expected in ["first", "first"] {
            let aside = siblings.fresh(Purpose::Aside);
            fs::create_dir(&aside).unwrap();
            fs::write(aside.join("config.json"), expected).unwrap();
            siblings.clear(&out);
            assert_eq!(fs::read_to_string(out.join("config.json")).unwrap(), "first");
            assert!(!aside.exists());
        }
    }
}
