"""Puts the pages at the root of the repository into the site, and makes their links and those to the code lead there.

MkDocs calls these functions while it builds (`hooks` in mkdocs.yml).
"""

import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md"} | {name: name for name in ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]}
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
IN_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.M | re.S)


def on_files(files, config):
    for name, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links are written for the repository. Here, what is a page is linked as one, and everything else in the repository."""
    from_root = next((name for name, place in PAGES.items() if place == page.file.src_uri), None)
    folder = "" if from_root else posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def lead(match):
        target = match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, heading = target.partition("#")
        path = posixpath.normpath(posixpath.join(folder, path))
        place = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") and path.endswith(".md") else None)
        if place is None:
            return f"{match[1]}{config['repo_url']}/blob/main/{path}{match[3]}"
        place = posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")
        return f"{match[1]}{place}{'#' + heading if heading else ''}{match[3]}"

    parts = IN_CODE.split(markdown)
    return "".join(part if index % 2 else LINK.sub(lead, part) for index, part in enumerate(parts))
