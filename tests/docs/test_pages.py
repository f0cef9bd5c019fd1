"""Runs what the documentation shows: every block of shell commands and of Python, page by page, in the order of the page.

A comment before a block says what is special: `<!-- exits with N -->`, or `<!-- not run: why -->`. A block of `text` holds lines of
what the blocks before it printed; numbers and the spaces between words do not count.
"""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)

# Pages with blocks, and how many of them are run. Whoever adds one adds it here.
PAGES = {
    "README.md": 4,
    "docs/attestation.md": 1,
    "docs/batch.md": 0,
    "docs/guides/back-to-timm.md": 8,
    "docs/guides/bare-files.md": 4,
    "docs/guides/cvt.md": 3,
    "docs/guides/in-ci.md": 3,
    "docs/guides/own-mapping.md": 2,
    "docs/guides/pretraining.md": 2,
    "docs/guides/untrusted.md": 3,
    "docs/hub.md": 0,
    "docs/python.md": 3,
    "docs/report.md": 0,
    "docs/schemas.md": 1,
    "docs/start.md": 3,
}

# What is not run, and why.
NOT_RUN = {
    "README.md": ["the tests do it on their own"],
    "docs/attestation.md": ["needs cosign and an identity", "needs sigstore and an identity"],
    "docs/batch.md": ["needs files of your own", "needs a cluster", "needs a cluster"],
    "docs/hub.md": ["needs the Hub"],
    "docs/report.md": ["needs reports of your own"],
    "docs/start.md": ["the tests do it on their own"],
}


def blocks(page):
    for match in BLOCK.finditer((ROOT / page).read_text()):
        yield match["comment"] or "", match["language"], match["body"]


def in_order(text):
    """Returns the lines of a text without what differs between runs."""
    lines = [re.sub(r"\d[\d.,e%+-]*", "0", " ".join(line.split())) for line in text.splitlines()]
    return [line for line in lines if line]


def follows(wanted, printed):
    """Says whether lines stand in others, one after another."""
    place = 0
    for line in wanted:
        try:
            place = printed.index(line, place) + 1
        except ValueError:
            return False
    return True


@pytest.fixture
def folder(tmp_path, files, python):
    """A place where pages are at home: the repository's files, and those that the pages convert."""
    for path in [*ROOT.iterdir(), *files.iterdir()]:
        if path.name not in (".git", "target"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, folder, python, environment):
    ran, not_run, printed = 0, [], []
    for comment, language, body in blocks(page):
        body = body.replace("/tmp/", f"{folder}/")
        if comment.startswith("not run: "):
            not_run.append(comment.removeprefix("not run: "))
            continue
        if language == "text":
            wanted = in_order(body)
            assert follows(wanted, printed), "\n".join(["not printed:", body, "printed:", *printed])
            continue
        if language not in ("sh", "python"):
            continue
        body = body.replace("cargo run --release -- ", "vitport ").replace("cargo test\n", "")
        command = ["bash", "-eu", "-c", body] if language == "sh" else [python, "-c", body]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        expected = re.fullmatch(r"exits with (\d+)", comment)
        assert done.returncode == (int(expected[1]) if expected else 0), f"{body}\n{done.stdout}\n{done.stderr}"
        printed += in_order(done.stdout) + in_order(done.stderr)
        ran += 1
    assert (ran, not_run) == (PAGES[page], NOT_RUN.get(page, [])), "PAGES and NOT_RUN say otherwise"


def test_no_page_is_left_out():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    shown = {str(page.relative_to(ROOT)) for page in pages
             if any(language in ("sh", "python") for _, language, _ in blocks(page.relative_to(ROOT)))}
    assert shown == set(PAGES)


def test_links_lead_somewhere():
    """Links between the repository's own files, with the headings that they name."""
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, heading = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (heading and heading not in headings(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def headings(page):
    """Returns the anchors of a page, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
