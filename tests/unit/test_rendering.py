"""Rendering: whatever a template or its input does, it ends soon, and as PermanentError."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from app.domain.catalogue import Catalogue, EventRule
from app.domain.delivery import Delivery
from app.domain.errors import ConfigError, PermanentError
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.users import Recipient
from app.settings import Settings
from infrastructure.channels.rendering import Rendered, Renderer
from infrastructure.channels.time_limit import OutOfTimeError, limited

T = TypeVar("T")
SETTINGS = dataclasses.replace(Settings(), template_ms=200, rendered_bytes=20_000)
SECRET = "s3cret-content"


def rule(subject: str = "S", text: str = "T", html: str = "") -> EventRule:
    return EventRule(
        event_type="kind",
        category="c",
        priority=Priority.HIGH,
        channels=("email",),
        ttl_s=60,
        subject=subject,
        text=text,
        html=html,
    )


def delivery(channel: str = "email", **event: Any) -> Delivery:
    given: dict[str, Any] = {"user_id": "u1", "event_type": "kind", "content": SECRET} | event
    return Delivery(
        id="d1",
        notification_id="n1",
        channel=channel,
        priority=Priority.HIGH,
        event=Event(**given),
        accepted_at_ms=0,
        routed_at_ms=0,
        expires_at_ms=1,
    )


def render(
    subject: str = "S",
    text: str = "T",
    html: str = "",
    *,
    recipient: Recipient | None = None,
    channel: str = "email",
    **event: Any,
) -> Rendered:
    return Renderer(SETTINGS).render(rule(subject, text, html), delivery(channel, **event), recipient)


def test_templates_see_the_event_the_user_and_the_notification() -> None:
    recipient = Recipient(user_id="u1", locale="de", timezone="Europe/Berlin")
    got = render(
        "{{ event_type }} {{ notification_id }}",
        "{{ content }} {{ metadata.device }} {{ user.id }} {{ user.locale }} {{ user.timezone }}",
        recipient=recipient,
        metadata={"device": "phone"},
    )
    assert got[:2] == ("kind n1", f"{SECRET} phone u1 de Europe/Berlin")


def test_a_user_who_is_not_known_has_the_defaults() -> None:
    assert render(text="{{ user.id }} {{ user.locale }} {{ user.timezone }}").text == "u1 en UTC"


def test_content_that_is_an_object_can_be_taken_apart_and_prints_as_json() -> None:
    got = render(text="{{ content.a }} {{ content }}", content={"a": 1, "b": [True]})
    assert got.text == '1 {"a":1,"b":[true]}'


def test_html_is_escaped_and_text_is_not() -> None:
    got = render("{{ content }}", "{{ content }}", "<b>{{ content }}</b>", content="<script>&")
    assert got[:2] == ("<script>&", "<script>&")
    assert "<b>&lt;script&gt;&amp;</b>" in got.html
    assert "<script>" not in got.html


def test_html_that_is_a_whole_document_is_not_laid_out() -> None:
    document = "<!doctype html><html><body>{{ content }}</body></html>"
    assert render(html=document, content="hello").html == document.replace("{{ content }}", "hello")


def test_the_default_layout_escapes_the_text_and_keeps_its_lines() -> None:
    got = render("<i>", "{{ content }}", content="one <img src=x onerror=alert(1)>\ntwo\n\nthree")
    assert "<img" not in got.html
    assert "<i>" not in got.html
    assert "one &lt;img src=x onerror=alert(1)&gt;<br>two</p>" in got.html
    assert got.html.count("<p ") == 2


def test_html_is_made_only_for_channels_that_show_it() -> None:
    assert render(html="<b>{{ nonsense }}</b>", channel="log").html == ""


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\u2028", "\0", "\x85"])
def test_a_subject_of_several_lines_is_refused(separator: str) -> None:
    with pytest.raises(PermanentError, match="invalid_content") as caught:
        render("Hello {{ content }}", content=f"x{separator}Bcc: everybody@example.com")
    assert "everybody" not in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing }}",
        "{{ metadata.missing }}",
        "{{ content.missing }}",
        "{{ 1 / 0 }}",
        "{{ content() }}",
        "{% include 'x' %}",
        "{{ content | nofilter }}",
        "{% if %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ metadata.update({'a': 1}) }}",
        "{{ self.__init__.__globals__ }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}xxxxxxxxxxxxxxxxxxxx{% endfor %}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * 'a' }}",
        "{{ [content] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w='1000000000') }}",
        "{{ '{0:1000000000}'.format_map({'0': 1}) }}",
        "{{ content.ljust(1000000000) }}",
        "{{ content | center(1000000000) }}",
        "{{ content | indent(1000000000, true) }}",
        "{{ [1] | batch(1000000000, 0) | list }}",
        "{{ lipsum(100000) }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x.join(ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=3) %}{% for i in range(40) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
    ],
)
def test_a_template_that_fails_or_blows_up_is_a_template_error_soon(template: str) -> None:
    started_s = time.process_time()
    with pytest.raises(PermanentError, match="template_error") as caught:
        render(text=template, metadata={"key": SECRET})
    assert time.process_time() - started_s < 2
    assert caught.value.detail.startswith("text: ")
    assert SECRET not in str(caught.value)


def test_the_detail_names_template_error_and_line() -> None:
    with pytest.raises(PermanentError) as caught:
        render(html="<p>\n{{ metadata.missing }}</p>")
    assert caught.value.detail == "html: UndefinedError in line 2"


def test_the_size_is_counted_in_bytes() -> None:
    with pytest.raises(PermanentError, match="OverflowError"):
        render(text="{{ content }}", content="ü" * 10_001)
    assert len(render(text="{{ content }}", content="ü" * 5_000, channel="log").text) == 5_000


def test_ordinary_arithmetic_and_formats_work() -> None:
    text = "{{ 2 ** 10 }} {{ 7 % 4 }} {{ 3 * 4 }} {{ 'ab' * 2 }} {{ '%05.2f' % 3.14159 }} {{ '{:>4}'.format(7) }}"
    text += " {{ 'a' + 'b' }}"
    assert render(text=text).text == "1024 3 12 abab 03.14    7 ab"


def in_thread(call: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_a_thread_renders_alike() -> None:
    assert in_thread(lambda: render(text="{{ content }}")) == render(text="{{ content }}")


def test_a_thread_has_the_time_limit_too() -> None:
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    started_at_s = time.process_time()
    with pytest.raises(PermanentError, match="text: out of time"):
        in_thread(lambda: render(text=endless))
    assert time.process_time() - started_at_s < 2.0


def test_a_thread_is_traced_as_before_afterwards() -> None:
    def traces() -> tuple[object, object]:
        before = sys.gettrace()
        with pytest.raises(OutOfTimeError):
            limited(0.01, lambda: spin(2.0))
        return before, sys.gettrace()

    before, after = in_thread(traces)
    assert before is after


def catalogue(default: EventRule) -> Catalogue:
    return Catalogue(rules={}, default=default, max_ttl_s=60)


def test_compile_all_accepts_good_templates() -> None:
    Renderer(SETTINGS).compile_all(
        catalogue(rule("{{ content }}", "{% for key in metadata %}{{ loop.index }}{% endfor %}"))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rule(text="a\n{% if %}"), "kind: text, line 2"),
        (rule(html="{{ content | nofilter }}"), "kind: html, line 1"),
        (rule(subject="{{ contents }}"), "kind: subject: unknown variable contents"),
    ],
)
def test_compile_all_names_event_type_field_and_line(given: EventRule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Renderer(SETTINGS).compile_all(catalogue(given))


# the time limit


def spin(seconds: float) -> str:
    """Use up so much processor time."""
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass
    return "done"


@pytest.fixture
def no_timer() -> Any:
    """A test's handler and timer go with it."""
    handler = signal.getsignal(signal.SIGPROF)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, handler)


def test_time_that_others_take_does_not_count() -> None:
    def wait() -> str:
        time.sleep(0.1)
        return "done"

    assert limited(0.03, wait) == "done"
    assert in_thread(lambda: limited(0.03, wait)) == "done"


@pytest.mark.usefixtures("no_timer")
def test_the_limit_ends_what_runs_too_long_and_leaves_handler_and_timer_as_before() -> None:
    rung: list[int] = []
    signal.signal(signal.SIGPROF, lambda number, _frame: rung.append(number))
    handler = signal.getsignal(signal.SIGPROF)
    signal.setitimer(signal.ITIMER_PROF, 5.0)
    with pytest.raises(OutOfTimeError):
        limited(0.02, lambda: spin(2.0))
    assert signal.getsignal(signal.SIGPROF) is handler
    assert 4.0 < signal.getitimer(signal.ITIMER_PROF)[0] < 5.0
    assert rung == []


class LongGone:
    """Takes its time to be destroyed, as what is found by chance while something else runs may."""

    def __del__(self) -> None:
        spin(0.05)


@pytest.mark.parametrize("run", [lambda call: call(), in_thread], ids=["main thread", "other thread"])
def test_time_that_is_up_while_an_object_is_destroyed_is_up_afterwards(run: Callable[[Callable[[], str]], str]) -> None:
    def call() -> str:
        LongGone()
        return spin(2.0)

    with pytest.raises(OutOfTimeError):
        run(lambda: limited(0.02, call))


@pytest.mark.usefixtures("no_timer")
def test_a_timer_that_was_due_meanwhile_rings_afterwards() -> None:
    rung = threading.Event()
    signal.signal(signal.SIGPROF, lambda _number, _frame: rung.set())
    signal.setitimer(signal.ITIMER_PROF, 0.01)
    assert limited(1.0, lambda: spin(0.03)) == "done"
    spin(0.02)
    assert rung.is_set()


@pytest.mark.usefixtures("no_timer")
def test_nested_limits_each_hold() -> None:
    def outer() -> str:
        with pytest.raises(OutOfTimeError):
            limited(0.01, lambda: spin(2.0))
        return spin(2.0)

    with pytest.raises(OutOfTimeError):
        limited(0.05, outer)


@pytest.mark.usefixtures("no_timer")
def test_the_limit_cannot_be_swallowed() -> None:
    def stubborn() -> None:
        try:
            spin(2.0)
        except Exception:  # noqa: BLE001 - what a template might do
            spin(2.0)

    started_s = time.process_time()
    with pytest.raises(OutOfTimeError):
        limited(0.02, stubborn)
    assert time.process_time() - started_s < 1.0
