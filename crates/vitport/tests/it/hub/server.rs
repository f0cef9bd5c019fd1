//! Serves a Hub on loopback for the tests: model info, `resolve` with HEAD, GET and Range, redirects to a storage path, private
//! and gated repositories, and faults on demand. Every request is written down.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use vitport::hub::{FetchEvent, HubConfig, Progress, RepoId, Retries};

/// Names the commit that test repositories have unless a test says otherwise.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Describes one file of a repository, and the lies the server tells about it.
#[derive(Clone, Default)]
pub struct Served {
    pub bytes: Vec<u8>,
    /// Says whether it is stored as LFS: etag is the sha256, and the body lies after a redirect.
    pub lfs: bool,
    /// Gives another etag than the true one.
    pub etag: Option<String>,
    /// Gives another size than the true one, in HEAD answers.
    pub size: Option<usize>,
}

/// Describes one repository.
#[derive(Clone, Default)]
pub struct Repository {
    pub files: BTreeMap<String, Served>,
    /// Maps each revision to its commit.
    pub revisions: BTreeMap<String, String>,
    /// Gives the token that opens it, if it is private.
    pub private: Option<String>,
    pub gated: bool,
    /// Says whether model info exists; a mirror of files has none.
    pub no_info: bool,
}

/// Says what the server does instead of answering properly.
#[derive(Clone)]
pub enum Fault {
    /// Sends this status, with these headers and this body.
    Answer(u16, Vec<(String, String)>, String),
    /// Sends so many bytes of the body, then the end of the connection.
    Cut(usize),
    /// Sends so many bytes of the body, then a pause.
    Stall(usize, Duration),
    /// Sends the whole file, although a part was asked for.
    IgnoreRange,
    /// Sends so many bytes of the whole file, although a part was asked for, then the end of the connection.
    Restart(usize),
    /// Sends one byte after another with this pause, for as long as anybody listens.
    Drip(Duration),
    /// Sends the right number of wrong bytes.
    Garbage,
}

/// Describes a request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

/// Status, headers and body.
type Page = (u16, Vec<(String, String)>, Vec<u8>);

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// Paths that serve fixed bytes or a redirect.
    pages: BTreeMap<String, Page>,
    /// Where LFS files are redirected to: another origin, or "" for a path here.
    storage: String,
    /// (method, part of the path, how many more times, what)
    faults: Vec<(String, String, usize, Fault)>,
    seen: Vec<Seen>,
}

/// Holds a running server; it ends with the test.
#[derive(Clone)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    pub endpoint: String,
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let hub = Self { state: Arc::clone(&state), endpoint };
        let server = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        hub
    }

    /// Starts a server with one repository of small and large (LFS) files at `main`.
    pub fn with(repo: &str, files: &[(&str, &[u8])]) -> Self {
        let hub = Self::start();
        hub.publish(repo, COMMIT, files);
        hub
    }

    /// Makes `main` of `repo` the given files at `commit`. Weights are LFS files.
    pub fn publish(&self, repo: &str, commit: &str, files: &[(&str, &[u8])]) {
        self.edit(repo, |repository| {
            repository.revisions.insert("main".into(), commit.into());
            repository.files = files
                .iter()
                .map(|(path, bytes)| {
                    let lfs = !path.ends_with(".json") && !path.ends_with(".md");
                    ((*path).to_owned(), Served { bytes: bytes.to_vec(), lfs, ..Served::default() })
                })
                .collect();
        });
    }

    pub fn edit(&self, repo: &str, change: impl FnOnce(&mut Repository)) {
        change(self.state.lock().unwrap().repositories.entry(repo.to_owned()).or_default());
    }

    pub fn edit_file(&self, repo: &str, file: &str, change: impl FnOnce(&mut Served)) {
        self.edit(repo, |repository| change(repository.files.get_mut(file).unwrap()));
    }

    pub fn page(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.state.lock().unwrap().pages.insert(path.to_owned(), (status, headers, body.to_vec()));
    }

    pub fn storage_at(&self, origin: &str) {
        self.state.lock().unwrap().storage = origin.to_owned();
    }

    /// Makes the next `count` requests with this method whose path holds `part` meet `fault`.
    pub fn fault(&self, method: &str, part: &str, count: usize, fault: Fault) {
        self.state.lock().unwrap().faults.push((method.into(), part.into(), count, fault));
    }

    pub fn status(&self, method: &str, part: &str, count: usize, status: u16, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.fault(method, part, count, Fault::Answer(status, headers, String::new()));
    }

    /// Returns the requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// Returns the requests since the last call, as `METHOD path`.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    /// Says how many GETs since the last call went to paths that hold `part`.
    pub fn gets(&self, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == "GET" && seen.path.contains(part)).count()
    }

    /// Configures a client of this server with an empty cache and no patience.
    pub fn config(&self, cache: &tempfile::TempDir) -> HubConfig {
        let pause = Duration::from_millis(1);
        HubConfig {
            endpoint: self.endpoint.clone(),
            retries: Retries { tries: 3, first_pause: pause, longest_pause: pause, ..Retries::default() },
            ..HubConfig::new(cache.path())
        }
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, path) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
            }
        }
        let seen = Seen { method, path, headers };
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            let matching = state.faults.iter_mut().find(|(method, part, left, _)| {
                *left > 0 && *method == seen.method && seen.path.contains(part.as_str())
            });
            matching.map(|(_, _, left, fault)| {
                *left -= 1;
                fault.clone()
            })
        };
        let answer = match &fault {
            Some(Fault::Answer(status, headers, body)) => {
                Reply::new(*status, headers.clone(), body.clone().into_bytes())
            }
            _ => self.answer(&seen),
        };
        answer.send(stream, &seen, fault.as_ref());
    }

    fn answer(&self, seen: &Seen) -> Reply {
        let state = self.state.lock().unwrap();
        if let Some((status, headers, body)) = state.pages.get(&seen.path) {
            return Reply::new(*status, headers.clone(), body.clone());
        }
        let path = seen.path.split('?').next().unwrap_or_default();
        let token = seen.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if let Some(digest) = path.strip_prefix("/storage/") {
            let file = state
                .repositories
                .values()
                .flat_map(|repository| repository.files.values())
                .find(|file| sha256(&file.bytes) == digest);
            return file.map_or(Reply::error(404, ""), |file| {
                Reply::new(200, vec![("ETag".into(), "\"storage-1\"".into())], file.bytes.clone())
            });
        }
        let (repo, rest, is_api) = match path.strip_prefix("/api/models/") {
            Some(rest) => {
                let (repo, revision) = rest.split_once("/revision/").unwrap_or((rest, "main"));
                (repo, revision.to_owned(), true)
            }
            None => {
                let Some((repo, rest)) = path.trim_start_matches('/').split_once("/resolve/") else {
                    return Reply::error(404, "");
                };
                (repo, rest.to_owned(), false)
            }
        };
        let Some(repository) = state
            .repositories
            .get(repo)
            .filter(|repository| repository.private.is_none() || repository.private.as_deref() == token)
        else {
            return if token.is_some() {
                Reply::error(404, "RepoNotFound")
            } else {
                Reply::error(401, "RepoNotFound")
            };
        };
        let (revision, file) =
            if is_api { (rest.as_str(), "") } else { rest.split_once('/').unwrap_or((&rest, "")) };
        let revision = revision.replace("%2F", "/");
        let commit = repository
            .revisions
            .get(&revision)
            .or_else(|| repository.revisions.values().find(|commit| **commit == revision));
        if is_api && repository.no_info {
            return Reply::error(404, "");
        }
        let Some(commit) = commit else { return Reply::error(404, "RevisionNotFound") };
        if is_api {
            let files: Vec<_> =
                repository.files.keys().map(|path| serde_json::json!({ "rfilename": path })).collect();
            let info = serde_json::json!({ "id": repo, "sha": commit, "private": false, "siblings": files });
            return Reply::new(
                200,
                vec![("Content-Type".into(), "application/json".into())],
                info.to_string().into_bytes(),
            );
        }
        if repository.gated {
            return Reply::error(if token.is_some() { 403 } else { 401 }, "GatedRepo");
        }
        let commit_header = ("X-Repo-Commit".to_owned(), commit.clone());
        let Some(served) = repository.files.get(&file.replace("%20", " ")) else {
            let mut reply = Reply::error(404, "EntryNotFound");
            reply.headers.push(commit_header);
            return reply;
        };
        let true_etag = if served.lfs { sha256(&served.bytes) } else { git_sha1(&served.bytes) };
        let etag = format!("\"{}\"", served.etag.clone().unwrap_or(true_etag));
        if served.lfs {
            let size = served.size.unwrap_or(served.bytes.len()).to_string();
            let location = format!("{}/storage/{}?X-Signature=secret", state.storage, sha256(&served.bytes));
            let headers = vec![
                commit_header,
                ("X-Linked-Etag".into(), etag),
                ("X-Linked-Size".into(), size),
                ("Location".into(), location),
            ];
            return Reply::new(302, headers, b"Found. Redirecting".to_vec());
        }
        let mut reply = Reply::new(200, vec![commit_header, ("ETag".into(), etag)], served.bytes.clone());
        if seen.method == "HEAD" {
            reply.announced = served.size;
        }
        reply
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: Option<usize>,
}

impl Reply {
    fn new(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, body, announced: None }
    }

    fn error(status: u16, code: &str) -> Self {
        let headers =
            if code.is_empty() { vec![] } else { vec![("X-Error-Code".to_owned(), code.to_owned())] };
        Self::new(status, headers, b"{\"error\":\"refused\"}".to_vec())
    }

    fn send(mut self, mut stream: TcpStream, seen: &Seen, fault: Option<&Fault>) {
        let range = seen
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        if let Some(from) = range
            .filter(|_| self.status == 200 && !matches!(fault, Some(Fault::IgnoreRange | Fault::Restart(_))))
        {
            let total = self.body.len();
            if from >= total {
                self = Self::error(416, "");
            } else {
                self.status = 206;
                self.headers.push(("Content-Range".into(), format!("bytes {from}-{}/{total}", total - 1)));
                self.body.drain(..from);
            }
        }
        if matches!(fault, Some(Fault::Garbage)) {
            self.body.iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        let mut head = format!(
            "HTTP/1.1 {} -\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.status,
            self.announced.unwrap_or(self.body.len())
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let _ = stream.write_all(head.as_bytes());
        if seen.method == "HEAD" {
            return;
        }
        if let Some(Fault::Drip(pause)) = fault {
            while stream.write_all(b" ").and_then(|()| stream.flush()).is_ok() {
                std::thread::sleep(*pause);
            }
            return;
        }
        let end = match fault {
            Some(Fault::Cut(count) | Fault::Stall(count, _) | Fault::Restart(count)) => {
                (*count).min(self.body.len())
            }
            _ => self.body.len(),
        };
        let _ = stream.write_all(&self.body[..end]);
        let _ = stream.flush();
        if let Some(Fault::Stall(_, pause)) = fault {
            std::thread::sleep(*pause);
        }
        // Lets the client read what was sent before the socket goes.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 64]);
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn git_sha1(bytes: &[u8]) -> String {
    let digest = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns bytes that do not repeat.
pub fn weights(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Writes down every event.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<String>>);

impl Progress for Log {
    fn event(&self, event: FetchEvent<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// Returns the name of the repository that most tests serve.
pub fn id() -> RepoId {
    RepoId::parse("org/name").unwrap()
}

/// Lists every file and link below a folder, as relative paths, links as `path -> target`.
pub fn tree(folder: &std::path::Path) -> Vec<String> {
    fn walk(folder: &std::path::Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                found.push(format!("{path} -> {}", std::fs::read_link(entry.path()).unwrap().display()));
            } else if kind.is_dir() {
                walk(&entry.path(), &format!("{path}/"), found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}
