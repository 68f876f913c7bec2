"""What the supervisor runs: parts, and the plan by which they stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _nothing() -> None:
    """The hook of a part that needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the set, started once every part of `after` is ready.

    `before_start` runs before each start, `when_ready` when it is ready for the first time since the set started. A
    step is no lasting process: it is ready when it has ended with 0, and any other end stops the set. The death of a
    vital part restarts the whole set, any other part's that part; `says_on_death` is added to the line that tells.
    """

    name: str
    argv: Sequence[str]
    is_ready: Callable[[], bool] = lambda: True
    after: Sequence[str] = ()
    nice: int = 0
    is_step: bool = False
    is_vital: bool = False
    before_start: Callable[[], None] = _nothing
    when_ready: Callable[[], None] = _nothing
    says_on_death: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a stop: these parts get SIGTERM together, and SIGKILL after `within_s` seconds.

    A stage with `argv` is a command instead, under the name of its first part; it is left out where the set was not
    complete, and killed after `within_s`.
    """

    names: Sequence[str]
    within_s: float
    argv: Sequence[str] = ()
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient the supervisor is, in seconds."""

    #: between two looks at parts that are not ready yet
    tick_s: float = 0.05
    #: between two looks once all are; signals and deaths wake it at once
    idle_s: float = 1.0
    #: after this long it says what is still not ready
    slow_start_s: float = 30.0
    #: wait before the second restart in a row (the first is at once), doubling up to the cap
    backoff_s: float = 0.5
    backoff_cap_s: float = 10.0
    #: a part that lived this long starts with a clean slate
    steady_s: float = 60.0
    #: how long parts may take to stop before the whole set restarts
    restart_within_s: float = 1.0
    #: how long a killed process may take to be gone
    killed_within_s: float = 5.0
