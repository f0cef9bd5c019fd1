"""How it runs: in threads, with progress, until Ctrl-C; what it leaves behind; how long it takes to import."""
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import FILES, TWIN

import vitport


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A ViT-B of zeros, 346 MB that take no space on the disk."""
    folder = tmp_path_factory.mktemp("large")
    with_shapes = {"cls_token": [1, 1, 768], "pos_embed": [1, 197, 768], "norm.weight": [768], "norm.bias": [768]}
    with_shapes |= {"patch_embed.proj.weight": [768, 3, 16, 16], "patch_embed.proj.bias": [768]}
    with_shapes |= {"head.weight": [1000, 768], "head.bias": [1000]}
    for layer in range(12):
        for name, shape in [("norm1", [768]), ("norm2", [768])]:
            with_shapes |= {f"blocks.{layer}.{name}.{part}": shape for part in ("weight", "bias")}
        for name, rows, columns in [
            ("attn.qkv", 2304, 768),
            ("attn.proj", 768, 768),
            ("mlp.fc1", 3072, 768),
            ("mlp.fc2", 768, 3072),
        ]:
            with_shapes |= {f"blocks.{layer}.{name}.weight": [rows, columns], f"blocks.{layer}.{name}.bias": [rows]}
    header, at = {}, 0
    for name, shape in with_shapes.items():
        size = 4
        for axis in shape:
            size *= axis
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file = folder / "model.safetensors"
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + at)
    return file


INTERRUPTED = """
import json, sys, time, threading
import vitport
source, out = sys.argv[1:3]
seen = []
def progress(step):
    if not seen:
        print("started", flush=True)
    seen.append(step.what)
try:
    report = vitport.convert(source, out, arch="vit_base_patch16_224.augreg_in1k", no_fsync=True, progress=progress)
    print("done", report.verdict, seen[-1:])
except KeyboardInterrupt:
    print("interrupted", time.time(), threading.active_count(), seen[-1:])
"""


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.6, 1.2])
def test_ctrl_c_stops_and_leaves_nothing_behind(large, tmp_path, delay):
    script = [sys.executable, "-c", INTERRUPTED, large, tmp_path / "made" / "vit"]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n", process.stderr.read()
    time.sleep(delay)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    left = list(tmp_path.rglob("*"))
    if out.startswith("done"):
        assert left, "published, and so whole"
        pytest.skip("it was done before the signal came")
    word, when, *_ = out.split()
    assert word == "interrupted", err
    assert float(when) - sent < 0.5 + float(os.environ.get("VITPORT_SLOWER", "0")), out
    assert left == [], (left, out)


def test_a_callback_that_raises_stops_the_work(large, tmp_path):
    class Enough(Exception):
        pass

    def progress(step):
        raise Enough

    with pytest.raises(Enough):
        vitport.convert(large, tmp_path / "vit", arch="vit_base_patch16_224.augreg_in1k", progress=progress)
    deadline = time.time() + 20
    while list(tmp_path.iterdir()) and time.time() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_progress_says_what_is_done(large, tmp_path):
    steps = []
    vitport.convert(
        large, tmp_path / "vit", arch="vit_base_patch16_224.augreg_in1k", no_fsync=True, progress=steps.append
    )
    known = ("writing", "comparing weights", "source network, layer", "target network, layer")
    assert steps and all(step.what.startswith(known) for step in steps)
    assert all(step.total and step.is_bytes and step.done <= step.total for step in steps if step.what == "writing")


def test_a_bar_is_drawn_and_cleared(large, tmp_path, capsys):
    vitport.convert(large, tmp_path / "vit", arch="vit_base_patch16_224.augreg_in1k", no_fsync=True, progress=True)
    drawn = capsys.readouterr().err
    assert "network, layer" in drawn and drawn.endswith("\r")
    vitport.plan(TWIN)
    assert capsys.readouterr().err == ""


def test_other_threads_run_meanwhile(large, tmp_path):
    """The interpreter's lock is released: another thread counts while networks run."""
    ticks, stop = [], threading.Event()

    def count():
        while not stop.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=count)
    thread.start()
    begin = time.monotonic()
    vitport.convert(large, tmp_path / "vit", arch="vit_base_patch16_224.augreg_in1k", no_fsync=True, progress=False)
    took = time.monotonic() - begin
    stop.set()
    thread.join()
    assert len(ticks) > min(20, 10 * took)


def test_eight_threads_convert_and_read(tmp_path, golden):
    def work(number):
        out = tmp_path / f"vit-{number}"
        conversion = vitport.convert(TWIN, out, no_fsync=True)
        read = {file: len(vitport.load_state_dict(FILES / file)) for file in golden}
        return conversion.verdict, vitport.verify(TWIN, out).verdict, read, out

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    wanted = {file: len(row["tensors"]) for file, row in golden.items()}
    first = (results[0][3] / "model.safetensors").read_bytes()
    for verdict, verified, read, out in results:
        assert (verdict, verified, read) == ("same", "same", wanted)
        assert (out / "model.safetensors").read_bytes() == first


def test_one_lazy_file_is_read_by_many_threads():
    with vitport.open(TWIN / "model.safetensors") as state_dict:
        wanted = {name: state_dict[name].tobytes() for name in state_dict}
        with ThreadPoolExecutor(8) as pool:
            for name, found in pool.map(lambda name: (name, state_dict[name].tobytes()), list(wanted) * 8):
                assert found == wanted[name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_a_fork_says_what_to_do():
    script = (
        "import os, vitport\n"
        f"vitport.plan({str(TWIN)!r})\n"
        "if os.fork() == 0:\n"
        "    try: vitport.plan('x')\n"
        "    except RuntimeError as error: print(error)\n"
        "else: os.wait()\n"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert "spawn" in run.stdout and run.returncode == 0, run


def test_nothing_large_is_imported():
    script = "import sys, vitport; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "json", "dataclasses", "mmap", "transformers"} & set(modules)


@pytest.fixture
def slow_server():
    """An address that brings an image at ten kilobytes a second, and one that never answers."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/never"):
                time.sleep(5)
                return
            self.send_response(200)
            self.send_header("Content-Length", "10000000")
            self.end_headers()
            try:
                for _ in range(1000):
                    self.wfile.write(b"x" * 1000)
                    time.sleep(0.1)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("page", ["slow", "never"])
def test_ctrl_c_does_not_wait_for_the_network(slow_server, tmp_path, page):
    script = """
import sys, time, _thread, threading, vitport
source, out, image = sys.argv[1:]
sent = []
def interrupt():
    sent.append(time.monotonic())
    _thread.interrupt_main()
threading.Timer(1.0, interrupt).start()
try:
    vitport.convert(source, out, image=image)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - sent[0])
"""
    command = [sys.executable, "-c", script, TWIN, tmp_path / "vit", f"{slow_server}/{page}.png"]
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    word, took = run.stdout.split()
    assert word == "interrupted" and float(took) < 0.5 + float(os.environ.get("VITPORT_SLOWER", "0")), run
    assert list(tmp_path.iterdir()) == []
