//! Records what has been done: a file of one JSON object a line, written as each job goes, from which a later run knows what it
//! need not do again.
//!
//! A job is done if a line says so, nothing that it was made from has changed since (the job's own fields, the files it
//! read), and the folder holds what that line says, file by file. The line is on the disk before the folder takes its name,
//! so a run that is killed between the two leaves either no folder or one that is known; a line whose folder never came is
//! simply not true. Lines that were cut short are passed over.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use vitport::card;
use vitport_checkpoint::{escape, open_regular};

use super::document::JobDocument;
use super::jobs::Job;
use crate::arguments::JobShard;
use crate::failure::Failure;
use crate::terminal::json::json_line;

/// Gives the size up to which files are compared by their hash, larger ones by their size.
const MOST_HASHED: u64 = 16 << 20;

/// Describes a file and what distinguishes it from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: PathBuf,
    bytes: u64,
    /// Says when it was last changed, in nanoseconds since 1970: of what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<i64>,
    /// Gives its sha256: of what was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl FileStamp {
    /// Looks at a file that a job reads.
    pub fn read(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok();
        let changed = changed.and_then(|since| i64::try_from(since.as_nanos()).ok());
        Some(Self { path: std::path::absolute(path).ok()?, bytes: metadata.len(), changed, sha256: None })
    }

    /// Looks at a file of a folder that a job wrote, by its name there.
    fn written(folder: &Path, name: &Path) -> Option<Self> {
        let path = folder.join(name);
        let bytes = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        let sha256 = match bytes <= MOST_HASHED {
            true => {
                Some(Sha256::digest(fs::read(&path).ok()?).iter().map(|byte| format!("{byte:02x}")).collect())
            }
            false => None,
        };
        Some(Self { path: name.to_owned(), bytes, changed: None, sha256 })
    }
}

/// Describes a folder that was about to appear.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    event: String,
    job: Map<String, Value>,
    out: PathBuf,
    exit_code: u8,
    inputs: Vec<FileStamp>,
    files: Vec<FileStamp>,
}

/// Writes the results file of a run.
pub struct Results {
    path: PathBuf,
    file: Mutex<File>,
}

impl Results {
    /// Returns where they are kept if no place is given: next to the jobs, one file a shard, so that shards on several machines never
    /// write into one.
    pub fn default_path(jobs: &Path, shard: JobShard) -> Option<PathBuf> {
        let stem = jobs.file_stem().filter(|_| jobs != Path::new("-"))?.to_string_lossy().into_owned();
        let part =
            if shard.is_whole() { String::new() } else { format!(".{}-of-{}", shard.index, shard.count) };
        Some(jobs.with_file_name(format!("{stem}.results{part}.jsonl")))
    }

    /// Opens the file and locks it for as long as the run lasts.
    ///
    /// # Errors
    /// A usage failure if another run has it or it is a file of another kind, a disk failure if it cannot be written.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::disk(path, &error);
        if path.exists() && !is_results(path).map_err(failed)? {
            let shown = path.display().to_string();
            return Err(Failure::usage(format!(
                "{}: this is not a results file of a batch, and nothing is added to it; give --results another place",
                escape(&shown)
            )));
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let shown = path.display().to_string();
            return Err(Failure::usage(format!(
                "{}: another run is writing its results there; wait for it, or give this one another --shard or --results",
                escape(&shown)
            )));
        }
        // A killed run may have left half a line.
        let length = file.metadata().map_err(failed)?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))
                .and_then(|_| file.read_exact(&mut last))
                .map_err(failed)?;
            if last != *b"\n" {
                file.write_all(b"\n").map_err(failed)?;
            }
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Writes down that a job's folder is about to appear, and waits until that is on the disk.
    ///
    /// # Errors
    /// A disk failure.
    pub fn publishing(
        &self,
        job: &Job,
        staged: &Path,
        names: &[String],
        inputs: Vec<FileStamp>,
        exit_code: u8,
    ) -> Result<(), Failure> {
        // The card may be edited, and belongs to its reader.
        let of_model = names.iter().filter(|name| *name != card::FILE_NAME);
        let record = Record {
            event: "publishing".to_owned(),
            job: essence(job),
            out: job.out.clone(),
            exit_code,
            inputs,
            files: of_model.filter_map(|name| FileStamp::written(staged, Path::new(name))).collect(),
        };
        self.append(&json!(record))
    }

    /// Writes down how a job ended.
    ///
    /// # Errors
    /// A disk failure.
    pub fn finished(&self, job: &JobDocument) -> Result<(), Failure> {
        /// Says what happened.
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            #[serde(flatten)]
            job: &'a JobDocument,
        }
        self.append(&json!(Line { event: "end", job }))
    }

    /// Appends one line in one write, so that lines of several writers do not mix.
    fn append(&self, value: &Value) -> Result<(), Failure> {
        let line = json_line(value);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| Failure::disk(&self.path, &error))
    }
}

/// Lists what earlier runs did.
#[derive(Default)]
pub struct Done {
    records: HashMap<PathBuf, Record>,
}

impl Done {
    /// Reads the results of earlier runs: the file itself, and those of other shards next to it.
    pub fn read(results: &Path) -> Self {
        let mut done = Self::default();
        for path in siblings(results) {
            let mut text = Vec::new();
            let read = open_regular(&path).and_then(|mut file| file.read_to_end(&mut text));
            if read.is_err() {
                continue;
            }
            for line in String::from_utf8_lossy(&text).lines() {
                if let Ok(record) = serde_json::from_str::<Record>(line)
                    && record.event == "publishing"
                {
                    done.records.insert(record.out.clone(), record);
                }
            }
        }
        done
    }

    /// Returns whether a job need not be done again.
    pub fn holds(&self, job: &Job) -> bool {
        self.records.get(&job.out).is_some_and(|record| {
            record.exit_code == 0
                && record.job == essence(job)
                && !record.files.is_empty()
                && record.inputs.iter().all(|input| FileStamp::read(&input.path).as_ref() == Some(input))
                && record
                    .files
                    .iter()
                    .all(|file| FileStamp::written(&job.out, &file.path).as_ref() == Some(file))
        })
    }
}

/// Returns whether a file is one of results, or empty. A killed run may have left half a line.
fn is_results(path: &Path) -> io::Result<bool> {
    const BEGINNING: &str = "{\"event\":\"";
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut beginning = Vec::new();
    open_regular(path)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(BEGINNING.as_bytes().starts_with(&beginning))
}

/// Returns the fields that decide what a folder holds.
fn essence(job: &Job) -> Map<String, Value> {
    let mut fields = job.fields.clone();
    fields.retain(|name, _| !matches!(name.as_str(), "force" | "report" | "attest" | "out"));
    fields
}

/// Finds the results file and those whose names differ from it in the shard only.
fn siblings(results: &Path) -> Vec<PathBuf> {
    let name = results.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let whole = JobShard::without(&name);
    let parent = results.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| JobShard::without(&entry.file_name().to_string_lossy()) == whole)
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}
