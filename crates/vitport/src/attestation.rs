//! Attestations: which source files a folder was made from, by which mapping, and with which verdict, as an in-toto statement
//! (Statement v1, in-toto/attestation, spec/v1). It holds no time and no path, so the same conversion gives the same bytes.
//!
//! What lies in a folder and is no part of the model (the card, a clone's `.git`, a licence) is the user's, and not attested.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vitport_checkpoint::{escape, open_regular};

use crate::facts::Assumption;
use crate::folder::is_kept;
use crate::mapping::Mapping;
use crate::model::Prepared;
use crate::pipeline::PreparedBack;
use crate::verify::{Report, Verdict};

/// Names the kind of statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Names what it says of its subject.
const PREDICATE: &str = "https://github.com/vitport/vitport/attestation/v1";

/// Limits the bytes of a statement that is read.
const MOST_BYTES: u64 = 64 << 20;

/// Gives the bytes hashed at a time.
const BLOCK: usize = 256 << 10;

/// Says why a folder cannot be attested, or an attestation not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// Reports a file or a folder that cannot be read.
    #[error("{}: {error}; give one that can be read", escape(&.path.display().to_string()))]
    Unreadable {
        /// Names it.
        path: PathBuf,
        /// Says why.
        error: io::Error,
    },
    /// Reports a file that is not an attestation.
    #[error("{}: {reason}; give a file of `vitport convert --attest`", escape(&.path.display().to_string()))]
    NotOne {
        /// Names it.
        path: PathBuf,
        /// Says why.
        reason: String,
    },
}

/// Names a file by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Gives its name.
    pub name: String,
    /// Says where it was fetched from, as a package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Gives its hash.
    pub digest: Digest,
}

/// Holds the hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// Gives its sha256, hexadecimal.
    pub sha256: String,
}

/// States what a folder is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Statement {
    /// Names the kind of statement.
    #[serde(rename = "_type")]
    #[schemars(extend("const" = STATEMENT))]
    kind: &'static str,
    /// Lists the folder's files.
    subject: Vec<Resource>,
    /// Names what is said of them.
    #[serde(rename = "predicateType")]
    #[schemars(extend("const" = PREDICATE))]
    predicate_type: &'static str,
    /// Says it.
    predicate: Predicate,
}

/// Says of a folder how it was made, and what comparing it with its source showed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Predicate {
    /// Gives vitport's version.
    vitport: &'static str,
    /// Gives the model's name.
    model: String,
    /// Names the class of transformers: that of the folder, or of its source on the way back.
    class: Option<String>,
    /// Names the framework that opens the folder, on the way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<String>,
    /// Names the mapping and gives the hash of its text. On the way back it was read backwards.
    mapping: Resource,
    /// Gives the same of the layout in which the folder is written, on the way back, where that is not the mapping's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<Resource>,
    /// Lists the source's files.
    materials: Vec<Resource>,
    /// Says what the comparison comes to.
    verdict: Verdict,
    /// Says the same in words.
    headline: String,
    /// Lists what the verdict rests on that the source does not say.
    assumptions: Vec<Assumption>,
    /// Names the known deviations.
    deviations: Vec<String>,
}

impl Statement {
    /// States what is in a folder that was compared with its source.
    ///
    /// # Errors
    /// Returns [`AttestationError::Unreadable`] if a file cannot be read.
    pub fn of(prepared: &Prepared, report: &Report, folder: &Path) -> Result<Self, AttestationError> {
        let model = &prepared.model;
        let class = report.target.as_ref().map(|target| target.class.clone());
        let made = (class, mapping_resource(&model.mapping), materials(prepared, report)?);
        Self::new(report, folder, made)
    }

    /// States what is in the folder of a way back, `out`, that a conversion was compared with the transformers folder it was made of.
    /// The files of that folder are its materials.
    ///
    /// # Errors
    /// Returns [`AttestationError::Unreadable`] if a file cannot be read.
    pub fn of_the_way_back(
        prepared: &PreparedBack,
        report: &Report,
        out: &Path,
    ) -> Result<Self, AttestationError> {
        let class = Some(prepared.class.clone());
        let made = (class, mapping_resource(prepared.mapping), materials_of_folder(prepared)?);
        let mut statement = Self::new(report, out, made)?;
        statement.predicate.written = Some(prepared.framework.clone());
        statement.predicate.layout = prepared.layout.map(mapping_resource);
        Ok(statement)
    }

    /// States what is in a folder, of this class, by this mapping, of these materials.
    fn new(
        report: &Report,
        folder: &Path,
        (class, mapping, materials): (Option<String>, Resource, Vec<Resource>),
    ) -> Result<Self, AttestationError> {
        Ok(Self {
            kind: STATEMENT,
            subject: contents(folder)?
                .into_iter()
                .filter_map(|(name, hash)| hash.map(|hash| resource(name, hash)))
                .collect(),
            predicate_type: PREDICATE,
            predicate: Predicate {
                vitport: env!("CARGO_PKG_VERSION"),
                model: report.model.clone(),
                class,
                written: None,
                mapping,
                layout: None,
                materials,
                verdict: report.verdict,
                headline: report.headline.clone(),
                assumptions: report.basis.assumptions.clone(),
                deviations: report
                    .known_deviation
                    .iter()
                    .flat_map(|known| known.each.iter().map(|each| each.name.clone()))
                    .collect(),
            },
        })
    }
}

/// Names a mapping by its file and the hash of its text.
fn mapping_resource(mapping: &Mapping) -> Resource {
    let name = Path::new(mapping.file()).file_name().unwrap_or_default();
    let text = Sha256::digest(mapping.text().as_bytes());
    resource(name.to_string_lossy().into_owned(), hexadecimal(&text))
}

fn resource(name: String, sha256: String) -> Resource {
    Resource { name, uri: None, digest: Digest { sha256 } }
}

/// Returns the files that a conversion is made of: the weights as they were hashed, the config next to them, an adapter's.
fn materials(prepared: &Prepared, report: &Report) -> Result<Vec<Resource>, AttestationError> {
    let source = &prepared.source;
    let fetched = source.provenance.as_ref();
    let uri = fetched.map(|from| format!("pkg:huggingface/{}@{}", from.repository, from.commit));
    let weights = report.source.files.iter().map(|file| resource(file.name.clone(), file.sha256.clone()));
    let mut all: Vec<Resource> = weights.map(|weights| Resource { uri: uri.clone(), ..weights }).collect();
    let config = source.config.iter().map(|config| (config.path.clone(), uri.clone()));
    let adapter = source.adapter.iter().flat_map(|adapter| adapter.checkpoint.files());
    for (path, uri) in config.chain(adapter.map(|file| (file.path.clone(), None))) {
        all.push(Resource { uri, ..hashed(&path)? });
    }
    Ok(all)
}

/// Returns the files of a transformers folder that a way back is made of: its weights and its documents.
fn materials_of_folder(prepared: &PreparedBack) -> Result<Vec<Resource>, AttestationError> {
    let folder = &prepared.folder;
    let documents = ["config.json", "preprocessor_config.json"].map(|name| folder.path.join(name));
    let documents = documents.into_iter().filter(|path| path.exists());
    let weights = folder.checkpoint.files().iter().map(|file| file.path.clone());
    weights.chain(documents).map(|path| hashed(&path)).collect()
}

/// Names a file by its name and the hash of its contents.
fn hashed(path: &Path) -> Result<Resource, AttestationError> {
    let sha256 = hash(path).map_err(|error| AttestationError::Unreadable { path: path.to_owned(), error })?;
    let name = path.file_name().unwrap_or_default();
    Ok(resource(name.to_string_lossy().into_owned(), sha256))
}

/// Says how a folder compares with its attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AttestationCheck {
    /// Says whether every file is there as it was attested, and no other.
    pub agrees: bool,
    /// Lists the files that are as they were.
    pub same: Vec<String>,
    /// Lists the files with other contents.
    pub changed: Vec<String>,
    /// Lists the files that are not there.
    pub missing: Vec<String>,
    /// Lists what is there and was not attested.
    pub extra: Vec<String>,
    /// Gives the version of vitport that attested it.
    pub vitport: String,
    /// Gives the verdict that is attested, in words.
    pub headline: String,
}

/// Holds of a statement what is read.
#[derive(Deserialize)]
struct ReadStatement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Resource>,
    predicate: ReadPredicate,
}

/// Holds of a predicate what is read.
#[derive(Deserialize)]
struct ReadPredicate {
    vitport: String,
    headline: String,
}

/// Compares the files of a folder with an attestation, by their hashes. No network is run.
///
/// # Errors
/// Returns [`AttestationError`] if one of them cannot be read. Files that differ are not an error but a finding.
pub fn check(attestation: &Path, folder: &Path) -> Result<AttestationCheck, AttestationError> {
    let statement = read(attestation)?;
    let mut there = contents(folder)?;
    let (mut same, mut changed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for Resource { name, digest, .. } in statement.subject {
        match there.remove(&name) {
            None => missing.push(name),
            Some(Some(sha256)) if sha256 == digest.sha256 => same.push(name),
            Some(_) => changed.push(name),
        }
    }
    let extra: Vec<String> = there.into_keys().collect();
    Ok(AttestationCheck {
        agrees: changed.is_empty() && missing.is_empty() && extra.is_empty(),
        same,
        changed,
        missing,
        extra,
        vitport: statement.predicate.vitport,
        headline: statement.predicate.headline,
    })
}

fn read(path: &Path) -> Result<ReadStatement, AttestationError> {
    let unreadable = |error| AttestationError::Unreadable { path: path.to_owned(), error };
    let not_one = |reason: String| AttestationError::NotOne { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    open_regular(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)).map_err(unreadable)?;
    let statement: ReadStatement = serde_json::from_slice(&bytes)
        .map_err(|error| not_one(format!("it is not an attestation of vitport's ({error})")))?;
    if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
        return Err(not_one(format!(
            "it is a statement of another kind, {}",
            escape(&statement.predicate_type)
        )));
    }
    if statement.subject.is_empty() {
        return Err(not_one("it names no file".to_owned()));
    }
    Ok(statement)
}

/// Returns whether a file is an attestation that vitport wrote, or empty, so that another may take its place.
pub fn is_attestation(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() == 0) || read(path).is_ok()
}

/// Returns the sha256 of each file of a folder that is not the user's own; none of what is not a file, such as a link or a folder.
fn contents(folder: &Path) -> Result<BTreeMap<String, Option<String>>, AttestationError> {
    let unreadable = |path: &Path, error| AttestationError::Unreadable { path: path.to_owned(), error };
    let mut hashes = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| unreadable(&path, error))?;
        if is_kept(&entry.file_name(), kind) {
            continue;
        }
        let sha256 = match kind.is_file() {
            true => Some(hash(&path).map_err(|error| unreadable(&path, error))?),
            false => None,
        };
        hashes.insert(entry.file_name().to_string_lossy().into_owned(), sha256);
    }
    Ok(hashes)
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = open_regular(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let count = match file.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
