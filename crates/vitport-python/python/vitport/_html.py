"""HTML for notebooks. Everything that comes from a file is escaped."""
from __future__ import annotations

from typing import Any

MOST_ROWS = 100


def escape(text: str) -> str:
    """Returns text as HTML shows it."""
    import html

    return html.escape(text)


def table(caption: str, rows: list[tuple[Any, ...]]) -> str:
    """Returns rows as a table, the first of which is its head; no more than a person reads."""
    head, *body = rows
    more = len(body) - MOST_ROWS
    lines = [_row("th", head), *(_row("td", row) for row in body[:MOST_ROWS])]
    rest = f"<p>… and {more} more</p>" if more > 0 else ""
    return f"<p>{escape(caption)}</p><table>{''.join(lines)}</table>{rest}"


def frame(page: str) -> str:
    """Returns a whole page in a frame of its own, so that its style and the notebook's stay apart."""
    return f'<iframe sandbox srcdoc="{escape(page)}" style="width: 100%; height: 40em; border: 0"></iframe>'


def _row(cell: str, values: tuple[Any, ...]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(str(value))}</{cell}>" for value in values) + "</tr>"
