"""The Python blocks of the documentation run, one after another, at the root of the repository."""
import re

import pytest
from conftest import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_blocks_run(page, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    blocks = [block for block in BLOCK.findall((ROOT / page).read_text()) if "vitport." in block]
    assert blocks
    names = {}
    for block in blocks:
        # What the page writes to /tmp goes where nothing is in the way.
        exec(compile(block.replace("/tmp/", f"{tmp_path}/"), page, "exec"), names)
    assert names["report"].headline == "same" and len(names["state_dict"]) > 10
