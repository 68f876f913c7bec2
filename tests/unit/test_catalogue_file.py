"""The catalogue file: what is read, and how its faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from app.domain.catalogue_file import MAX_TTL_S, load_catalogue
from app.domain.errors import ConfigError
from app.domain.lane import Priority

ANY = """
[event."*"]
category = "general"
priority = "medium"
channels = ["in_app"]
ttl_s = 60
subject = "s"
text = "t"
"""
SHIPPED = """\
[event.order_shipped]
category = "orders"
priority = "low"
channels = ["email", "in_app"]
ttl_s = 60
subject = "s"
text = "t"
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_catalogue(text, "c.toml")
    return str(caught.value).splitlines()


def test_a_type_is_read_with_its_defaults() -> None:
    catalogue = load_catalogue(SHIPPED + ANY, "c.toml")
    rule = catalogue.rule("order_shipped")
    assert (rule.event_type, rule.category, rule.priority) == ("order_shipped", "orders", Priority.LOW)
    assert (rule.channels, rule.ttl_s, rule.critical, rule.html) == (("email", "in_app"), 60, False, "")
    assert (rule.over_user_limit, rule.in_doubt) == ("park", "unknown")
    assert catalogue.max_ttl_s == MAX_TTL_S == 604_800
    assert catalogue.rule("never_heard_of") is catalogue.default
    assert "*" not in catalogue.rules


@pytest.mark.parametrize(
    ("priority", "given", "expected"),
    [
        ("high", "", "resend"),
        ("medium", "", "unknown"),
        ("low", "", "unknown"),
        ("high", 'in_doubt = "unknown"', "unknown"),
        ("low", 'in_doubt = "resend"', "resend"),
    ],
)
def test_high_is_sent_again_when_in_doubt_unless_the_type_says_otherwise(
    priority: str, given: str, expected: str
) -> None:
    text = SHIPPED.replace('"low"', f'"{priority}"') + given + ANY
    assert load_catalogue(text, "c.toml").rule("order_shipped").in_doubt == expected


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"low"', '"urgent"', 3, "priority: expected high, medium or low"),
        ('"low"', "1", 3, "priority: expected high, medium or low"),
        ('["email", "in_app"]', '[\n"email",\n"emial"]', 4, "channels: expected channels out of"),
        ('["email", "in_app"]', "[]", 4, "channels: expected a list of channels, at least one"),
        ('["email", "in_app"]', '"email"', 4, "channels: expected a list of channels, at least one"),
        ("ttl_s = 60", "ttl_s = 0", 5, "ttl_s: expected a whole number of seconds above 0"),
        ("ttl_s = 60", "ttl_s = true", 5, "ttl_s: expected a whole number of seconds above 0"),
        ("ttl_s = 60", "ttl_s = 604801", 5, "ttl_s: expected at most 604800 (max_ttl_s)"),
        ("ttl_s = 60", "ttl = 60", 5, "ttl: unknown key; did you mean ttl_s?"),
        ('subject = "s"', 'subject = " "', 6, "subject: expected a text that is not empty"),
        ('text = "t"', 'text = """\n\n"""', 7, "text: expected a text that is not empty"),
        ('text = "t"', "", 1, "order_shipped: text is missing"),
        ('text = "t"', 'text = "t"\ncritical = "yes"', 8, "critical: expected true or false"),
        ('text = "t"', 'text = "t"\nover_user_limit = "wait"', 8, "over_user_limit: expected park or drop"),
        ('text = "t"', 'text = "t"\nin_doubt = []', 8, "in_doubt: expected resend or unknown"),
        ('text = "t"', 'text = "t"\nshipped.late = 1', 8, 'write [event."order_shipped.shipped"]'),
        ("order_shipped", "OrderShipped", 1, "OrderShipped: expected up to 64 of a-z 0-9"),
    ],
)
def test_a_fault_is_told_with_file_line_and_key(old: str, new: str, line: int, message: str) -> None:
    assert old in SHIPPED
    found = faults(SHIPPED.replace(old, new) + ANY)
    assert any(fault.startswith(f"c.toml:{line}: event.") and message in fault for fault in found), found


def test_dotted_keys_and_inline_tables_have_lines_too() -> None:
    text = "event.a.priority = 1\nevent.b = { priority = 'low', ttl_s = 1, oops = 2 }\n" + ANY
    found = faults(text)
    assert "c.toml:1: event.a.priority: expected high, medium or low" in found
    assert any(fault.startswith("c.toml:2: event.b.oops: unknown key") for fault in found)


def test_all_faults_are_told_at_once_in_order_of_lines() -> None:
    found = faults("[defaults]\nmax_ttl_s = 'week'\n[events]\n[event.a]\npriority = 1\nttl_s = 0\n")
    lines = [int(fault.split(":")[1]) for fault in found]
    assert lines == sorted(lines)
    assert {2, 3, 5, 6} <= set(lines)
    told = "\n".join(found)
    assert "events: unknown key; did you mean event?" in told
    assert 'event: [event."*"], the rule for types not named, is missing' in told


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a = 1\nb = \n", "c.toml:2: "),
        ("a = 1\na = 2\n", "c.toml:2: "),
        ("a = '''\n\n", "c.toml:3: "),
        ("event = 1\n", "c.toml:1: event: expected a table"),
        ("", 'c.toml:1: event: [event."*"]'),
        ("\n[defaults]\nttl = 1\n" + ANY, "c.toml:3: defaults.ttl: unknown key"),
        ("event.x = 1\n" + ANY, "c.toml:1: event.x: expected a table"),
    ],
)
def test_what_is_no_catalogue_at_all_is_told_by_line(text: str, start: str) -> None:
    assert faults(text)[0].startswith(start), faults(text)


def test_the_longest_ttl_can_be_set() -> None:
    text = "[defaults]\nmax_ttl_s = 50\n" + ANY
    assert faults(text) == ["c.toml:8: event.*.ttl_s: expected at most 50 (max_ttl_s)"]
    assert load_catalogue(text.replace("50", "70"), "c.toml").max_ttl_s == 70


def test_the_catalogue_that_comes_with_the_code_is_good() -> None:
    file = Path(app.__file__).with_name("default_catalogue.toml")
    catalogue = load_catalogue(file.read_text(encoding="utf-8"), file.name)
    alert = catalogue.rule("security_alert")
    assert (alert.priority, alert.critical, alert.in_doubt) == (Priority.HIGH, True, "resend")
    assert alert.channels == ("email", "push", "in_app")
    assert len(catalogue.rules) >= 8
    assert {rule.priority for rule in catalogue.rules.values()} == set(Priority)
