//! Asks the two questions to the Hub: which commit a revision is and what it holds, and what the etag and size of one file are.

use serde::Deserialize;

use super::address::{Address, quoted};
use super::cache::is_segment;
use super::client::{Answer, Client, cut};
use super::config::Retries;
use super::error::HubError;
use super::etag::Etag;
use super::name::{DEFAULT_REVISION, check_path};
use super::pace::Pace;
use super::progress::Progress;
use super::retry::{Fault, retrying};

/// Limits a listing: one of more bytes than this is not the listing of a model repository.
const LONGEST_LISTING: u64 = 32 << 20;

/// Says what a revision is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevisionFacts {
    pub(super) commit: String,
    /// Lists every file, if the server lists them; mirrors of files alone do not.
    pub(super) listing: Option<Vec<String>>,
}

/// Says what the Hub says of one file before it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub(super) etag: Etag,
    pub(super) size: Option<u64>,
}

/// Holds the parts of `GET /api/models/{id}/revision/{revision}` that matter here.
#[derive(Deserialize)]
struct ModelInfo {
    sha: Option<String>,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Asks the Hub about one repository.
#[derive(Clone, Copy)]
pub(super) struct Questions<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) progress: &'a dyn Progress,
    pub(super) retries: Retries,
}

impl Questions<'_> {
    /// Asks which commit the revision is, and its files.
    pub(super) fn revision(&self, tries: u32) -> Result<RevisionFacts, HubError> {
        let api = format!("/api/models/{}", self.repo);
        let mut paths = vec![format!("{api}/revision/{}", quoted(self.revision, ""))];
        if self.revision == DEFAULT_REVISION {
            paths.push(api);
        }
        let policy = Retries { tries, ..self.retries };
        let mut pace = self.client.pace(true);
        for path in paths {
            let address = self.client.endpoint().with_path(&path);
            if let Some(facts) = retrying(&policy, self.progress, || self.ask_info(&address, &mut pace))? {
                return Ok(facts);
            }
        }
        // A mirror that serves files and nothing else: any answer about a file names the commit.
        let mut commit = None;
        let address = self.file_address(self.revision, super::choice::CONFIG);
        let answer = retrying(&policy, self.progress, || {
            self.client.head(&address, self.repo, |answer| {
                commit = commit.take().or_else(|| commit_in(answer));
                commit.is_some()
            })
        })?;
        match commit {
            Some(commit) => Ok(RevisionFacts { commit, listing: None }),
            None if answer.status == 200 => Err(self.bad_answer("it names no commit (X-Repo-Commit)")),
            None => Err(self.refusal(&answer)),
        }
    }

    /// Asks once for the model's info; returns `None` if the server has no such question.
    fn ask_info(&self, address: &Address, pace: &mut Pace) -> Result<Option<RevisionFacts>, Fault> {
        let answer = self.client.get(address, self.repo, 0)?;
        if answer.status == 404 && answer.header("x-error-code").is_none() {
            return Ok(None);
        }
        if answer.status != 200 {
            return Err(self.refusal(&answer).into());
        }
        let host = self.client.shown_host(&answer.address);
        pace.begin();
        let body = answer.read_all(LONGEST_LISTING, pace);
        pace.end();
        let body =
            body.map_err(|error| cut(&error, false, |why| HubError::Unreachable { host, why, tries: 1 }))?;
        let body = body.ok_or_else(|| self.bad_answer("its list of files is too long"))?;
        let info: ModelInfo = serde_json::from_slice(&body)
            .map_err(|_| self.bad_answer("it does not describe a model in JSON"))?;
        let Some(commit) = info.sha else { return Ok(None) };
        if !is_segment(&commit) {
            return Err(self.bad_answer("it names an invalid commit").into());
        }
        let listing = info.siblings.map(|files| {
            files.into_iter().map(|file| file.rfilename).filter(|path| check_path(path).is_ok()).collect()
        });
        Ok(Some(RevisionFacts { commit, listing }))
    }

    /// Asks what the Hub says of a file of a commit; `None` if there is no such file.
    pub(super) fn file(&self, commit: &str, file: &str) -> Result<Option<FileFacts>, HubError> {
        let address = self.file_address(commit, file);
        let mut linked_etag = None;
        let mut linked_size = None;
        let answer = retrying(&self.retries, self.progress, || {
            (linked_etag, linked_size) = (None, None);
            self.client.head(&address, file, |answer| {
                // The Hub's own redirect to the storage describes what it leads to.
                linked_etag =
                    linked_etag.take().or_else(|| answer.header("x-linked-etag").map(str::to_owned));
                linked_size = linked_size.or_else(|| answer.number("x-linked-size"));
                linked_etag.is_some() && linked_size.is_some()
            })
        })?;
        let is_redirect = answer.redirect().is_some();
        if answer.status == 404 && matches!(answer.header("x-error-code"), None | Some("EntryNotFound")) {
            return Ok(None);
        }
        if answer.status != 200 && !is_redirect {
            return Err(self.refusal(&answer));
        }
        let etag = linked_etag.as_deref().or_else(|| answer.header("etag"));
        let etag = etag
            .ok_or_else(|| self.bad_answer(&format!("it gives '{}' no ETag", super::shown::shown(file))))?;
        let etag =
            Etag::parse(etag).ok_or_else(|| self.bad_answer("its ETag cannot name a file in the cache"))?;
        // The length of a redirect's own body says nothing about the file.
        let size = linked_size.or_else(|| (!is_redirect).then(|| answer.number("content-length")).flatten());
        Ok(Some(FileFacts { etag, size }))
    }

    /// Returns the address from which a file is served.
    pub(super) fn file_address(&self, revision: &str, file: &str) -> Address {
        let path = format!("/{}/resolve/{}/{}", self.repo, quoted(revision, ""), quoted(file, "/"));
        self.client.endpoint().with_path(&path)
    }

    /// Says what an answer other than success means.
    pub(super) fn refusal(&self, answer: &Answer) -> HubError {
        let (repo, hub) = (self.repo.to_owned(), self.client.hub());
        let token_sent = self.client.has_token();
        let status = answer.status;
        if !answer.address.same_origin(self.client.endpoint()) {
            let host = self.client.shown_host(&answer.address);
            return HubError::Status { host, what: repo, status, tries: 1 };
        }
        match (status, answer.header("x-error-code")) {
            (_, Some("GatedRepo")) => HubError::Gated { repo, hub, token_sent },
            (_, Some("RevisionNotFound")) => {
                HubError::UnknownRevision { repo, revision: self.revision.to_owned() }
            }
            (401, _)
                if answer.header("x-error-message")
                    == Some("Invalid credentials in Authorization header") =>
            {
                HubError::TokenRefused { hub }
            }
            (401 | 403 | 404, _) => HubError::NotFoundOrPrivate { repo, hub, status, token_sent },
            _ => HubError::Status { host: hub, what: repo, status, tries: 1 },
        }
    }

    fn bad_answer(&self, why: &str) -> HubError {
        HubError::BadAnswer { host: self.client.hub(), what: self.repo.to_owned(), why: why.to_owned() }
    }
}

fn commit_in(answer: &Answer) -> Option<String> {
    answer.header("x-repo-commit").filter(|commit| is_segment(commit)).map(str::to_owned)
}
