"""On which line of a TOML text each key stands, which `tomllib` does not tell.

The text must be valid: the scan trusts brackets, quotes and commas, and only finds where things begin and end.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART: Final = re.compile(r'[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')[ \t]*')
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'',
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every key and table, by its path; in arrays of tables, where it is for the last time."""
    return _Scan(text).lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._document()

    def _document(self) -> None:
        table: Path = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._take("[["):
                table = self._key(())
                self._at += len("]]")
            elif self._take("["):
                table = self._key(())
                self._at += len("]")
            else:
                self._pair(table)
            self._skip_blank()

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._take("=")
        self._value(path)

    def _key(self, table: Path) -> Path:
        """Read a dotted key. The first mention of a parent counts, of the key itself the last."""
        line = self._text.count("\n", 0, self._at) + 1
        path = table
        while True:
            part = _KEY_PART.match(self._text, self._at)
            if part is None:
                raise ValueError(f"line {line}: not a key")
            self._at = part.end()
            path = (*path, _plain(part[1]))
            self.lines.setdefault(path, line)
            if not self._take("."):
                break
        self.lines[path] = line
        return path

    def _value(self, path: Path) -> None:
        self._skip_blank()
        if self._take("["):
            self._items("]", path)
        elif self._take("{"):
            self._items("}", path)
        else:
            form = _STRING if self._text[self._at] in "\"'" else _SCALAR
            found = form.match(self._text, self._at)
            self._at = found.end() if found else len(self._text)

    def _items(self, closing: str, path: Path) -> None:
        """The rest of an array or an inline table, which begins behind the opening bracket."""
        self._skip_blank()
        while not self._take(closing):
            if closing == "}":
                self._pair(path)
            else:
                self._value(path)
            self._skip_blank()
            self._take(",")
            self._skip_blank()

    def _take(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at


def _plain(part: str) -> str:
    """A part of a key without its quotes and escapes."""
    return str(tomllib.loads(f"key = {part}")["key"]) if part[0] in "\"'" else part
