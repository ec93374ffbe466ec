#!/usr/bin/env python3
"""Write the tables of docs/translation.md from a run of the translators; `--check` only says whether they are stale.

A table stands between `<!-- translation: NAME -->` and `<!-- end -->`. Requests: each field of tests/recordings/fields is put
into a request and taken out again; what that changes of the body that goes upstream, and of the losses that are reported, is
the table's word for it. Answers: a scripted answer of each dialect goes to clients of each dialect. A field that changes
neither body nor losses would be lost in silence, and is an error.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from omniroute.api import GatewayError, Usage
from omniroute.testing import Reply
from omniroute.testing.dialects import VOICES, Answered, Asked, Block, Call, Pair, installed_translators, written
from omniroute.testing.dialects.neutral import Finish

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "translation.md"
FIELDS = ROOT / "tests" / "recordings" / "fields"
BLOCK = re.compile(r"(?<=<!-- translation: )(?P<name>[\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
TITLES = {
    "openai-chat": "Chat Completions",
    "openai-responses": "Responses",
    "anthropic": "Messages",
    "gemini": "Gemini",
}


class Field(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    add: Any
    """A JSON merge patch of the least request."""
    over: Any = {}
    """A merge patch of what this one needs: only what comes on top of it is looked at."""


class Fields(msgspec.Struct, forbid_unknown_fields=True):
    dialect: str
    base: Any
    fields: list[Field]


class Sent(msgspec.Struct, frozen=True):
    body: bytes
    losses: frozenset[tuple[str, str]]
    """(pointer, kind)"""


# --- requests ---------------------------------------------------------------------------------------------------------


def pairs() -> dict[tuple[str, str], Pair]:
    """(client, upstream) → both."""
    found = installed_translators()
    return {(client, upstream): Pair(found[client], found[upstream]) for client in VOICES for upstream in VOICES}


def patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    before = value if isinstance(value, dict) else {}
    return {**before, **{name: patched(before.get(name), inner) for name, inner in patch.items()}}


def sent(pair: Pair, body: Any) -> Sent:
    target = VOICES[pair.client.dialect].path("m", stream=False)
    outgoing = pair.encode(pair.decode(msgspec.json.encode(body), target))
    return Sent(outgoing.body, frozenset((loss.pointer, loss.kind) for loss in outgoing.losses))


def word(pair: Pair, fields: Fields, field: Field) -> str:
    """What becomes of a field. Raises `RuntimeError` when it would be lost in silence."""
    client, upstream = pair.client.dialect, pair.upstream.dialect
    if client == upstream:
        return "as it is"  # relayed
    before = sent(pair, patched(fields.base, field.over))
    try:
        after = sent(pair, patched(fields.base, field.add))
    except GatewayError:
        return "refused"
    kinds = {kind for _, kind in after.losses - before.losses}
    if after.body == before.body:
        if not kinds:
            raise RuntimeError(f"{field.name} of {client} is lost in silence on its way to {upstream}")
        return "**no**"
    if not kinds:
        return "yes"
    return "in part" if "dropped" in kinds else "nearly"


def request_table(client: str, found: Mapping[tuple[str, str], Pair]) -> list[tuple[str, ...]]:
    fields = msgspec.json.decode((FIELDS / f"{client}.json").read_bytes(), type=Fields)
    upstreams = [upstream for upstream in VOICES if upstream != client]
    rows = [
        (field.name, *(word(found[client, upstream], fields, field) for upstream in upstreams))
        for field in fields.fields
    ]
    return [(f"{TITLES[client]} asks", *(f"to {TITLES[upstream]}" for upstream in upstreams)), *rows]


# --- answers ----------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
ASKED = Asked(
    blocks=[Block(role="user", kind="text", text="hi")], tools={"look": SCHEMA}, descriptions={"look": "Looks."}
)
USAGE = Usage(input_tokens=100, output_tokens=40, cached_tokens=50, cache_write_tokens=20, reasoning_tokens=10)
CALLS = tuple(Call(id=f"call_{number}", name="look", arguments=f'{{"a":  {number}}}') for number in (1, 2))
SIGNATURE = "c2lnbmF0dXJl"
ANSWER = Answered(
    reasoning="hm", signature=SIGNATURE, text="Here it is.", calls=CALLS, finish="tool_calls", usage=USAGE
)


class Shown:
    """What a client of one dialect makes of an answer of another."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.client = VOICES[pair.client.dialect]
        self.asked = written(pair.client.dialect, ASKED, "m")
        self.request = pair.decode(msgspec.json.encode(self.asked), self.client.path("m", stream=False))
        self.outgoing = pair.encode(self.request)

    def body(self, answer: Answered) -> bytes:
        received = self.pair.received(self.request, self.outgoing)
        reply = VOICES[self.pair.upstream.dialect].reply(answer, received)
        assert isinstance(reply, Reply)
        return self.pair.whole(reply.body, self.request, self.outgoing)

    def read(self, answer: Answered) -> Answered:
        return self.client.read(self.body(answer), stream=False)

    def share(self, name: str) -> bool:
        usage = self.read(ANSWER).usage
        return usage is not None and getattr(usage, name) == getattr(USAGE, name)

    def finishes(self, finish: Finish) -> bool:
        return self.read(Answered(text="x", finish=finish, usage=USAGE)).finish == finish

    def brings_back(self) -> bool:
        """Whether the client's next request holds the signature, to the byte, for the upstream that made it."""
        after = self.client.continued(self.asked, self.body(ANSWER), ["ok", "ok"])
        request = self.pair.decode(msgspec.json.encode(after), self.client.path("m", stream=False))
        again = VOICES[self.pair.upstream.dialect].asked(self.pair.encode(request).body)
        return SIGNATURE in [block.signature for block in again.blocks]


ASPECTS: Mapping[str, Callable[[Shown], bool]] = {
    "text": lambda shown: shown.read(ANSWER).text == ANSWER.text,
    "reasoning, shown": lambda shown: shown.read(ANSWER).reasoning == ANSWER.reasoning,
    "reasoning's signature, brought back": Shown.brings_back,
    "parallel calls, arguments to the letter": lambda shown: shown.read(ANSWER).calls == CALLS,
    "cut off by the limit": lambda shown: shown.finishes("length"),
    "stopped by a filter": lambda shown: shown.finishes("content_filter"),
    "tokens in and out": lambda shown: shown.share("input_tokens") and shown.share("output_tokens"),
    "tokens read from a cache": lambda shown: shown.share("cached_tokens"),
    "tokens written to a cache": lambda shown: shown.share("cache_write_tokens"),
    "tokens of reasoning": lambda shown: shown.share("reasoning_tokens"),
}


def answer_table(found: Mapping[tuple[str, str], Pair]) -> list[tuple[str, ...]]:
    shown = {names: Shown(pair) for names, pair in found.items()}
    rows: list[tuple[str, ...]] = [("An answer's …", *(f"to {TITLES[client]}" for client in VOICES))]
    for name, holds in ASPECTS.items():
        cells = []
        for client in VOICES:
            able = [TITLES[upstream] for upstream in VOICES if holds(shown[client, upstream])]
            cells.append("yes" if len(able) == len(VOICES) else f"from {', '.join(able)}" if able else "**no**")
        rows.append((name, *cells))
    return rows


# --- the page ---------------------------------------------------------------------------------------------------------


def rendered(page: str) -> str:
    """The page with every table as it should be."""
    found = pairs()
    tables = {"answers": answer_table(found), **{client: request_table(client, found) for client in VOICES}}

    def block(match: re.Match[str]) -> str:
        [head, *rows] = tables[match["name"]]
        lines = [head, ("---",) * len(head), *rows]
        text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
        return f"{match['name']}{match[2]}\n{text}\n"

    return BLOCK.sub(block, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table is stale")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    fresh = rendered(page)
    if options.check:
        if fresh != page:
            print(f"{PAGE.name} is stale; run scripts/docs_translation.py")
        return int(fresh != page)
    PAGE.write_text(fresh, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
