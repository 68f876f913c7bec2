"""What became of the lines, in numbers that do not grow with them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from app.commands.sending.lines import Line

#: Line numbers kept for each reason; the rejects file has all.
KEPT = 20


class Refusal(Struct, frozen=True, kw_only=True):
    """A line that was refused, as it is written to the rejects file."""

    line: int
    reason: str
    detail: str
    text: str


class Refused(Struct, kw_only=True):
    """Lines refused for one reason: how many, the first of them, and what was said of the very first."""

    count: int = 0
    lines: list[int] = []
    detail: str = ""


class Tally(Struct, kw_only=True):
    """The sums. `there`: accepted before, by this run's lines or by those an earlier run left behind it."""

    accepted: int = 0
    there: int = 0
    refused: dict[str, Refused] = {}

    @property
    def refusals(self) -> int:
        """How many lines were refused."""
        return sum(one.count for one in self.refused.values())

    @property
    def lines(self) -> int:
        """How many lines have their answer."""
        return self.accepted + self.there + self.refusals

    def add(self, refusals: Iterable[Refusal]) -> None:
        """Count them."""
        for one in refusals:
            known = self.refused.setdefault(one.reason, Refused(detail=one.detail))
            known.count += 1
            if len(known.lines) < KEPT:
                known.lines.append(one.line)

    def resumed(self) -> Tally:
        """The sums with which the next run goes on: what was accepted is there."""
        return Tally(there=self.accepted + self.there, refused=self.refused)


def refusal(line: Line, reason: str = "", detail: str = "") -> Refusal:
    """A refusal of the line: the service's, or its own."""
    text = line.text.decode(errors="replace")
    return Refusal(line=line.number, reason=reason or line.reason, detail=detail or line.detail, text=text)
