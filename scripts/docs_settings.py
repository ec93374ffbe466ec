#!/usr/bin/env python3
"""Write the tables of docs/configuration.md from the settings' Structs; `--check` only says whether they are stale.

A table stands between `<!-- settings: SECTION -->` and `<!-- end -->`. Types, ranges and defaults come from the Structs, the
meaning from the text below each field.
"""

import argparse
import ast
import inspect
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from omniroute.secret import Secret
from omniroute.settings import Settings, schema
from omniroute.settings.checking import core, is_struct, keys_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
BLOCK = re.compile(r"(?<=<!-- settings: )(?P<section>\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
UNITS = {"s": "seconds", "bytes": "bytes", "usd": "US dollars per million tokens"}
TYPES = {str: "text", Secret: "text, secret", int: "integer", float: "number", bool: "true or false", Any: "any"}


class Setting(NamedTuple):
    key: str
    type: str
    default: str
    unit: str
    meaning: str


def settings() -> Iterator[Setting]:
    """Every setting there is, in the order of the Structs."""
    yield from _of_struct(Settings, "")


def _of_struct(kind: Any, prefix: str) -> Iterator[Setting]:
    texts = meanings()[kind.__name__]
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, of in keys_of(kind).items():
        yield from _of_key(of, f"{prefix}{key}", fields[key], texts.get(key, ""))


def _of_key(kind: Any, key: str, field: msgspec.structs.FieldInfo, meaning: str) -> Iterator[Setting]:
    inner = core(kind)
    if is_struct(inner):
        yield from _of_struct(inner, f"{key}.")
    elif typing.get_origin(inner) is dict:
        yield from _of_key(typing.get_args(inner)[1], f"{key}.NAME", field, meaning)
    elif typing.get_origin(inner) is tuple and is_struct(core(typing.get_args(inner)[0])):
        yield from _of_struct(core(typing.get_args(inner)[0]), f"{key}[].")
    else:
        unit = UNITS.get(key.rpartition("_")[2], "")
        yield Setting(key, _type(kind), "" if key.endswith(".NAME") else _default(field), unit, meaning)


def _type(kind: Any) -> str:
    inner = core(kind)
    if typing.get_origin(inner) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(inner))
    if typing.get_origin(inner) is tuple:
        of = _type(typing.get_args(inner)[0])
        return f"array of {of}"
    return TYPES[inner] + "".join(f", {limit}" for limit in _limits(kind))


def _limits(kind: Any) -> Iterator[str]:
    """Ranges in words, wherever in the type they stand."""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, msgspec.Meta):
            lowest, highest = _number(note.ge), _number(note.le)
            if lowest and highest:
                yield f"{lowest} to {highest}"
            elif lowest:
                yield f"at least {lowest}"
            if note.description:
                yield note.description
    if typing.get_origin(kind) is not typing.Literal:
        for inner in typing.get_args(kind):
            yield from _limits(inner)


def _number(limit: float | None) -> str:
    return "" if limit is None else f"{limit:.15g}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return "" if value is None else f"`{json.dumps(value)}`"


def meanings() -> dict[str, dict[str, str]]:
    """Struct → field → the text below it."""
    tree = ast.parse(inspect.getsource(schema))
    return {node.name: dict(_texts(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts(struct: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(struct.body, struct.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())


def table(section: str) -> str:
    rows = [setting for setting in settings() if re.split(r"[.\[]", setting.key)[0] == section]
    cells = [(f"`{row.key}`", row.type, row.default, row.unit, row.meaning) for row in rows]
    lines = [("Key", "Type", "Default", "Unit", "Meaning"), ("---",) * 5, *cells]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def rendered(page: str) -> str:
    """The page with every table as it should be."""
    return BLOCK.sub(lambda found: f"{found['section']}{found[2]}\n{table(found['section'])}\n", page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table is stale")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    fresh = rendered(page)
    if options.check:
        if fresh != page:
            print(f"{PAGE.name} is stale; run scripts/docs_settings.py")
        return int(fresh != page)
    PAGE.write_text(fresh, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
