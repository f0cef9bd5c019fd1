//! Leads from the name of a repository to a folder that can be opened: its `config.json` and its weights, in the cache.

use std::path::{Path, PathBuf};

use super::cache::{RepoCache, is_commit};
use super::choice::{CONFIG, LONGEST_INDEX, WeightFiles, choose, shards};
use super::client::Client;
use super::config::{HubConfig, Retries};
use super::error::HubError;
use super::info::{Questions, RevisionFacts};
use super::name::RepoId;
use super::progress::Progress;
use super::transfer::Transfer;
use crate::front_matter::CARD;

/// Describes a model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Names the snapshot's folder. It may hold more files than were asked for now.
    pub folder: PathBuf,
    /// Lists the weights: one file, or the shards in the order of their names.
    pub weights: Vec<PathBuf>,
    /// Names `config.json`, if the repository has one.
    pub config: Option<PathBuf>,
    /// Names the repository, `org/name`.
    pub repo: String,
    /// Gives the revision as it was asked for.
    pub revision: String,
    /// Gives the commit that the revision is.
    pub commit: String,
    /// Says how sure it is that the revision is still this commit.
    pub reach: Reach,
    /// Says why the model card, which the repository has, could not be fetched.
    pub card_failed: Option<String>,
    /// Says whether the folder's file names say by themselves which weights are meant.
    usual: bool,
}

/// Says where the knowledge of a revision's commit comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Means that the Hub was asked.
    Hub,
    /// Means the cache alone, because the caller is offline, or because a commit was named, which cannot change.
    Cache,
    /// Means the cache alone, because the Hub could not be asked. A caller should say so.
    Unreachable {
        /// Says why, in one line.
        why: String,
    },
}

impl Snapshot {
    /// Says what to open: the folder, or the one file that was picked or that has a name of its own.
    pub fn source(&self) -> &Path {
        match self.weights.as_slice() {
            [only] if !self.usual => only,
            _ => &self.folder,
        }
    }
}

/// Brings a model into the cache, unless it is there, and returns where it lies.
///
/// Fetched are `config.json`, the model card (README.md), and `model.safetensors`, or the shards named by
/// `model.safetensors.index.json`, or the same of `pytorch_model.bin`, or else the only checkpoint
/// (`.safetensors`, `.pth`, `.pt`, `.bin`, `.npz`) that the repository holds; where [`RepoId::file`]
/// picks one, that one.
///
/// The Hub is asked once which commit the revision is. If it cannot be reached and the cache holds that
/// model at the commit that the revision stood for last, that is returned ([`Reach::Unreachable`]). A
/// full commit id whose model lies in the cache costs no request at all.
///
/// # Errors
/// See [`HubError`]. Whatever happens, the cache stays as others expect it; only an `.incomplete` file may
/// be left, from where the next transfer goes on.
pub fn fetch_model(config: &HubConfig, id: &RepoId, progress: &dyn Progress) -> Result<Snapshot, HubError> {
    let cache = RepoCache::new(&config.cache_dir, id.repo());
    if config.offline {
        return cached(&cache, id);
    }
    let known = cached(&cache, id);
    if let Ok(snapshot) = &known
        && is_commit(id.revision())
        && is_settled(&cache, id, snapshot)
    {
        return known;
    }
    let client = Client::new(config)?;
    let retries = config.retries;
    let questions =
        Questions { client: &client, repo: id.repo(), revision: id.revision(), progress, retries };
    // Who has the model already need not wait long for a Hub that is not there.
    let tries = if known.is_ok() { 1 } else { config.retries.tries };
    let facts = match (questions.revision(tries), known) {
        (Ok(facts), _) => facts,
        (Err(error), Ok(snapshot)) if error.is_outage() => {
            return Ok(Snapshot { reach: Reach::Unreachable { why: error.to_string() }, ..snapshot });
        }
        (Err(error), _) => return Err(error),
    };
    let snapshot = fetch(&questions, &cache, id, &facts)?;
    cache.remember(id.revision(), &facts.commit)?;
    Ok(snapshot)
}

fn fetch(
    questions: &Questions<'_>,
    cache: &RepoCache,
    id: &RepoId,
    facts: &RevisionFacts,
) -> Result<Snapshot, HubError> {
    let commit = facts.commit.as_str();
    let listing = facts.listing.as_deref();
    let transfer = Transfer { questions, cache, commit };
    let exists = |file: &str| match listing {
        Some(files) => Ok(files.iter().any(|path| path == file)),
        None => Ok(cache.file(commit, file).is_some() || questions.file(commit, file)?.is_some()),
    };
    let needed = |file: &str| -> Result<PathBuf, HubError> {
        transfer.fetch(file)?.ok_or_else(|| HubError::UnknownFile {
            repo: id.repo().to_owned(),
            revision: id.revision().to_owned(),
            file: file.to_owned(),
        })
    };
    let weights = choose(id.repo(), id.revision(), id.file(), listing, exists)?;
    let config = if exists(CONFIG)? { transfer.fetch(CONFIG)? } else { None };
    // A card is worth having, and a model without one is worth as much: it is asked for once.
    let once = Questions { retries: Retries { tries: 1, ..questions.retries }, ..*questions };
    let has_card = listing.is_none_or(|files| files.iter().any(|file| file == CARD));
    let card_failed = match has_card {
        true => Transfer { questions: &once, ..transfer }.fetch(CARD).err().map(|error| error.to_string()),
        false => None,
    };
    let files = all_files(id, &weights, &needed)?;
    if !has_card {
        cache.remember_absence(commit, CARD);
    }
    let fetched = snapshot(cache, id, commit, &weights, files, config, Reach::Hub);
    Ok(Snapshot { card_failed, ..fetched })
}

/// Returns the model as the cache holds it, without asking anybody.
fn cached(cache: &RepoCache, id: &RepoId) -> Result<Snapshot, HubError> {
    let missing = |what: &str| HubError::NotCached {
        what: format!("{what} of '{}' at '{}'", id.repo(), super::shown::shown(id.revision())),
        cache: cache.root().to_owned(),
    };
    let missing_file = |file: &str| missing(&format!("'{}'", super::shown::shown(file)));
    let commit = cache.commit_of(id.revision()).ok_or_else(|| missing("snapshot"))?;
    let listing = cache.listing(&commit);
    let needed = |file: &str| cache.file(&commit, file).ok_or_else(|| missing_file(file));
    let here = |file: &str| Ok(cache.file(&commit, file).is_some());
    let weights =
        choose(id.repo(), id.revision(), id.file(), Some(&listing), here).map_err(|error| match error {
            HubError::NoWeights { .. } => missing("weights"),
            HubError::UnknownFile { file, .. } => missing_file(&file),
            other => other,
        })?;
    let files = all_files(id, &weights, &needed)?;
    Ok(snapshot(cache, id, &commit, &weights, files, cache.file(&commit, CONFIG), Reach::Cache))
}

/// Returns the weights' places: the file itself, or every shard that the index names.
fn all_files(
    id: &RepoId,
    weights: &WeightFiles,
    needed: &dyn Fn(&str) -> Result<PathBuf, HubError>,
) -> Result<Vec<PathBuf>, HubError> {
    let first = needed(&weights.file)?;
    if !weights.sharded {
        return Ok(vec![first]);
    }
    let named = shards(id.repo(), &weights.file, &read_index(id, weights, &first)?)?;
    named.iter().map(|file| needed(file)).collect()
}

/// Returns whether asking the Hub about a commit could change what `cached` found: it could not if the best
/// there can be is here, and the structure and the card with it.
fn is_settled(cache: &RepoCache, id: &RepoId, snapshot: &Snapshot) -> bool {
    let here = |file: &str| cache.file(&snapshot.commit, file).is_some();
    let first_choice = here("model.safetensors") || here("model.safetensors.index.json");
    let card_is_known = here(CARD) || cache.is_known_absent(&snapshot.commit, CARD);
    snapshot.config.is_some() && card_is_known && (id.file().is_some() || first_choice)
}

fn read_index(id: &RepoId, weights: &WeightFiles, place: &Path) -> Result<Vec<u8>, HubError> {
    let read = |source| HubError::disk("read", place, source);
    let size = std::fs::metadata(place).map_err(read)?.len();
    if size > LONGEST_INDEX {
        let why = format!("it has {size} bytes, more than {LONGEST_INDEX}");
        return Err(HubError::BadIndex { repo: id.repo().to_owned(), file: weights.file.clone(), why });
    }
    std::fs::read(place).map_err(read)
}

fn snapshot(
    cache: &RepoCache,
    id: &RepoId,
    commit: &str,
    weights: &WeightFiles,
    files: Vec<PathBuf>,
    config: Option<PathBuf>,
    reach: Reach,
) -> Snapshot {
    Snapshot {
        folder: cache.snapshot(commit),
        weights: files,
        config,
        repo: id.repo().to_owned(),
        revision: id.revision().to_owned(),
        commit: commit.to_owned(),
        reach,
        card_failed: None,
        usual: weights.usual,
    }
}
