"""Models by their name: fetched from a server on loopback that speaks the Hub's protocol, into a cache that Python's
huggingface_hub shares."""
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_notToBeSeenAnywhere"
VIT, NAME = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", "vit_tiny_patch16_224"
CVT = "someone/cvt-13-birds"


def contents():
    vit, cvt = environment.ROOT / "examples/vit_small_twin", environment.ROOT / "examples/cvt_tiny"
    return {
        VIT: {name: (vit / name).read_bytes() for name in ("config.json", "model.safetensors")},
        CVT: {"CvT-tiny.pth": (cvt / "tiny.pth").read_bytes()},
    }


class Hub(http.server.BaseHTTPRequestHandler):
    """GET /api/models/{repo}[/revision/{rev}] and HEAD, GET /{repo}/resolve/{rev}/{file}, with ranges."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            half = self.server.cuts and len(body) > 1000
            self.wfile.write(body[: len(body) // 2] if half else body)
            if half:
                self.server.cuts -= 1
                self.close_connection = True

    def answer(self):
        path = self.path.split("?")[0].strip("/")
        self.server.requests.append((self.command, path))
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            return self.say(401)
        for repo, files in self.server.repositories.items():
            if re.fullmatch(rf"api/models/{repo}(/revision/(main|{COMMIT}))?", path):
                siblings = [{"rfilename": name} for name in files]
                body = json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()
                return self.say(200, body, Content_Type="application/json")
            found = re.fullmatch(rf"{repo}/resolve/(main|{COMMIT})/(.+)", path)
            if found and found[2] in files:
                return self.file(files[found[2]])
        return self.say(404, b"{}", X_Error_Code="RepoNotFound")

    def file(self, data):
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if not wanted:
            return self.say(200, data, **headers)
        start = int(wanted[1])
        return self.say(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", **headers)


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.repositories, server.requests, server.cuts = contents(), [], 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(hub, tmp_path):
    """An environment of its own: this Hub, this cache, this token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    address = f"http://127.0.0.1:{hub.server_port}"
    return {**kept, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "NO_PROXY": "*"}


def vitport(home, *arguments):
    command = [str(environment.binary()), *map(str, arguments)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert TOKEN not in done.stdout + done.stderr
    return done


def python(home, code):
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def transfers(hub):
    return [path for command, path in hub.requests if command == "GET" and "/resolve/" in path]


@pytest.mark.parametrize("name", [NAME, VIT, f"hf-hub:{VIT}", f"{VIT}@{COMMIT}"])
def test_a_name_is_fetched_converted_and_verified(hub, home, tmp_path, name):
    done = vitport(home, "convert", name, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["report"]
    assert report["verdict"] in ("same", "same_with_known_deviation")
    assert report["source"]["provenance"] == {"repository": VIT, "commit": COMMIT}


def test_python_reads_the_cache_that_vitport_wrote(hub, home, tmp_path):
    assert vitport(home, "convert", NAME, "-o", tmp_path / "out").returncode == 0
    before = len(hub.requests)
    code = f"from huggingface_hub import snapshot_download; print(snapshot_download({VIT!r}))"
    folder = Path(python({**home, "HF_HUB_OFFLINE": "1"}, code))
    assert (folder / "model.safetensors").read_bytes() == hub.repositories[VIT]["model.safetensors"]
    assert len(hub.requests) == before
    again = vitport(home, "convert", NAME, "-o", tmp_path / "again", "--offline")
    assert again.returncode == 0, again.stderr
    assert len(hub.requests) == before


def test_vitport_reads_the_cache_that_python_wrote(hub, home, tmp_path):
    python(home, f"from huggingface_hub import snapshot_download; snapshot_download({VIT!r})")
    before = transfers(hub)
    done = vitport(home, "convert", VIT, "-o", tmp_path / "online")
    assert done.returncode == 0, done.stderr
    assert transfers(hub) == before
    done = vitport({**home, "HF_HUB_OFFLINE": "1"}, "convert", VIT, "-o", tmp_path / "offline")
    assert done.returncode == 0, done.stderr


def test_a_cut_stream_is_taken_up_again(hub, home, tmp_path):
    hub.cuts = 2
    done = vitport(home, "convert", NAME, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert hub.cuts == 0


def test_a_repository_with_a_cvt_checkpoint(hub, home, tmp_path):
    done = vitport(home, "convert", CVT, "-o", tmp_path / "out", "--image-size", "64", "--num-heads", "1,2,4", "--labels", "none")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/config.json").read_text())["model_type"] == "cvt"


def test_one_of_several_checkpoints_is_picked_as_the_message_says(hub, home, tmp_path):
    data = hub.repositories[CVT]["CvT-tiny.pth"]
    hub.repositories["someone/cvts"] = {"a/tiny.pth": data, "b/tiny.pth": data}
    facts = ("--image-size", "64", "--num-heads", "1,2,4", "--labels", "none")
    refused = vitport(home, "convert", "someone/cvts", "-o", tmp_path / "out", *facts)
    assert refused.returncode == 2 and "pick one, such as someone/cvts:a/tiny.pth" in refused.stderr, refused.stderr
    done = vitport(home, "convert", "someone/cvts:b/tiny.pth", "-o", tmp_path / "out", *facts)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (("vit_base_patch16_22",), 4, "did you mean vit_base_patch16_224"),
        (("vit_base_patch16_rpn_224.sw_in1k",), 7, "no target"),
        (("nobody/nothing",), 6, "nobody/nothing"),
        ((NAME, "--offline"), 6, "offline"),
        (("nowhere/model.pth",), 3, "model.pth"),
        (("hf-hub:a/b/../c",), 2, "a/b"),
        ((f"https://me:{TOKEN}@huggingface.co/org/name",), 2, "is not the name"),
        ((f"http://me:{TOKEN}@mirror.test/org/name?key={TOKEN}",), 2, "is not the name"),
    ],
)
def test_what_cannot_be_had_is_one_line(hub, home, tmp_path, arguments, code, says):
    done = vitport(home, "convert", *arguments, "-o", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_an_image_by_its_address(hub, home, tmp_path):
    harbour = environment.ROOT / "crates/vitport/data/image/harbour.png"
    hub.repositories["someone/images"] = {"harbour.png": harbour.read_bytes()}
    address = f"{home['HF_ENDPOINT']}/someone/images/resolve/main/harbour.png"
    done = vitport(home, "convert", VIT, "-o", tmp_path / "out", "--image", f"{address}?signature={TOKEN}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["report"]["image"]["name"] == address
    refused = vitport(home, "verify", VIT, tmp_path / "out", "--offline", "--image", address)
    assert refused.returncode == 6, refused.stderr
