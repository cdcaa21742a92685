"""An analysis as a tree: printed, or shown in a notebook."""
from __future__ import annotations

import html
from typing import Any, Dict, Iterator, List, Tuple

Row = Dict[str, Any]


def _title(row: Row) -> str:
    identity = row.get("identity")
    if identity:
        return str(identity)
    return "task" if row.get("state") in ("Declared", None) else "sent"


def _words(row: Row) -> str:
    headers = row.get("headers") or {}
    return " ".join(f"{key}={value}" for key, value in headers.items() if key not in ("origin", "receiver"))


class Tree:
    """The tasks of one analysis. ``rows`` are those of the question "tree" (docs/protocol/verbs.md)."""

    def __init__(self, root_uid: str, rows: List[Row]) -> None:
        self.root_uid = root_uid
        self.rows = rows

    @property
    def is_done(self) -> bool:
        """Nothing of it waits or runs."""
        return all(row.get("state") in ("Finished", "Crashed") for row in self.rows)

    def _walk(self) -> Iterator[Tuple[int, Row]]:
        by_uid = {row["uid"]: row for row in self.rows}
        children: Dict[Any, List[Row]] = {}
        for row in self.rows:
            parent = row.get("parent")
            children.setdefault(parent if parent in by_uid else None, []).append(row)
        stack = [(0, row) for row in reversed(children.get(None, []))]
        while stack:
            depth, row = stack.pop()
            yield depth, row
            stack += [(depth + 1, child) for child in reversed(children.get(row["uid"], []))]

    def _lines(self) -> Iterator[Tuple[int, str, str, str]]:
        for depth, row in self._walk():
            error = (row.get("error") or "").strip().splitlines()
            yield depth, _title(row), str(row.get("state")), error[-1] if error else _words(row)

    def __str__(self) -> str:
        lines = [f"analysis {self.root_uid}  {'done' if self.is_done else 'running'}  {len(self.rows)} tasks"]
        lines += [f"{'   ' * depth}└─ {title}  {state}  {text}" for depth, title, state, text in self._lines()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left;padding-left:{depth * 1.5 + 0.5}em'>{html.escape(title)}</td>"
            f"<td>{html.escape(state)}</td><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for depth, title, state, text in self._lines())
        return (f"<table><caption>analysis {html.escape(self.root_uid)}</caption>"
                f"<tr><th>consumer</th><th>state</th><th>headers or error</th></tr>{rows}</table>")
