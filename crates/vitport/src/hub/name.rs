//! Parses names of repositories, as people write them: `org/name`, `hf-hub:org/name@revision` (timm's way),
//! `hf://org/name@revision` (fsspec's way), a link copied from the browser, and a file within any of them.

use std::fmt;

use super::address::shown_address;
use super::error::HubError;

/// Names the branch that is meant when no revision is named.
pub const DEFAULT_REVISION: &str = "main";

/// Names a model repository on the Hub, a revision of it, and perhaps one file in it.
///
/// ```
/// # use vitport::hub::RepoId;
/// let id = RepoId::parse("hf-hub:org/name@refs/pr/3")?;
/// assert_eq!((id.repo(), id.revision(), id.file()), ("org/name", "refs/pr/3", None));
/// let id = RepoId::parse("org/name/weights/CvT-13.pth@v1.0")?;
/// assert_eq!((id.repo(), id.revision(), id.file()), ("org/name", "v1.0", Some("weights/CvT-13.pth")));
/// # Ok::<(), vitport::hub::HubError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoId {
    repo: String,
    revision: String,
    file: Option<String>,
}

impl RepoId {
    /// Reads a name:
    ///
    /// - `[hf-hub:|hf_hub:|hf://]org/name[/path/to/file][@revision]`, the file also as `:path/to/file`
    ///   at the end, which is the way to name both a file and a revision that holds a slash;
    /// - `https://huggingface.co/org/name[/tree/revision|/blob/revision/file|/resolve/revision/file]`
    ///   (`hf.co` too), where the revision has no slash, or its slashes are written `%2F`.
    ///
    /// A repository without an organisation (`name`) needs one of the prefixes.
    ///
    /// # Errors
    /// [`HubError::BadName`].
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let bad = |why: &str| HubError::BadName { text: text.to_owned(), why: why.to_owned() };
        let trimmed = text.trim();
        for prefix in ["https://", "http://"] {
            if let Some(rest) = trimmed.strip_prefix(prefix) {
                // A link may hold a password, which no message repeats.
                return Self::from_link(rest)
                    .map_err(|why| HubError::BadName { text: shown_address(trimmed), why });
            }
        }
        let prefixes = ["hf-hub:", "hf_hub:", "hf://"];
        let bare = prefixes.iter().find_map(|prefix| trimmed.strip_prefix(prefix));
        Self::from_name(bare.unwrap_or(trimmed), bare.is_some()).map_err(|why| bad(&why))
    }

    /// Says whether `text` begins in a way that only a name on the Hub does.
    pub fn is_explicit(text: &str) -> bool {
        ["hf-hub:", "hf_hub:", "hf://", "https://huggingface.co/", "https://hf.co/"]
            .iter()
            .any(|prefix| text.trim_start().starts_with(prefix))
    }

    /// Returns the same repository and file at another revision.
    ///
    /// # Errors
    /// [`HubError::BadName`] if `revision` cannot be one.
    pub fn at(self, revision: &str) -> Result<Self, HubError> {
        check_revision(revision)
            .map_err(|why| HubError::BadName { text: format!("{}@{revision}", self.repo), why })?;
        Ok(Self { revision: revision.to_owned(), ..self })
    }

    /// Returns `org/name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// Returns the branch, tag, commit or `refs/pr/N`; `main` unless named.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns the file that was picked, as a path in the repository.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    fn from_name(text: &str, alone: bool) -> Result<Self, String> {
        let (place, revision) = match text.split_once('@') {
            Some((place, revision)) => (place, Some(revision)),
            None => (text, None),
        };
        let (place, first_file) = split_file(place);
        let (revision, second_file) = match revision {
            Some(revision) => {
                let (revision, file) = split_file(revision);
                (revision, file)
            }
            None => (DEFAULT_REVISION, None),
        };
        let mut parts = place.splitn(3, '/');
        let owner = parts.next().unwrap_or_default();
        let (repo, path) = match (parts.next(), parts.next()) {
            (Some(name), path) => (format!("{owner}/{name}"), path),
            (None, _) if alone => (owner.to_owned(), None),
            (None, _) => return Err("it has no organisation".to_owned()),
        };
        let mut files = [path, first_file, second_file].into_iter().flatten();
        let file = files.next();
        if files.next().is_some() {
            return Err("it names more than one file".to_owned());
        }
        Self::checked(repo, revision, file)
    }

    fn from_link(rest: &str) -> Result<Self, String> {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = rest.split_once('/').ok_or("the link names no repository")?;
        if !matches!(host, "huggingface.co" | "www.huggingface.co" | "hf.co") {
            return Err("only links to huggingface.co are understood (for a mirror, set HF_ENDPOINT and give org/name)".into());
        }
        let mut parts = path.trim_end_matches('/').splitn(4, '/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else {
            return Err("the link names no repository".to_owned());
        };
        if matches!(owner, "datasets" | "spaces" | "kernels" | "collections" | "papers") {
            return Err("the link does not lead to a model".to_owned());
        }
        let repo = format!("{owner}/{name}");
        let rest = parts.next().map(|kind| (kind, parts.next()));
        match rest {
            None => Self::checked(repo, DEFAULT_REVISION, None),
            Some(("tree", Some(revision))) => {
                let (revision, folder) = split_once_or_all(revision);
                if folder.is_some() {
                    return Err("the link leads to a folder; give the repository or one file".to_owned());
                }
                Self::checked(repo, &unquoted(revision)?, None)
            }
            Some(("blob" | "resolve" | "raw", Some(rest))) => {
                let (revision, file) = split_once_or_all(rest);
                let file = unquoted(file.ok_or("the link names no file")?)?;
                Self::checked(repo, &unquoted(revision)?, Some(&file))
            }
            Some(_) => Err("the link leads to a page that is not part of the repository".to_owned()),
        }
    }

    fn checked(repo: String, revision: &str, file: Option<&str>) -> Result<Self, String> {
        check_repo(&repo)?;
        check_revision(revision)?;
        if let Some(file) = file {
            check_path(file)?;
        }
        Ok(Self { repo, revision: revision.to_owned(), file: file.map(str::to_owned) })
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

/// Splits `a:b` into `a` and the file `b`. Neither names nor revisions may hold a colon.
fn split_file(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(before, file)| (before, Some(file)))
}

fn split_once_or_all(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Undoes percent-encoding.
fn unquoted(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("the link holds a % that encodes nothing".to_owned());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
    }
    String::from_utf8(bytes).map_err(|_| "the link does not encode text".to_owned())
}

/// Checks the rules of `huggingface_hub.utils.validate_repo_id`: at most 96 characters, each part of letters,
/// digits, `-`, `_` and `.`, not beginning or ending with `-` or `.`, without `--` and `..`, not ending in `.git`.
fn check_repo(repo: &str) -> Result<(), String> {
    if repo.len() > 96 {
        return Err("it is longer than 96 characters".to_owned());
    }
    if repo.contains("--") || repo.contains("..") || repo.ends_with(".git") {
        return Err("'--', '..' and a last '.git' are not allowed".to_owned());
    }
    for part in repo.split('/') {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if part.is_empty() || !plain || part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
            return Err("organisation and name are made of letters, digits, '-', '_' and '.'".to_owned());
        }
    }
    Ok(())
}

/// Checks what may be a revision, and a path under `refs/` in the cache: the rules of `git check-ref-format`
/// that keep it one.
fn check_revision(revision: &str) -> Result<(), String> {
    let strange = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    if revision.is_empty() || revision.len() > 255 || revision.chars().any(strange) || revision.contains("@{")
    {
        return Err("its revision is not a branch, tag or commit".to_owned());
    }
    check_path(revision).map_err(|_| "its revision is not a branch, tag or commit".to_owned())
}

/// Checks that `path` stays inside the folder it is joined to, on every system: relative, with `/` between its parts, none of
/// them empty, `.` or `..`, no backslash and no control characters.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.len() > 1024 || path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("its path holds characters that no path in a repository has".to_owned());
    }
    for (position, part) in path.split('/').enumerate() {
        let drive = position == 0 && part.len() == 2 && part.ends_with(':');
        if part.is_empty() || part == "." || part == ".." || part.len() > 255 || drive {
            return Err("its path leads out of the repository or nowhere".to_owned());
        }
    }
    Ok(())
}
