//! Writes the files that options name: `--report`, `--attest`, the page of `vitport report`. Each is refused before any work is done where
//! it would overwrite what is read or stand where the folder is to appear, and written whole or not at all. A file that is there
//! already is replaced only by its own kind.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vitport::attestation::is_attestation;
use vitport::folder::publish::Staging;
use vitport::temporary::uninterrupted;
use vitport::verify::{Report, TestImage, is_report, page};
use vitport_checkpoint::escape;
use vitport_checkpoint::platform::{Special, identity, open_for_writing, special};

use crate::failure::Failure;
use crate::terminal::json::json_text;

/// Says what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Means the report of `--report`.
    Report,
    /// Means the attestation of `--attest`.
    Attestation,
    /// Means the page of `vitport report`.
    Overview,
}

impl FileKind {
    fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Attestation => "attestation",
            Self::Overview => "page",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Report => "--report",
            Self::Attestation => "--attest",
            Self::Overview => "--out",
        }
    }

    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Report => &["json", "html", "htm"],
            Self::Attestation => &["json", "jsonl", "intoto"],
            Self::Overview => &["html", "htm"],
        }
    }

    /// Returns whether a file is one of its kind, or empty.
    fn is_one(self, path: &Path) -> bool {
        match self {
            Self::Report | Self::Overview => is_report(path),
            Self::Attestation => is_attestation(path),
        }
    }
}

/// Holds a place for a file.
pub struct OutputFile {
    path: PathBuf,
    /// Gives its name in the folder that is being made, if it lies there: it then appears with the folder.
    inside: Option<String>,
}

impl OutputFile {
    /// Checks that `path` can be written, leaving nothing there yet. `read` are files and folders that must stay as they are; `out` is
    /// the folder that is going to appear.
    ///
    /// # Errors
    /// Of usage, if the report would overwrite something or stand in its place; of disk, if it cannot be written.
    pub fn new(kind: FileKind, path: &Path, read: &[PathBuf], out: Option<&Path>) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let refuse = |why: &str| {
            let (name, option) = (kind.name(), kind.option());
            Err(Failure::usage(format!("the {name} {} {why}; give {option} another place", escape(&shown))))
        };
        let place = resolved(path);
        if place.is_dir() {
            return refuse("is a folder");
        }
        if read.iter().any(|read| is_same_file(read, &place)) {
            return refuse("would overwrite what is read");
        }
        if let Some(why) = taken_by(kind, &place) {
            return refuse(&why);
        }
        let out = out.map(resolved);
        let inside = match out.as_ref().and_then(|out| place.strip_prefix(out).ok()) {
            None => None,
            Some(inside) => match (inside.to_str(), inside.components().count()) {
                (_, 0) => return refuse("would stand where OUT is to appear"),
                _ if kind != FileKind::Report => {
                    return refuse("would lie in OUT, and be one of the folder's files");
                }
                (Some(name), 1) if !is_of_the_model(name) => Some(name.to_owned()),
                (_, 1) => return refuse("would overwrite a file of the model"),
                _ => return refuse("would lie in a folder within OUT, which has none"),
            },
        };
        let extension = place.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let endings = kind.endings();
        if extension.is_some_and(|extension| !endings.contains(&extension.as_str())) {
            let endings: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
            let (name, option, endings) = (kind.name(), kind.option(), endings.join(" or "));
            return Err(Failure::usage(format!(
                "the {name} {} does not end in {endings}; give {option} a name that does",
                escape(&shown)
            )));
        }
        let file = Self { path: place, inside };
        if file.inside.is_none() && !file.is_special() {
            let _section = uninterrupted();
            let (_, temporary) = file.temporary().map_err(|error| Failure::disk(path, &error))?;
            // It was made to see that it can be made.
            let _ = fs::remove_file(temporary);
        }
        Ok(file)
    }

    /// Writes a report: a page for `.html`, otherwise JSON. `staging` is the folder that is about to appear, if one is.
    ///
    /// # Errors
    /// Of disk; then what stood there stands there still.
    pub fn write_report(
        &self,
        report: &Report,
        image: &TestImage,
        staging: Option<&Staging>,
    ) -> Result<(), Failure> {
        let extension = self.path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let is_page = extension.is_some_and(|extension| ["html", "htm"].contains(&extension.as_str()));
        let text = match is_page {
            true => page::html(report, image),
            false => json_text(report)? + "\n",
        };
        match (&self.inside, staging) {
            (Some(name), Some(staging)) => Ok(staging.write(name, text.as_bytes())?),
            (Some(_), None) => Ok(()),
            (None, _) => self.write(&text),
        }
    }

    /// Writes a text.
    ///
    /// # Errors
    /// Of disk; then what stood there stands there still.
    pub fn write(&self, text: &str) -> Result<(), Failure> {
        self.replace(text.as_bytes()).map_err(|error| Failure::disk(&self.path, &error))
    }

    /// Returns the place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether it appears only with the folder.
    pub fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Returns whether it is a device or a pipe, which is written to and not replaced.
    fn is_special(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file())
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        if self.is_special() {
            return open_for_writing(&self.path)?.write_all(text);
        }
        let _section = uninterrupted();
        let (mut file, temporary) = self.temporary()?;
        let written = file.write_all(text).and_then(|()| fs::rename(&temporary, &self.path));
        written.inspect_err(|_| {
            // The error that is reported is the one that came first.
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Makes a file next to it, under a name that only this process uses.
    fn temporary(&self) -> io::Result<(fs::File, PathBuf)> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let path = self.path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((file, path))
    }
}

/// Says what stands at a file's place and must stay; none for nothing, an earlier file of its kind, a terminal or a pipe.
fn taken_by(kind: FileKind, place: &Path) -> Option<String> {
    let there = fs::metadata(place).ok()?.file_type();
    if there.is_file() {
        let article = if kind == FileKind::Attestation { "an" } else { "a" };
        let name = if kind == FileKind::Overview { "page of vitport's" } else { kind.name() };
        (!kind.is_one(place)).then(|| format!("would overwrite a file that is not {article} {name}"))
    } else if matches!(special(there), Some(Special::CharacterDevice | Special::Pipe)) {
        None
    } else {
        Some("would overwrite a device".to_owned())
    }
}

/// Returns whether two paths lead to one file, by whatever names, links included.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().and_then(|file| identity(&file));
    resolved(one) == resolved(other) || identity(one).is_some_and(|file| identity(other) == Some(file))
}

/// Returns whether a file of this name in a model's folder is read by transformers, or is kept when the folder is replaced.
fn is_of_the_model(name: &str) -> bool {
    let read = [
        "config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "generation_config.json",
        "README.md",
        ".gitattributes",
        ".gitignore",
        ".git",
        ".cache",
    ];
    let endings = [".safetensors", ".index.json", ".bin", ".py"];
    if name == "LICENSE" || name.starts_with("LICENSE.") {
        return true;
    }
    read.contains(&name) || endings.iter().any(|ending| name.ends_with(ending))
}

/// Returns the files of a folder that make up its model; none if it is not a folder.
pub fn model_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_read = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(is_of_the_model);
    entries.filter(is_read).map(|entry| entry.path()).collect()
}

/// Returns where a path leads: links followed as far as it exists, the rest as it stands.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(ancestor), absolute.strip_prefix(ancestor)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}
