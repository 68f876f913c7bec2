"""What `manage.py send` makes of a file: lines, keys, batches, sums, and how far it came."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from app.commands.sending.lines import Line, key_of, read_batches, read_lines
from app.commands.sending.progress import FileState, Progress, ProgressFile
from app.commands.sending.tally import KEPT, Tally, refusal
from app.domain.errors import ConfigError
from app.domain.event import MAX_EVENT_BYTES

EVENT = b'{"user_id": "a", "event_type": "note", "content": "x"}'
STATE = FileState(10, 20, 30)


def lines_of(text: bytes, name: str = "file") -> list[Line]:
    return list(read_lines(io.BytesIO(text), name))


@pytest.mark.parametrize("text", [EVENT, b"  " + EVENT + b"\r", b"{ }", b"{}", b'{"idempotency_key": null, "a": 1}'])
def test_a_line_gets_a_key_and_keeps_what_it_says(text: bytes) -> None:
    [line] = lines_of(text + b"\n")
    said, posted = json.loads(text), json.loads(line.body)
    assert posted.pop("idempotency_key") == key_of("file", 1, text.strip())
    said.pop("idempotency_key", None)
    assert posted == said


def test_a_line_with_a_key_of_its_own_goes_as_it_is() -> None:
    [line] = lines_of(b'{"idempotency_key":"mine"}')
    assert line.body == b'{"idempotency_key":"mine"}'


def test_keys_tell_file_line_and_content_apart_and_are_stable() -> None:
    keys = {key_of(name, number, text) for name in "ab" for number in (1, 2) for text in (b"x", b"y")}
    assert len(keys) == 8
    assert key_of("a", 1, b"x") == "send-ca3ee42d5199d73112156b569da57811a95eae52"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"{", "invalid_json"), (b"\xff", "invalid_json"), (b"[1]", "invalid_json"), (b"[" * 100_000, "invalid_json")],
)
def test_what_is_no_event_is_refused_by_its_line(text: bytes, reason: str) -> None:
    good, bad, last = lines_of(EVENT + b"\n" + text + b"\n\n" + EVENT)
    assert (bad.number, bad.reason, bad.body) == (2, reason, b"")
    assert (good.number, last.number) == (1, 4)
    assert good.body
    assert last.body


def test_a_line_that_is_too_long_is_passed_over_without_being_kept() -> None:
    long = b'"' + b"x" * (MAX_EVENT_BYTES * 3) + b'"'
    bad, good = lines_of(long + b"\n" + EVENT)
    assert bad.reason == "too_large"
    assert len(bad.text) <= 1000
    assert (good.number, good.end) == (2, len(long) + 1 + len(EVENT))


def test_reading_goes_on_where_it_was_left() -> None:
    text = b"\n".join([EVENT] * 5)
    whole = lines_of(text)
    file = io.BytesIO(text)
    file.seek(whole[1].end)
    assert list(read_lines(file, "file", offset=whole[1].end, number=2)) == whole[2:]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert lines_of(b"\xef\xbb\xbf" + EVENT)[0].body


def test_batches_are_bounded_by_count_and_size() -> None:
    lines = lines_of(b"\n".join([EVENT] * 10))
    assert [len(one.lines) for one in read_batches(iter(lines), count=4, size=10**6)] == [4, 4, 2]
    assert [len(one.lines) for one in read_batches(iter(lines), count=4, size=len(EVENT) * 2)] == [2] * 5
    assert [len(one.lines) for one in read_batches(iter(lines), count=4, size=1)] == [1] * 10


def test_the_sums_keep_few_line_numbers() -> None:
    tally = Tally(accepted=3, there=2)
    tally.add(refusal(Line(number=number, end=0, text=b"x"), "invalid", "/a is wrong") for number in range(1000))
    assert tally.refusals == tally.refused["invalid"].count == 1000
    assert tally.refused["invalid"].lines == list(range(KEPT))
    assert (tally.resumed().accepted, tally.resumed().there, tally.resumed().refusals) == (0, 5, 1000)


def test_progress_is_for_the_file_as_it_was(tmp_path: Path) -> None:
    kept = ProgressFile(tmp_path / "f.progress")
    saved = Progress(name="f", file=STATE, offset=7, line=2, tally=Tally(accepted=2))
    kept.save(saved)
    assert kept.load("f", STATE) == saved
    for name, state in (("g", STATE), ("f", FileState(11, 20, 30)), ("f", FileState(10, 21, 30))):
        assert kept.load(name, state).offset == 0


def test_a_file_that_is_no_progress_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.progress"
    path.write_text("my notes")
    with pytest.raises(ConfigError, match="no progress file"):
        ProgressFile(path).load("f", STATE)
    assert path.read_text() == "my notes"
