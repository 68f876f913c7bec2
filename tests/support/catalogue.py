"""The catalogue of end-to-end tests: the one that comes with the code, and types of their own."""

from __future__ import annotations

from pathlib import Path

_DEFAULT = Path(__file__).parents[2] / "app" / "default_catalogue.toml"
_MORE = """
[event.load_high]
category = "load"
priority = "high"
channels = ["log"]
ttl_s = 3600
subject = "{{ event_type }}"
text = "{{ content }}"

[event.load_medium]
category = "load"
priority = "medium"
channels = ["log"]
ttl_s = 3600
subject = "{{ event_type }}"
text = "{{ content }}"

[event.load_low]
category = "load"
priority = "low"
channels = ["log"]
ttl_s = 3600
subject = "{{ event_type }}"
text = "{{ content }}"

[event.looping]
category = "load"
priority = "high"
channels = ["in_app"]
ttl_s = 3600
subject = "{{ event_type }}"
text = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"

[event.subject_from_client]
category = "load"
priority = "high"
channels = ["email"]
ttl_s = 3600
subject = "{{ metadata.title }}"
text = "{{ content }}"
"""


def write_catalogue(folder: Path) -> Path:
    """The file, for NOTIFY_CATALOGUE."""
    path = folder / "catalogue.toml"
    path.write_text(_DEFAULT.read_text() + _MORE)
    return path
