"""JSON schemas in and out of this dialect, which has fields of two kinds for them.

One kind takes JSON Schema as it is and heeds a part of it (`parametersJsonSchema`, `responseJsonSchema`): it gets every schema that
says nothing beyond that part, to the byte. The other (`parameters`, `responseSchema`) takes a subset of OpenAPI: it gets all others,
reduced to what it can say.
"""

import msgspec
from msgspec import Raw

from omniroute_translator_gemini.schema.gathering import Note
from omniroute_translator_gemini.schema.heeded import VERSION, is_heeded
from omniroute_translator_gemini.schema.openapi import json_schema
from omniroute_translator_gemini.schema.subset import DEFAULT_WORK, reduced
from omniroute_translator_gemini.wire import Malformed, Wire, dump, read, read_object

__all__ = ["FREE_TEXT_SCHEMA", "Fitted", "Note", "fit", "json_schema", "reduced"]

FREE_TEXT_SCHEMA: Wire = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Of a tool that takes text in no JSON."""

MAX_BYTES = 512 * 1024
"""A longer schema is refused: the service would not take it, and looking through it would hold up everybody else."""
BYTES_PER_STEP = 8
"""A schema without references is looked through in no more steps than one for so many bytes."""

_ANY = msgspec.json.Decoder()


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    schema: Raw | Wire
    is_json_schema: bool
    """Which of the two kinds of field it is for."""
    notes: tuple[Note, ...] = ()
    """What it no longer says."""


def fit(schema: Raw, pointer: str, *, is_object_schema: bool) -> Fitted:
    """`is_object_schema`: it is one of arguments, which are an object. Raises `Malformed` when it is too large."""
    size_bytes = len(memoryview(schema))
    if size_bytes > MAX_BYTES:
        raise Malformed(pointer, f"a schema of more than {MAX_BYTES // 1024} kB is not taken")
    tree = read(_ANY, schema, pointer)
    if isinstance(tree, dict) and (tree.get("type") == "object" or not is_object_schema) and is_heeded(tree):
        return _as_it_is(schema, tree)
    max_work = DEFAULT_WORK + size_bytes // BYTES_PER_STEP
    subset, notes = reduced(tree, is_object_schema=is_object_schema, max_work=max_work)
    return Fitted(schema=subset, is_json_schema=False, notes=notes)


def _as_it_is(schema: Raw, tree: Wire) -> Fitted:
    if VERSION not in tree:
        return Fitted(schema=schema, is_json_schema=True)
    fields = read_object(schema)
    del fields[VERSION]
    note = Note(pointer=f"/{VERSION}", kind="dropped", reason="the dialect has no such keyword")
    return Fitted(schema=Raw(dump(fields)), is_json_schema=True, notes=(note,))
