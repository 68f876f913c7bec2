"""What a row finds: figures by name, one a round, and the bars they are held against."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.any_stack import PROFILES, Profile

#: Figures by name, one a round.
Figures = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A figure, or a ratio `over`/`under` of two, by its median over the rounds; what it must reach, by profile."""

    over: str
    under: str = ""
    least: Mapping[Profile, float] = field(default_factory=dict)
    most: Mapping[Profile, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return f"{self.over} / {self.under}" if self.under else self.over

    def value(self, found: Figures) -> float:
        """The median of the rounds' ratios: what disturbs a round disturbs both of its figures."""
        if not self.under:
            return statistics.median(found[self.over])
        return statistics.median(over / under for over, under in zip(found[self.over], found[self.under], strict=True))

    def limits(self, profile: Profile) -> str:
        """What it must reach, in words; empty where it is only shown."""
        least, most = self.least.get(profile), self.most.get(profile)
        return " and ".join(
            [
                *([f"at least {least:g}"] if least is not None else []),
                *([f"at most {most:g}"] if most is not None else []),
            ]
        )

    def is_met(self, profile: Profile, value: float) -> bool:
        """Whether the value is within the limits."""
        return self.least.get(profile, value) <= value <= self.most.get(profile, value)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of a row: on which profile, where, how often, and how large (1: as the row says)."""

    profile: Profile
    folder: Path
    rounds: int
    scale: float
    tell: Callable[[str], None]

    def each_round(self) -> Iterator[int]:
        """The rounds, by number."""
        yield from range(self.rounds)

    def scaled(self, count: int) -> int:
        return max(1, int(count * self.scale))

    def note(self, found: Figures, name: str, figure: float) -> None:
        """Keep a figure, and show it."""
        found.setdefault(name, []).append(figure)
        self.tell(f"{name}: {figure:,.4g}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A question, what measures it, and what it must reach."""

    name: str
    question: str
    unit: str
    measure: Callable[[Task], Figures]
    bars: tuple[Bar, ...]
    profiles: Sequence[Profile] = PROFILES
    #: Whether the quick form has it.
    is_quick: bool = False
    #: A program that has to be installed.
    needs: str = ""
