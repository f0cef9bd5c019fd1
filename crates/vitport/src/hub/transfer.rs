//! Gets the bytes of one file into the cache: resumed where an earlier transfer stopped, repeated when the stream is cut, and
//! compared with the size and the etag before anybody can find them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use vitport_checkpoint::platform::{Special, free_bytes, special};

use super::cache::RepoCache;
use super::choice::{CONFIG, LONGEST_INDEX};
use super::client::{Answer, cut};
use super::error::HubError;
use super::info::{FileFacts, Questions};
use super::pace::Pace;
use super::progress::FetchEvent;
use super::retry::{Fault, retrying};
use super::shown::shown;
use crate::front_matter::{CARD, MOST_BYTES};
use crate::source::MAX_CONFIG_BYTES;

/// Gives the bytes read from the network at once.
const BLOCK: usize = 128 * 1024;

/// Gives the bytes of progress: a try that brought at least so many does not count against the number of tries: a large file
/// over a bad line is cut many times, and each time it is further.
const PROGRESS: u64 = 64 * 1024;

/// Returns how many bytes whoever reads a file accepts; none for weights, whose size is theirs to say.
fn limit(file: &str) -> Option<u64> {
    match file {
        CONFIG => Some(MAX_CONFIG_BYTES),
        CARD => Some(MOST_BYTES),
        _ if file.ends_with(".index.json") => Some(LONGEST_INDEX),
        _ => None,
    }
}

/// Fetches files of one commit of one repository.
pub(super) struct Transfer<'a> {
    pub(super) questions: &'a Questions<'a>,
    pub(super) cache: &'a RepoCache,
    pub(super) commit: &'a str,
}

impl Transfer<'_> {
    /// Returns the place of `file` in the cache, fetched if it is not there; `None` if the commit has no such file.
    pub(super) fn fetch(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        let progress = self.questions.progress;
        if let Some(place) = self.cache.file(self.commit, file) {
            progress.event(FetchEvent::Cached { file });
            return Ok(Some(place));
        }
        let Some(facts) = self.questions.file(self.commit, file)? else { return Ok(None) };
        if let Some((limit, _)) = limit(file).zip(facts.size).filter(|(limit, size)| size > limit) {
            return Err(self.too_large(file, limit));
        }
        let lock = self.cache.lock(&facts.etag, file, progress)?;
        if self.has_blob(&facts) {
            progress.event(FetchEvent::Cached { file });
        } else {
            self.receive(file, &facts)?;
            progress.event(FetchEvent::Finished { file });
        }
        let place = self.cache.link(self.commit, file, &facts.etag)?;
        drop(lock);
        Ok(Some(place))
    }

    /// Returns whether the blob lies in the cache, whole.
    fn has_blob(&self, facts: &FileFacts) -> bool {
        fs::metadata(self.cache.blob(&facts.etag))
            .is_ok_and(|there| there.is_file() && facts.size.is_none_or(|size| there.len() == size))
    }

    fn too_large(&self, file: &str, limit: u64) -> HubError {
        let address =
            format!("'{}' of {} at {}", shown(file), self.questions.repo, self.questions.client.hub());
        HubError::TooLarge { address, limit }
    }

    fn receive(&self, file: &str, facts: &FileFacts) -> Result<(), HubError> {
        let blob = self.cache.blob(&facts.etag);
        let folder = blob.parent().unwrap_or(self.cache.root());
        fs::create_dir_all(folder).map_err(|source| HubError::disk("create the folder", folder, source))?;
        let incomplete = self.cache.incomplete(&facts.etag);
        if let Some(size) = facts.size {
            let here = fs::metadata(&incomplete).map_or(0, |there| there.len());
            check_room(folder, file, size.saturating_sub(here))?;
        }
        let mut partial = Partial::open(file, incomplete)?;
        if facts.size.is_some_and(|size| partial.length > size) {
            partial.restart()?;
        }
        let mut resumed = partial.length > 0;
        self.questions.progress.event(FetchEvent::Started {
            file,
            size: facts.size,
            resumed_from: partial.length,
        });
        loop {
            self.receive_all(file, facts, &mut partial, &mut resumed)?;
            match facts.etag.check(&partial.path)? {
                Ok(()) => break,
                // What an earlier transfer left may have been another file.
                Err(_) if resumed => {
                    self.questions.progress.event(FetchEvent::Restarted { file });
                    partial.restart()?;
                    resumed = false;
                }
                Err((algorithm, found)) => {
                    partial.discard();
                    let host = self.questions.client.hub();
                    let etag = facts.etag.name().to_owned();
                    return Err(HubError::WrongDigest {
                        file: file.to_owned(),
                        host,
                        etag,
                        algorithm,
                        found,
                    });
                }
            }
        }
        partial.publish(&blob)
    }

    /// Receives until the file is as long as it should be.
    fn receive_all(
        &self,
        file: &str,
        facts: &FileFacts,
        partial: &mut Partial,
        resumed: &mut bool,
    ) -> Result<(), HubError> {
        let mut pace = self.questions.client.pace(limit(file).is_some());
        let mut furthest = partial.length;
        let result = retrying(&self.questions.retries, self.questions.progress, || {
            if facts.size.is_some_and(|size| partial.length == size) {
                return Ok(());
            }
            *resumed |= partial.length > 0;
            self.receive_once(file, facts, partial, &mut furthest, &mut pace)
        });
        // What is of the wrong size cannot be resumed, and what is empty need not be.
        let is_wrong = matches!(&result, Err(HubError::WrongSize { .. } | HubError::TooLarge { .. }));
        if is_wrong || (result.is_err() && partial.length == 0) {
            partial.discard();
        }
        result
    }

    /// Returns whether an answer has the whole file again, and makes what was received of it fit.
    ///
    /// # Errors
    /// Returns a fault where the server cannot go on or refuses.
    fn begins_anew(
        &self,
        file: &str,
        answer: &Answer,
        host: &str,
        partial: &mut Partial,
    ) -> Result<bool, Fault> {
        match answer.status {
            206 if partial.length > 0 && range_start(answer) == Some(partial.length) => Ok(false),
            200 if partial.length == 0 => Ok(false),
            200 => {
                self.questions.progress.event(FetchEvent::Restarted { file });
                partial.restart()?;
                Ok(true)
            }
            206 | 416 => {
                self.questions.progress.event(FetchEvent::Restarted { file });
                partial.restart()?;
                let (host, what) = (host.to_owned(), file.to_owned());
                let error = HubError::Status { host, what, status: answer.status, tries: 1 };
                let why = "the server cannot go on from where it stopped".to_owned();
                Err(Fault::Passing {
                    why,
                    retry_after: None,
                    progressed: false,
                    absent: false,
                    error: Box::new(error),
                })
            }
            _ => Err(self.questions.refusal(answer).into()),
        }
    }

    /// Sends one GET, from where `partial` ends to the end of the stream. `furthest` is how far any try has come.
    fn receive_once(
        &self,
        file: &str,
        facts: &FileFacts,
        partial: &mut Partial,
        furthest: &mut u64,
        pace: &mut Pace,
    ) -> Result<(), Fault> {
        let address = self.questions.file_address(self.commit, file);
        let answer = self.questions.client.get(&address, file, partial.length)?;
        let host = self.questions.client.shown_host(&answer.address);
        let wrong_size = |expected, found| HubError::WrongSize {
            file: file.to_owned(),
            host: host.clone(),
            expected,
            found,
        };
        let is_restarted = self.begins_anew(file, &answer, &host, partial)?;
        let announced = answer.number("content-length").and_then(|rest| rest.checked_add(partial.length));
        if let Some((expected, found)) =
            facts.size.zip(announced).filter(|(expected, found)| expected != found)
        {
            return Err(wrong_size(expected, found).into());
        }
        let expected = facts.size.or(announced);
        let limit = limit(file);
        if let Some((limit, _)) = limit.zip(expected).filter(|(limit, size)| size > limit) {
            return Err(self.too_large(file, limit).into());
        }
        // A server that begins anew each time gets nobody any further.
        let before = *furthest;
        let mut reader = answer.body.into_reader();
        let mut block = vec![0; BLOCK];
        let cut_short = |error: &io::Error, received: u64| {
            let progressed = !is_restarted && received.saturating_sub(before) >= PROGRESS;
            cut(error, progressed, |why| HubError::Cut {
                file: file.to_owned(),
                host: host.clone(),
                received,
                expected,
                tries: 1,
                why,
            })
        };
        pace.begin();
        loop {
            let read = reader.read(&mut block).and_then(|count| pace.received(count).map(|()| count));
            let count = match read {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    pace.end();
                    return Err(cut_short(&error, partial.length));
                }
            };
            let Some(bytes) = block.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            partial.append(bytes)?;
            *furthest = partial.length.max(*furthest);
            self.questions.progress.event(FetchEvent::Received { bytes: u64::try_from(count).unwrap_or(0) });
            if let Some(size) = expected.filter(|size| partial.length > *size) {
                return Err(wrong_size(size, partial.length).into());
            }
            if let Some(limit) = limit.filter(|limit| partial.length > *limit) {
                return Err(self.too_large(file, limit).into());
            }
        }
        pace.end();
        match expected {
            Some(size) if partial.length < size => {
                Err(cut_short(&io::ErrorKind::UnexpectedEof.into(), partial.length))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the first byte's place in `Content-Range: bytes 10-99/100`.
fn range_start(answer: &Answer) -> Option<u64> {
    answer
        .header("content-range")?
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Refuses to begin what cannot end: a full disk is found after seconds instead of after gigabytes.
fn check_room(folder: &Path, file: &str, needed: u64) -> Result<(), HubError> {
    if free_bytes(folder).is_none_or(|free| free >= needed) {
        return Ok(());
    }
    Err(HubError::DiskFull { file: file.to_owned(), folder: folder.to_owned(), needed: Some(needed) })
}

/// Stands for the `.incomplete` file.
struct Partial {
    /// Gives the path in the repository, for messages.
    name: String,
    path: PathBuf,
    file: File,
    length: u64,
}

impl Partial {
    fn open(name: &str, path: PathBuf) -> Result<Self, HubError> {
        let open = |source| HubError::disk("open", &path, source);
        let would_block = |kind| matches!(special(kind), Some(Special::Pipe | Special::Socket));
        if fs::metadata(&path).is_ok_and(|there| would_block(there.file_type())) {
            return Err(open(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file")));
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(open)?;
        let length = file.metadata().map_err(open)?.len();
        Ok(Self { name: name.to_owned(), path, file, length })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|source| self.cannot_write(source))?;
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(|source| HubError::disk("empty", &self.path, source))?;
        self.length = 0;
        Ok(())
    }

    /// Removes what cannot be resumed. If that fails too, the next transfer finds it and begins anew.
    fn discard(&mut self) {
        let _ = self.restart();
        let _ = fs::remove_file(&self.path);
    }

    fn publish(self, blob: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(|source| self.cannot_write(source))?;
        drop(self.file);
        fs::rename(&self.path, blob).map_err(|source| HubError::disk("write", blob, source))
    }

    fn cannot_write(&self, source: io::Error) -> HubError {
        match HubError::disk("write", &self.path, source) {
            HubError::DiskFull { folder, needed, .. } => {
                HubError::DiskFull { file: self.name.clone(), folder, needed }
            }
            other => other,
        }
    }
}
