"""A value against a JSON schema, in the words the OpenAPI document uses; a property that is not told is a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

ANNOTATIONS = {"title", "description", "default"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "enum": lambda value, words: value in words,
    "const": lambda value, word: value == word,
    "type": lambda value, name: isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)),
    # Python's own `$` would let a line break through.
    "pattern": lambda value, pattern: re.search(re.sub(r"\$$", r"\\Z", pattern), value) is not None,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "minProperties": lambda value, limit: len(value) >= limit,
    "required": lambda value, names: set(names) <= set(value),
    "format": lambda value, name: name != "date-time" or datetime.fromisoformat(value).tzinfo is not None,
}


def resolve(document: Any, reference: str) -> Any:
    """What a local reference points at. Raises KeyError."""
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def faults(value: Any, schema: dict[str, Any], document: Any, place: str = "$") -> list[str]:
    """All that is wrong with the value, by its place."""
    if "$ref" in schema:
        return faults(value, resolve(document, schema["$ref"]), document, place)
    if "anyOf" in schema:
        each = [faults(value, choice, document, place) for choice in schema["anyOf"]]
        return [] if [] in each else [fault for found in each for fault in found]
    if "type" in schema and not CHECKS["type"](value, schema["type"]):
        return [f"{place} is no {schema['type']}"]
    nested = {"properties", "additionalProperties", "items", "propertyNames"}
    words = schema.keys() - ANNOTATIONS - nested
    found = [f"{place}: {word}" for word in words if not CHECKS[word](value, schema[word])]
    return found + [
        fault for step in _nested(value, schema) for fault in faults(step[1], step[2], document, f"{place}.{step[0]}")
    ]


def _nested(value: Any, schema: dict[str, Any]) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    if isinstance(value, list) and "items" in schema:
        yield from ((index, item, schema["items"]) for index, item in enumerate(value))
    if not isinstance(value, dict) or not schema.keys() & {"properties", "additionalProperties"}:
        return
    if "propertyNames" in schema:
        yield from ((name, name, schema["propertyNames"]) for name in value)
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        # `{"enum": []}` takes nothing.
        yield name, item, properties.get(name, others or {"enum": []})
