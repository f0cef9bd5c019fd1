//! Says what can go wrong between a name and a file in the cache, each said in one line: what, where, why, and what to do next.
//! No message holds a token, nor any sentence that a server wrote.

use std::io;
use std::path::{Path, PathBuf};

use super::shown::shown;

/// Says why a model or an image could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Means that the text is not the name of a repository.
    #[error("'{}' is not the name of a repository on the Hub: {why}; write org/name, org/name@revision or org/name:file.pth", shown(.text))]
    BadName {
        /// Says what was given.
        text: String,
        /// Says what is wrong with it.
        why: String,
    },
    /// Means that an address cannot be used.
    #[error("cannot use the address '{address}': {why}")]
    BadAddress {
        /// Gives the address, without user information and query.
        address: String,
        /// Says what is wrong with it.
        why: String,
    },
    /// Means that a proxy, certificate file or token cannot be used.
    #[error("cannot use {what}: {why}")]
    BadSetting {
        /// Says which setting.
        what: String,
        /// Says what is wrong with it.
        why: String,
    },
    /// Means that the Hub shows no such repository to us. It answers alike for what is missing and what is private.
    #[error("{hub} shows no repository '{repo}' (status {status}): it does not exist, or it is private, which the Hub does not tell apart; check the spelling, {}", if *.token_sent { "and whether the token that was sent may read it" } else { "and set HF_TOKEN if it is private" })]
    NotFoundOrPrivate {
        /// Names the repository.
        repo: String,
        /// Gives the Hub's origin.
        hub: String,
        /// Gives the status of its answer: 401, 403 or 404.
        status: u16,
        /// Says whether a token went with the request.
        token_sent: bool,
    },
    /// Means that the owner of the repository wants to be asked first.
    #[error("'{repo}' is gated: ask for access at {hub}/{repo}, {}", if *.token_sent { "with the account whose token was sent" } else { "then set HF_TOKEN" })]
    Gated {
        /// Names the repository.
        repo: String,
        /// Gives the Hub's origin.
        hub: String,
        /// Says whether a token went with the request.
        token_sent: bool,
    },
    /// Means that the Hub does not know the token.
    #[error(
        "{hub} does not accept the token that was sent; make a new one, or unset HF_TOKEN for a public repository"
    )]
    TokenRefused {
        /// Gives the Hub's origin.
        hub: String,
    },
    /// Means that the repository has no such branch, tag, commit or pull request.
    #[error("'{repo}' has no revision '{}'; name a branch, a tag, a commit or refs/pr/N", shown(.revision))]
    UnknownRevision {
        /// Names the repository.
        repo: String,
        /// Gives the revision asked for.
        revision: String,
    },
    /// Means that the repository has no such file at this revision.
    #[error("'{repo}' has no file '{}' at revision '{}'", shown(.file), shown(.revision))]
    UnknownFile {
        /// Names the repository.
        repo: String,
        /// Gives the revision asked for.
        revision: String,
        /// Gives the path in the repository.
        file: String,
    },
    /// Means that nothing in the repository is a checkpoint.
    #[error("'{repo}' holds no checkpoint at revision '{}': no model.safetensors, no pytorch_model.bin, and no other .safetensors, .pth, .pt, .bin or .npz file", shown(.revision))]
    NoWeights {
        /// Names the repository.
        repo: String,
        /// Gives the revision asked for.
        revision: String,
    },
    /// Means that the repository holds several checkpoints and nothing says which is meant.
    #[error("'{repo}' holds {} checkpoints: {}; pick one, such as {repo}:{}", .files.len(), listed(.files), shown(.files.first().map_or("file.pth", String::as_str)))]
    SeveralWeights {
        /// Names the repository.
        repo: String,
        /// Lists the candidates.
        files: Vec<String>,
    },
    /// Means that an index file names shards in a way that cannot be followed.
    #[error("the index '{}' of '{repo}' cannot be used: {why}", shown(.file))]
    BadIndex {
        /// Names the repository.
        repo: String,
        /// Names the index file.
        file: String,
        /// Says what is wrong with it.
        why: String,
    },
    /// Means that the client is offline, and the cache does not hold what is needed.
    #[error("offline, and the cache in {} holds no {what}; fetch it once without --offline and HF_HUB_OFFLINE", shown(&.cache.to_string_lossy()))]
    NotCached {
        /// Says what is missing: a repository at a revision, or a file of it.
        what: String,
        /// Gives the cache folder.
        cache: PathBuf,
    },
    /// Means that the client is offline, and the address can only be had from the network.
    #[error("offline, so {address} was not fetched; give a file, or drop --offline and HF_HUB_OFFLINE")]
    OfflineAddress {
        /// Gives the address, without its query.
        address: String,
    },
    /// Means that there is no connection, or no answer on it.
    #[error("cannot reach {host} ({why}) after {tries} {}; check the network, HF_ENDPOINT and the proxy settings", times(*.tries))]
    Unreachable {
        /// Gives the origin that was asked.
        host: String,
        /// Says what the network said.
        why: String,
        /// Says how often it was tried.
        tries: u32,
    },
    /// Means that the stream ended too early, again and again.
    #[error("the transfer of '{}' from {host} was cut after {received} of {} bytes, {tries} {} in a row ({why}); run it again to go on from there", shown(.file), or_unknown(*.expected), times(*.tries))]
    Cut {
        /// Names the file.
        file: String,
        /// Gives the origin that sent it.
        host: String,
        /// Counts the bytes that have arrived, over all tries.
        received: u64,
        /// Counts the bytes that there should be.
        expected: Option<u64>,
        /// Says how often it was tried without getting much further.
        tries: u32,
        /// Says what the network said.
        why: String,
    },
    /// Means that the server was sent too many requests.
    #[error("{host} answered that there were too many requests (status 429) after {tries} {}{}; wait, or set HF_TOKEN for a higher limit", times(*.tries), .wait_seconds.map_or(String::new(), |s| format!(", and asks to wait {s} s")))]
    RateLimited {
        /// Gives the origin that was asked.
        host: String,
        /// Gives the pause that the server asked for last, in seconds.
        wait_seconds: Option<u64>,
        /// Says how often it was tried.
        tries: u32,
    },
    /// Means that the server answers with an error that tries do not cure.
    #[error("{host} answered with status {status} for {what} after {tries} {}; {}", times(*.tries), if *.status >= 500 { "try again later" } else { "it does not say more" })]
    Status {
        /// Gives the origin that was asked.
        host: String,
        /// Says what was asked for.
        what: String,
        /// Gives the status of its answer.
        status: u16,
        /// Says how often it was tried.
        tries: u32,
    },
    /// Means that redirects have no end, or lead to somewhere a client must not follow.
    #[error("{host} redirects the request for {what} where it cannot be followed: {why}")]
    Redirect {
        /// Gives the origin that was asked first.
        host: String,
        /// Says what was asked for.
        what: String,
        /// Says what is wrong with the redirects.
        why: String,
    },
    /// Means that the answer is not what a Hub sends.
    #[error("{host} does not answer like a Hub for {what}: {why}; check HF_ENDPOINT and the proxy settings")]
    BadAnswer {
        /// Gives the origin that was asked.
        host: String,
        /// Says what was asked for.
        what: String,
        /// Says what is missing or wrong.
        why: String,
    },
    /// Means that the file has another size than the Hub announced.
    #[error("'{}' should have {expected} bytes, but {host} sends {found}; nothing of it was kept, try again or another mirror", shown(.file))]
    WrongSize {
        /// Names the file.
        file: String,
        /// Gives the origin that sent it.
        host: String,
        /// Counts the bytes announced.
        expected: u64,
        /// Counts the bytes sent, or to be sent.
        found: u64,
    },
    /// Means that the bytes are not those that the Hub's etag names.
    #[error("'{}' from {host} is not the file that its etag {etag} names (its {algorithm} is {found}); nothing of it was kept, try again or another mirror", shown(.file))]
    WrongDigest {
        /// Names the file.
        file: String,
        /// Gives the origin that sent it.
        host: String,
        /// Gives the etag.
        etag: String,
        /// Names the algorithm: `sha256` or `git sha1`.
        algorithm: &'static str,
        /// Gives the digest of what arrived, in hexadecimal.
        found: String,
    },
    /// Means that the answer is larger than the caller allows.
    #[error("{address} is larger than {limit} bytes")]
    TooLarge {
        /// Gives the address, without its query.
        address: String,
        /// Gives the limit, in bytes.
        limit: u64,
    },
    /// Means that the disk has no space for the file.
    #[error("no space for '{}' in {}{}; free some, or set HF_HUB_CACHE to a larger disk", shown(.file), shown(&.folder.to_string_lossy()), .needed.map_or(String::new(), |n| format!(": {n} bytes are needed")))]
    DiskFull {
        /// Names the file.
        file: String,
        /// Names the folder on the full disk.
        folder: PathBuf,
        /// Counts the bytes still to be written, where known.
        needed: Option<u64>,
    },
    /// Means that the cache cannot be read or written.
    #[error("cannot {doing} {}: {source}", shown(&.path.to_string_lossy()))]
    Disk {
        /// Says what was tried, as in "cannot …".
        doing: &'static str,
        /// Names the file or folder.
        path: PathBuf,
        /// Holds what the system said.
        source: io::Error,
    },
}

/// Says what kind of failure a [`HubError`] is, for an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubErrorClass {
    /// Means that the command line or the environment asks for something that cannot be meant.
    Usage,
    /// Means that the repository was found, and what it holds is refused.
    Refused,
    /// Stands for disk or network, and every repository or revision that the Hub does not show: from here, "private", "missing"
    /// and "not reachable with this token" look the same.
    Transfer,
}

impl HubError {
    /// Says what kind of failure this is.
    pub fn class(&self) -> HubErrorClass {
        match self {
            Self::BadName { .. }
            | Self::BadAddress { .. }
            | Self::BadSetting { .. }
            | Self::SeveralWeights { .. } => HubErrorClass::Usage,
            Self::UnknownFile { .. }
            | Self::NoWeights { .. }
            | Self::BadIndex { .. }
            | Self::TooLarge { .. } => HubErrorClass::Refused,
            _ => HubErrorClass::Transfer,
        }
    }

    /// Says whether the Hub could not be asked at all, so that an older answer in the cache is the best there is.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Returns the error for a failed disk operation; a full disk is distinguished.
    pub(super) fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let folder = path.parent().unwrap_or(path).to_owned();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Self::DiskFull { file, folder, needed: None };
        }
        Self::Disk { doing, path: path.to_owned(), source }
    }
}

/// Returns the first few of `files`, for one line.
fn listed(files: &[String]) -> String {
    let mut text = files.iter().take(8).map(|file| shown(file)).collect::<Vec<_>>().join(", ");
    if let Some(more) = files.len().checked_sub(8).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn times(tries: u32) -> &'static str {
    if tries == 1 { "try" } else { "tries" }
}

fn or_unknown(size: Option<u64>) -> String {
    size.map_or("an unknown number of".to_owned(), |size| size.to_string())
}
