"""JSON Schema 2020-12 of the types that bodies, parameters and headers are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

REF_TEMPLATE = "#/components/schemas/{name}"


class Schemas:
    """The schemas of some types: each Struct's among the components, the others in place."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        distinct = list(dict.fromkeys(kinds))
        schemas, components = msgspec.json.schema_components(distinct, ref_template=REF_TEMPLATE)
        self._by_kind = dict(zip(distinct, map(_portable, schemas), strict=True))
        self.components: dict[str, Any] = _portable(components)

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of one of the types."""
        return dict(self._by_kind[kind])


def _portable(schema: Any) -> Any:
    r"""The schema with patterns as ECMA-262 writes them: `$` is its `\Z`, the end of the string and nothing else."""
    if isinstance(schema, list):
        return [_portable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace(r"\Z", "$") if key == "pattern" and isinstance(value, str) else _portable(value)
        for key, value in schema.items()
    }
