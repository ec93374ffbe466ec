"""Combos, aliases and compatible nodes as lines for the settings file, to be read and pasted by a person."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from omniroute.importing.earlier.raw import Object, Raw

__all__ = ["settings_text"]

BARE = re.compile(r"[A-Za-z0-9_-]+")
STRATEGIES = {"priority": "fill-first"}
"""Names that were other ones."""
COMPATIBLE, WEIGHTED = "-compatible", "weighted"
UNFIT_COMBO, UNFIT_PROVIDER = re.compile(r"[^a-zA-Z0-9_/.-]+"), re.compile(r"[^a-zA-Z0-9_.-]+")
LONGEST_NAME = 90


def settings_text(raw: Raw, dialects: Collection[str]) -> str:
    """TOML; empty when there is nothing to say. `dialects` are those that are spoken here."""
    tables = [*_nodes(raw.nodes, dialects), *_aliases(raw.aliases), *_combos(raw.combos)]
    return "\n\n".join(tables) + "\n" if tables else ""


def _nodes(nodes: Iterable[Object], dialects: Collection[str]) -> Iterator[str]:
    seen: set[str] = set()
    for node in nodes:
        name, url = UNFIT_PROVIDER.sub("-", _text(node.get("prefix")))[:LONGEST_NAME], _text(node.get("baseUrl"))
        family, api = _text(node.get("type")).removesuffix(COMPATIBLE), _text(node.get("apiType")) or "chat"
        dialect = next((name for name in (f"{family}-{api}", family) if name in dialects), None)
        if name and url and dialect and name not in seen:
            seen.add(name)
            root = url.rstrip("/").removesuffix("/messages")
            auth = _line("auth", "api-key")
            yield "\n".join([f"[providers.{_key(name)}]", _line("dialect", dialect), _line("base_url", root), auth])


def _aliases(aliases: Mapping[str, Any]) -> Iterator[str]:
    lines = [_line(alias, target) for alias, target in sorted(aliases.items()) if isinstance(target, str) and target]
    if lines:
        yield "\n".join(["[aliases]", *lines])


def _combos(combos: Iterable[Object]) -> Iterator[str]:
    """A name that cannot be one here becomes another, also where other combos refer to it."""
    named = {
        name: combo for combo in combos if (name := _text(combo.get("name"))) and combo.get("isActive") is not False
    }
    names: dict[str, str] = {}
    for name in named:
        fit = UNFIT_COMBO.sub("-", name)[:LONGEST_NAME]
        names[name] = next(
            each for each in (fit, *(f"{fit}-{n}" for n in range(2, len(named) + 2))) if each not in names.values()
        )
    for name, combo in named.items():
        entries = combo.get("models")
        pairs = [_entry(entry) for entry in entries] if isinstance(entries, list) else []
        weights = {names.get(model, model): weight for model, weight in pairs if model}
        if weights:
            yield "\n".join(_combo(name, names[name], _text(combo.get("strategy")) or "priority", weights))


def _combo(was: str, name: str, strategy: str, weights: Mapping[str, int | None]) -> Iterator[str]:
    if was != name:
        yield f"# it was called {_quoted(was)}"
    yield f"[combos.{_key(name)}]"
    yield _line("strategy", STRATEGIES.get(strategy, strategy))
    yield _line("models", list(weights))
    inner = ", ".join(f"{_key(model)} = {weight}" for model, weight in weights.items() if weight is not None)
    if strategy == WEIGHTED and inner:
        yield f"weights = {{ {inner} }}"


def _entry(entry: object) -> tuple[str, int | None]:
    if not isinstance(entry, dict):
        return _text(entry), None
    weight = entry.get("weight")
    return _text(entry.get("model")), weight if isinstance(weight, int) and not isinstance(weight, bool) else None


def _line(key: str, value: str | list[str]) -> str:
    text = "[" + ", ".join(map(_value, value)) + "]" if isinstance(value, list) else _value(value)
    return f"{_key(key)} = {text}"


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _quoted(name)


def _value(text: str) -> str:
    """`${` would be read as a reference."""
    return _quoted(text.replace("${", "$${"))


def _quoted(text: str) -> str:
    """A JSON string is a TOML string, but for DEL, which TOML wants escaped."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
