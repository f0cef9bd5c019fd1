"""A second Hub on loopback, written from huggingface_hub's own client (file_download.py, hf_api.py) rather than from vitport's:
it answers /api/models/{repo}/revision/{rev} and /{repo}/resolve/{rev}/{file} and nothing else. Small files have a git etag and
come by a relative redirect, large ones (LFS) from another host, described by X-Linked-Etag and X-Linked-Size. `faults` is
called with each request, and may answer in the server's place."""
import hashlib
import http.server
import json
import threading
import urllib.parse

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", headers=(), length=None, cut=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut is None else body[:cut])
            self.close_connection = self.close_connection or cut is not None or length is not None

    def fail(self, status, code=None, headers=()):
        extra = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        return self.say(status, b'{"error":"no"}', {**extra, **dict(headers)})

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub = self.server.hub
        self.path_only = urllib.parse.unquote(self.path.split("?")[0])
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.requests.append(("hub" if self.server is hub.server else "storage", self.command, self.path_only, headers))
        if hub.faults and hub.faults(self):
            return
        if self.server is hub.storage:
            return self.bytes(hub.files_by_sha[self.path_only.strip("/")], {"ETag": '"of-the-storage"'})
        api = f"/api/models/{hub.repo}/revision/"
        if self.path_only.startswith(api):
            if self.path_only[len(api):] not in ("main", COMMIT):
                return self.fail(404, "RevisionNotFound")
            siblings = [{"rfilename": name} for name in hub.files]
            return self.say(200, json.dumps({"_id": "1", "id": hub.repo, "sha": COMMIT, "siblings": siblings}).encode(),
                            {"Content-Type": "application/json; charset=utf-8"})
        cache, resolve = f"/api/resolve-cache/models/{hub.repo}/{COMMIT}/", f"/{hub.repo}/resolve/"
        if self.path_only.startswith(cache):
            data = hub.files[self.path_only[len(cache):]]
            return self.bytes(data, {"ETag": f'W/"{git_sha1(data)}"', "X-Repo-Commit": COMMIT})
        if not self.path_only.startswith(resolve):
            return self.fail(401, "RepoNotFound")
        revision, _, name = self.path_only[len(resolve):].partition("/")
        if revision not in ("main", COMMIT):
            return self.fail(404, "RevisionNotFound", {"X-Repo-Commit": COMMIT})
        if name not in hub.files:
            return self.fail(404, "EntryNotFound", {"X-Repo-Commit": COMMIT})
        data = hub.files[name]
        if name.endswith((".json", ".md", ".txt")):
            return self.say(307, b"Temporary Redirect", {"Location": urllib.parse.quote(cache + name), "X-Repo-Commit": COMMIT})
        host = hub.storage.server_address
        headers = {
            "Location": f"http://127.0.0.1:{host[1]}/{sha256(data)}?X-Amz-Signature=secret", "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data)), "X-Xet-Hash": "0" * 64,
            "Link": f'<http://127.0.0.1:9/{hub.repo}>; rel="xet-auth"', "ETag": '"of-the-redirect"',
        }
        self.say(302, b"Found. Redirecting", headers)

    def bytes(self, data, headers):
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and not self.server.hub.ignores_range:
            start = int(wanted[6:].split("-")[0])
            headers = {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return self.say(206, data[start:], headers)
        self.say(200, data, {**headers, "Accept-Ranges": "bytes"})


class MockHub:
    def __init__(self, repo, files):
        self.repo, self.files, self.requests = repo, files, []
        self.faults, self.ignores_range = None, False
        self.server, self.storage = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2))
        for server in (self.server, self.storage):
            server.hub = self
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def files_by_sha(self):
        return {sha256(data): data for data in self.files.values()}

    def stop(self):
        for server in (self.server, self.storage):
            server.shutdown()
            server.server_close()
