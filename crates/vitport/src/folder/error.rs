//! Says what can go wrong with a folder on disk, each case with what to do about it, and the class that decides the command's
//! exit code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use vitport_checkpoint::{Reason, escape};

/// Stands for what this module returns.
pub type Result<T> = std::result::Result<T, FolderError>;

/// Says who has to act on a [`FolderError`], and so which exit code the command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderErrorClass {
    /// Means that what was asked for cannot be done as asked: exit code 2.
    Usage,
    /// Means that a file that was to be read is refused: exit code 3.
    Source,
    /// Means that the disk did not take what was written: exit code 6.
    Disk,
    /// Means that the plan contradicts itself, which is a bug of vitport's: exit code 1.
    Bug,
}

/// Says why a folder could not be written or read. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Means that the output path has no last name, such as an empty path or `/`.
    #[error("{} does not name a folder that could be made; name the output folder itself", ShownPath(.0))]
    Unnamed(PathBuf),
    /// Means that the output path is taken by something that is not a folder.
    #[error("{} is a {what}, not a folder; choose another output name or move it away", ShownPath(.out))]
    NotAFolder {
        /// Gives the output path.
        out: PathBuf,
        /// Says what is there instead.
        what: &'static str,
    },
    /// Means that the output path is a symbolic link, which replacing would cut.
    #[error("{} is a symbolic link to {}; name the folder that it points to, or remove the link", ShownPath(.out), ShownPath(.target))]
    Symlink {
        /// Gives the output path.
        out: PathBuf,
        /// Says where the link points.
        target: PathBuf,
    },
    /// Means that the output folder exists and may not be replaced.
    #[error("{} exists and is not empty; choose another output name, or replace it with --force", ShownPath(.0))]
    Exists(PathBuf),
    /// Means that the output folder may be replaced but holds no model.
    #[error(
        "{} has no config.json of a transformers model, nor one that vitport made, so --force will not delete it; choose another \
         output name or remove it yourself",
        ShownPath(.0)
    )]
    NotAModel(PathBuf),
    /// Means that the output folder may be replaced but holds folders, which no model folder of vitport's does.
    #[error(
        "{} holds the folder {}, which --force will not delete; move it away or choose another output name",
        ShownPath(.out),
        ShownPath(.inner)
    )]
    HoldsFolder {
        /// Gives the output path.
        out: PathBuf,
        /// Gives the name of the folder in it.
        inner: PathBuf,
    },
    /// Means that the output folder may be replaced but holds a file, or a link, that no conversion writes.
    #[error(
        "{} holds {}, which no conversion writes and --force will not delete; move it away or choose another output name",
        ShownPath(.out),
        ShownPath(.file)
    )]
    HoldsFile {
        /// Gives the output path.
        out: PathBuf,
        /// Gives the name of the file in it.
        file: PathBuf,
    },
    /// Means that the output folder is where the command was started, or contains that place.
    #[error("{} is or contains the current folder, which cannot be replaced; name a new folder, such as {}", ShownPath(.0), ShownPath(&.0.join("model")))]
    Current(PathBuf),
    /// Means that the output folder is a mount point, which cannot be renamed over.
    #[error("{} is a mount point, which cannot be replaced in one step; name a folder in it, such as {}", ShownPath(.0), ShownPath(&.0.join("model")))]
    MountPoint(PathBuf),
    /// Means that writing the output would replace the source or write into it.
    #[error("the output {} {relation} the source {}; choose an output folder outside the source", ShownPath(.out), ShownPath(.source_path))]
    Overlap {
        /// Gives the output path.
        out: PathBuf,
        /// Says how the two lie to each other.
        relation: &'static str,
        /// Gives the source path.
        source_path: PathBuf,
    },
    /// Means that a folder on the way to the output is a file.
    #[error("{} is not a folder, so {} cannot be made in it; choose another output name", ShownPath(.parent), ShownPath(.out))]
    ParentNotAFolder {
        /// Gives the part of the path that is not a folder.
        parent: PathBuf,
        /// Gives the output path.
        out: PathBuf,
    },
    /// Means that a shard size cannot be understood.
    #[error("{0:?} is not a size; write a number of bytes or one with a unit, such as 5GB, 500MB or 2GiB")]
    ShardSize(String),
    /// Means that a tensor of integers or truth values was asked for in another dtype.
    #[error("tensor `{tensor}` holds {from}, which is never cast to {to}; leave its dtype as it is")]
    NotCastable {
        /// Gives the name in the target.
        tensor: String,
        /// Gives the dtype in the source.
        from: &'static str,
        /// Gives the dtype that was asked for.
        to: &'static str,
    },
    /// Means that a finite value of the source is beyond the target dtype's range.
    #[error("tensor `{tensor}` holds {value:e}, which is beyond {to} and would become infinite; {advice}")]
    Overflow {
        /// Gives the name in the target.
        tensor: String,
        /// Gives the source's value, or the product of the two that were multiplied.
        value: f64,
        /// Gives the dtype that was asked for.
        to: &'static str,
        /// Says what to do next.
        advice: &'static str,
    },
    /// Means that the source's weights are refused.
    #[error(transparent)]
    Source(#[from] vitport_checkpoint::CheckpointError),
    /// Means that a file of a model folder that should be read cannot be.
    #[error("{} {why}; {advice}", ShownPath(.path))]
    Unreadable {
        /// Gives the file.
        path: PathBuf,
        /// Says what is wrong with it.
        why: String,
        /// Says what to do next.
        advice: &'static str,
    },
    /// Means that a call to the file system failed.
    #[error("cannot {action} {}: {cause}; {}", ShownPath(.path), advice(.cause))]
    Disk {
        /// Says what was being done.
        action: &'static str,
        /// Names the file or folder.
        path: PathBuf,
        /// Holds what the system answered.
        #[source]
        cause: io::Error,
    },
    /// Means that the plan contradicts itself.
    #[error("the plan for tensor `{tensor}` is inconsistent: {why}; this is a bug, please report it")]
    Plan {
        /// Gives the name in the target.
        tensor: String,
        /// Says what does not fit.
        why: String,
    },
}

impl FolderError {
    /// Says who has to act.
    pub fn class(&self) -> FolderErrorClass {
        match self {
            FolderError::Source(_) | FolderError::Unreadable { .. } => FolderErrorClass::Source,
            FolderError::Disk { .. } => FolderErrorClass::Disk,
            FolderError::Plan { .. } => FolderErrorClass::Bug,
            _ => FolderErrorClass::Usage,
        }
    }

    /// Returns whether a folder is there and says something that cannot be read, or that contradicts itself: transformers may open
    /// it otherwise, or not at all.
    pub fn is_about_contents(&self) -> bool {
        match self {
            FolderError::Unreadable { path, .. } => path.exists() && !path.is_dir(),
            FolderError::Source(error) => {
                matches!(error.reason(), Some(Reason::Shard | Reason::Contradiction))
            }
            _ => false,
        }
    }

    /// Wraps a failed system call; to be used with `map_err`.
    pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
        move |cause| FolderError::Disk { action, path: path.to_owned(), cause }
    }
}

/// Returns what to do about a failed system call.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull => "free some space or choose an output folder on another disk",
        io::ErrorKind::QuotaExceeded => "free some of your quota or choose an output folder on another disk",
        io::ErrorKind::FileTooLarge => {
            "raise the file size limit (ulimit -f) or write smaller files with --max-shard-size"
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose an output folder on a disk that can be written to",
        io::ErrorKind::PermissionDenied => {
            "choose an output folder that you may write to, or change its permissions"
        }
        io::ErrorKind::InvalidFilename => "choose a shorter output name",
        io::ErrorKind::NotFound => "check that nothing else moves or deletes folders there, then try again",
        _ => "check the disk, then try again",
    }
}

/// Shows a path between backticks, with everything that a terminal would act on escaped.
pub(crate) struct ShownPath<'a>(pub &'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", escape(self.0.to_string_lossy().as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_escape_in_a_path_is_spelled_out() {
        let error = FolderError::Exists(PathBuf::from("ö\u{1b}[31m\n\u{202e}x\"\\"));
        let message = error.to_string();
        assert!(message.starts_with("`ö\\u{1b}[31m\\n\\u{202e}x\"\\` exists"), "{message}");
        assert_eq!(error.class(), FolderErrorClass::Usage);
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let error =
            FolderError::disk("write", Path::new("/x/model.safetensors"))(io::ErrorKind::StorageFull.into());
        assert_eq!(error.class(), FolderErrorClass::Disk);
        let message = error.to_string();
        assert!(message.starts_with("cannot write `/x/model.safetensors`: "), "{message}");
        assert!(
            message.ends_with("; free some space or choose an output folder on another disk"),
            "{message}"
        );
    }
}
