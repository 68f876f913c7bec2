"""A jinja2 environment whose templates cannot make much out of little: see also the time limit in `rendering`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.domain.codec import encode

_NUMBER_BITS = 256
# widths and precisions of five digits or more, taken from an argument, or from a field within a field
_LARGE_FORMAT = re.compile(r"\d{5,}|%[^a-zA-Z%]*\*|\{[^{}]*:[^{}]*\{")
_MULTIPLYING = frozenset({"replace", "join"})
_SIZED_FILTERS = ("batch", "center", "format", "indent", "join", "replace", "slice", "tojson", "truncate", "wordwrap")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Templates see no more than they are given, and no operator, method or filter makes a value beyond `max_size`.

    A mapping or list that is printed comes out as JSON.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *, max_size: int, autoescape: bool) -> None:
        super().__init__(autoescape=autoescape, undefined=StrictUndefined, finalize=_as_text)
        self._max_size = max_size
        self.globals.pop("lipsum")
        for name in _SIZED_FILTERS:
            self.filters[name] = self._bounded(name, self.filters[name])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """As jinja2's, refusing what would grow beyond the bounds."""
        sizes = [len(side) if isinstance(side, str | bytes | list | tuple) else None for side in (left, right)]
        if operator == "%" and isinstance(left, str):
            self._check_format(left)
        elif operator == "+" and None not in sizes:
            self._check_size(sum(size or 0 for size in sizes))
        elif operator == "*" and sizes != [None, None]:
            self._check_size(
                _product(side if size is None else size for side, size in zip((left, right), sizes, strict=True))
            )
        elif operator in ("*", "**"):
            _check_power(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - jinja2's form: a template may pass self=
        """As jinja2's, with bounded arguments."""
        owner = getattr(__obj, "__self__", None)
        subject = (owner,) if isinstance(owner, str) else ()
        __self._check_arguments(getattr(__obj, "__name__", ""), (*subject, *args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """As jinja2's; `value` may be `str.format`."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            self._check_format(value.__self__)
        return wrapped

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # also copies the mark by which jinja2 knows what to pass first
        def bounded(*args: Any, **kwargs: Any) -> Any:
            if name == "format":
                self._check_format(str(args[0]))
            self._check_arguments(name, (*args, *kwargs.values()))
            return function(*args, **kwargs)

        return bounded

    def _check_arguments(self, name: str, values: tuple[Any, ...]) -> None:
        for value in values:
            if isinstance(value, int):
                self._check_size(value)
        if name in _MULTIPLYING:
            self._check_size(_product(len(value) or 1 for value in values if isinstance(value, str | list | tuple)))

    def _check_format(self, form: str) -> None:
        self._check_size(len(form))
        if _LARGE_FORMAT.search(form):
            raise SecurityError("format too large")

    def _check_size(self, size: float) -> None:
        if size > self._max_size:
            raise SecurityError("value too large")


def _check_power(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _NUMBER_BITS:
            raise SecurityError("number too large")


def _product(factors: Any) -> float:
    product = 1.0
    for factor in factors:
        product *= factor
    return product


def _as_text(value: Any) -> Any:
    return encode(value).decode() if isinstance(value, Mapping | list | tuple) else value
