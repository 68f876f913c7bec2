"""Lines of keys in TOML, in every form a key can be written."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.toml_lines import Path, key_lines

TRICKY = r'''# a comment with [brackets] = and "quotes"
top = 1
a.b."c.d" = "a # no comment"

[ event . "order.shipped" ]   # a header with blanks
text = """
[not.a.table]
key = "not a key"
\""" still inside \"""
ends with quotes"""""
raw = \'\'\'
also = [not, a, key]
\'\'\'
list = [ # with comments ] in it
  "a]", { x = 1, y.z = [ { deep = '}' } ] },
  3, # last
]
after = 1979-05-27T07:32:00Z
inline = { one = 1, "two words" = { three = 3 } }
'single' = '\'
empty = ""

[[many]]
n = 1
[[many]]
n = 2
[event]
late = true
'''.replace("\\'\\'\\'", "'" * 3)


def test_keys_are_found_in_every_form_and_nowhere_else() -> None:
    lines = key_lines(TRICKY)
    assert set(lines) == paths(tomllib.loads(TRICKY))
    rows = TRICKY.splitlines()
    expected = {
        ("top",): "top =",
        ("a",): "a.b",
        ("a", "b", "c.d"): "a.b",
        ("event", "order.shipped"): "[ event",
        ("event", "order.shipped", "text"): "text =",
        ("event", "order.shipped", "raw"): "raw =",
        ("event", "order.shipped", "list"): "list =",
        ("event", "order.shipped", "list", "y", "z", "deep"): '  "a]"',
        ("event", "order.shipped", "after"): "after =",
        ("event", "order.shipped", "inline", "two words", "three"): "inline =",
        ("event", "order.shipped", "single"): "'single'",
        ("event", "order.shipped", "empty"): "empty =",
        ("many", "n"): "n = 2",
        ("event",): "[event]",
        ("event", "late"): "late =",
    }
    for path, begins in expected.items():
        assert rows[lines[path] - 1].startswith(begins), path


def paths(value: Any, path: Path = ()) -> set[Path]:
    """Every path in a document; positions in arrays do not count."""
    if isinstance(value, dict):
        return {found for key, inner in value.items() for found in {(*path, key), *paths(inner, (*path, key))}}
    if isinstance(value, list):
        return {found for inner in value for found in paths(inner, path)}
    return set()


def quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(one, one) for one in text) + '"'


texts = st.text(st.sampled_from("ab#[]{}=,.'\"\\ \n"), max_size=8)
scalars = st.one_of(
    st.integers().map(str),
    texts.map(quoted),
    texts.filter(lambda text: "'" not in text).map(lambda text: "'''" + text + "'''"),
    texts.map(lambda text: '"""\n' + quoted(text)[1:-1].replace("\\n", "\n") + '"""'),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + ",\n # ]\n".join(items) + "\n]"),
        st.dictionaries(texts, inner, max_size=2).map(
            lambda table: "{ " + ", ".join(f"{quoted(key)} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=5,
)


@given(st.lists(values, max_size=5))
def test_any_valid_text_is_read_like_tomllib_reads_it(written: list[str]) -> None:
    text, expected = "", {}
    for number, value in enumerate(written):
        expected[(f"key{number}",)] = text.count("\n") + 1
        text += f"key{number} = {value} # a comment\n"
    lines = key_lines(text)
    assert set(lines) == paths(tomllib.loads(text))
    assert {path: line for path, line in lines.items() if len(path) == 1} == expected
