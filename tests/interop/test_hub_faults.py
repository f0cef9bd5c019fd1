"""The Hub's faults as a user meets them, from a server written after huggingface_hub's own client: one line, the exit code of
its class, nothing left behind, a cache that both clients still read, and the token in no output."""
import gzip
import json
import os
import subprocess
import sys

import pytest

import environment
from mock_hub import COMMIT, MockHub, sha256

TOKEN, REPO = "hf_notToBeSeenAnywhere", "someone/birds"
VIT = environment.ROOT / "examples/vit_small_twin"


@pytest.fixture
def hub():
    files = {name: (VIT / name).read_bytes() for name in ("config.json", "model.safetensors")}
    files["README.md"] = b"---\nlicense: cc-by-nc-4.0\ndatasets: [feathers]\n---\n# Birds\n"
    hub = MockHub(REPO, files)
    yield hub
    hub.stop()


@pytest.fixture
def home(hub, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {**kept, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "NO_PROXY": "*"}


def vitport(home, *arguments, **options):
    command = [str(environment.binary()), *map(str, arguments)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=120, **options)
    assert TOKEN not in done.stdout + done.stderr
    return done


def python(home, code):
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SNAPSHOT = f"from huggingface_hub import snapshot_download; print(snapshot_download({REPO!r}))"


def status(code, error=None, part="", headers=()):
    return lambda request: part in request.path_only and (request.fail(code, error, headers) or True)


def body(part, status, data, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: part in request.path_only and (request.say(status, data, names) or True)


def of_storage(status, data, **headers):
    answer = body("", status, data, **headers)
    return lambda request: request.server is request.server.hub.storage and answer(request)


SIZE = (VIT / "model.safetensors").stat().st_size
FAULTS = {
    "401": (status(401), 6, "does not exist, or it is private"),
    "401 for the token": (body("", 401, b"", X_Error_Message="Invalid credentials in Authorization header"), 6, "does not accept the token"),
    "403": (status(403), 6, "status 403"),
    "gated": (status(403, "GatedRepo"), 6, "is gated"),
    "gated at the file": (status(403, "GatedRepo", "/resolve/"), 6, "is gated"),
    "no repository": (status(404, "RepoNotFound"), 6, REPO),
    "no revision": (status(404, "RevisionNotFound"), 6, "no revision 'main'"),
    "no file": (status(404, "EntryNotFound", "safetensors"), 3, "no file 'model.safetensors'"),
    "429 for hours": (status(429, None, "", {"Retry-After": "9999"}), 6, "9999 s"),
    "403 of the storage": (of_storage(403, b""), 6, "status 403"),
    "a shorter file": (of_storage(200, b"x" * (SIZE - 1)), 6, f"should have {SIZE} bytes"),
    "another file": (of_storage(200, b"x" * SIZE), 6, "is not the file that its etag"),
    "compressed": (of_storage(200, gzip.compress(b"x"), Content_Encoding="gzip"), 6, "compresses"),
    "redirects without end": (body("/resolve/", 302, b"", Location=f"/{REPO}/resolve/main/config.json"), 6, "more than 10 redirects"),
    "a redirect to nowhere": (body("/resolve/", 302, b""), 6, "status 302"),
    "a login page": (body("", 200, b"<html>log in</html>", Content_Type="text/html"), 6, "does not answer like a Hub"),
    "an etag that is a path": (body("/resolve/", 200, b"{}", ETag='"../../x"'), 6, "ETag"),
    "a commit that is a path": (body("/revision/", 200, b'{"sha": "../../x"}'), 6, "commit"),
    "no commit": (lambda request: body("/api/models/", 404, b"")(request) or body("/resolve/", 200, b"{}", ETag='"x"')(request), 6, "X-Repo-Commit"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_and_leaves_the_cache_sound(hub, home, tmp_path, name):
    hub.faults, code, says = FAULTS[name]
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "--json")
    assert done.returncode == code, done.stderr
    assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == code
    assert sorted(path.name for path in tmp_path.iterdir()) in (["home"], [])
    assert not list(tmp_path.rglob("*.incomplete"))
    hub.faults = None
    assert vitport(home, "convert", REPO, "-o", tmp_path / "out").returncode == 0
    folder = python({**home, "HF_HUB_OFFLINE": "1"}, SNAPSHOT)
    assert sha256(open(f"{folder}/model.safetensors", "rb").read()) == sha256(hub.files["model.safetensors"])


def test_the_token_goes_to_the_hub_alone(hub, home, tmp_path):
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "-v", "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    sent = {"hub": set(), "storage": set()}
    for server, _, _, headers in hub.requests:
        sent[server].add(headers.get("authorization"))
    assert sent == {"hub": {f"Bearer {TOKEN}"}, "storage": {None}}
    written = [path for folder in ("out", "home") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    for path in [*written, tmp_path / "report.json"]:
        assert TOKEN.encode() not in path.read_bytes() and b"X-Amz-Signature" not in path.read_bytes(), path
    head = (tmp_path / "out/README.md").read_text()
    assert head.startswith("---\nlicense: cc-by-nc-4.0\n") and f"- {REPO}\n" in head and "- feathers\n" in head and COMMIT in head


def test_both_clients_read_each_other(hub, home, tmp_path):
    python({**home, "HF_HUB_DISABLE_XET": "1"}, SNAPSHOT)
    done = vitport({**home, "HF_HUB_OFFLINE": "1"}, "convert", REPO, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    # Only what hf_hub_download left: one file and a ref, and a note of a file that is not there.
    other = {**home, "HF_HOME": str(tmp_path / "other"), "HF_HUB_DISABLE_XET": "1"}
    code = "from huggingface_hub import hf_hub_download as get\nfor name in ('config.json', 'model.safetensors', 'absent.txt'):\n"
    python(other, code + f"  try: get({REPO!r}, name)\n  except Exception as error: assert 'absent' in str(error), error")
    done = vitport(other, "convert", REPO, "-o", tmp_path / "again", "--offline")
    assert done.returncode == 0, done.stderr


def test_a_cache_of_files_without_links(hub, home, tmp_path):
    """Python's cache on a file system without links holds the files themselves."""
    python({**home, "HF_HUB_DISABLE_XET": "1"}, SNAPSHOT)
    for link in list((tmp_path / "home").rglob("snapshots/*/*")):
        data = link.read_bytes()
        link.unlink()
        link.write_bytes(data)
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "--offline")
    assert done.returncode == 0, done.stderr


def test_nobody_there(hub, home, tmp_path):
    hub.stop()
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "-q")
    assert done.returncode == 6 and "refused" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_full_disk(hub, home, tmp_path):
    import resource

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, SIZE // 2))
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "-q", preexec_fn=limit)
    assert done.returncode == 6 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
    assert not (tmp_path / "out").exists()
    done = vitport(home, "convert", REPO, "-o", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr


def test_a_fetched_model_opens_offline_in_both_versions(hub, home, tmp_path, image_files):
    from test_card import card_of, run_code

    done = vitport(home, "convert", f"{REPO}@{COMMIT}", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    card = card_of(tmp_path / "out")
    assert (card.data.license, card.data.base_model, card.data.datasets) == ("cc-by-nc-4.0", [REPO], ["feathers"])
    for major in environment.MAJORS:
        assert run_code(card, tmp_path / "out", image_files[0], major) == 2
