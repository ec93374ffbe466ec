"""A client's `input` to canonical messages: items in, normal form out.

Items have no turns. Reasoning, words and calls of the assistant that follow one another are one turn; so are the results
after it. Reasoning that another dialect's upstream made comes back as what that dialect had attached to it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from omniroute.api import (
    FilePart,
    ImagePart,
    InvalidRequest,
    Loss,
    Message,
    Part,
    ReasoningPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    carried,
    carried_places,
    carry,
)
from omniroute_translator_openai_responses.invalid import decode, refusal
from omniroute_translator_openai_responses.parts_in import first_of, is_set, parts_of
from omniroute_translator_openai_responses.tools_in import Tools
from omniroute_translator_openai_responses.wire import (
    DIALECT,
    AdditionalToolsWire,
    CallOutputWire,
    CustomCallWire,
    FunctionCallWire,
    MessageWire,
    Place,
    ReasoningItemWire,
)

TEXT = msgspec.json.Decoder(str)
ITEMS = msgspec.json.Decoder(list[Raw])
FIELDS = msgspec.json.Decoder(dict[str, Raw])
MESSAGE = msgspec.json.Decoder(MessageWire)
FUNCTION_CALL = msgspec.json.Decoder(FunctionCallWire)
CUSTOM_CALL = msgspec.json.Decoder(CustomCallWire)
CALL_OUTPUT = msgspec.json.Decoder(CallOutputWire)
REASONING = msgspec.json.Decoder(ReasoningItemWire)
ADDITIONAL_TOOLS = msgspec.json.Decoder(AdditionalToolsWire)

CARRIER = carry({}).partition(".")[0] + "."
"""How an `encrypted_content` begins that is ours."""
ASSISTANTS = frozenset(
    {
        "apply_patch_call",
        "code_interpreter_call",
        "compaction",
        "compaction_summary",
        "computer_call",
        "context_compaction",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "mcp_approval_request",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "shell_call",
        "tool_search_call",
        "web_search_call",
    }
)
"""Items only this dialect knows, of what the assistant did or was told to remember."""
USERS = frozenset(
    {
        "apply_patch_call_output",
        "compaction_trigger",
        "computer_call_output",
        "configuration_update",
        "local_shell_call_output",
        "mcp_approval_response",
        "program_output",
        "shell_call_output",
        "tool_search_output",
    }
)
"""The same, of what the client answers."""
CUSTOM_FIELDS = {"arguments": "/input"}
OPAQUE_FIELDS = {"item": "", "sealed_item": ""}
"""Canonical fields and kept ones → where they stand in an item."""
W = TypeVar("W", MessageWire, FunctionCallWire, CustomCallWire, CallOutputWire, ReasoningItemWire, AdditionalToolsWire)


class SealedWire(msgspec.Struct):
    encrypted_content: str | None = None


SEALED = msgspec.json.Decoder(SealedWire)


class Item(NamedTuple):
    kind: str
    raw: Raw
    fields: dict[str, Raw]
    at: str
    """Pointer."""


def decode_input(
    raw: Raw, instructions: str | None, tools: Tools, losses: list[Loss], *, is_continued: bool
) -> tuple[Message, ...]:
    """`tools` learns those that come as items, and then knows what the calls here are called elsewhere. `is_continued`: the input
    goes on from an answer that the upstream has stored, where its calls may stand."""
    history = History(tools, losses, is_continued=is_continued)
    if instructions:
        source = Source("/instructions")
        history.say("system", [TextPart(text=instructions, source=source)], source)
    if not is_set(raw):
        return history.close()
    if first_of(raw) == '"':
        history.say("user", parts_of(decode(TEXT, raw, "/input"), "/input", losses), Source("/input"))
        return history.close()
    items = [item_of(item, f"/input/{position}") for position, item in enumerate(decode(ITEMS, raw, "/input"))]
    for item in items:
        if item.kind == "additional_tools":
            wire = read(ADDITIONAL_TOOLS, item, losses)
            tools.declare(wire.tools, f"{item.at}/tools", additional=True)
            if item.at != "/input/0":
                reason = "tools added in mid-conversation are there from its start"
                losses.append(Loss(pointer=item.at, kind="approximated", reason=reason))
    for item in items:
        history.add(item)
    return history.close()


def item_of(raw: Raw, at: str) -> Item:
    fields = decode(FIELDS, raw, at)
    named = fields.get("type", Raw(b""))
    kind = decode(TEXT, named, f"{at}/type") if is_set(named) else "message" if "role" in fields else "item_reference"
    if kind == "item_reference":
        raise InvalidRequest(
            f"{at} refers to an item by its id, which only the upstream that stored it can look up",
            fix="send the item itself",
            param=at,
        )
    return Item(kind, raw, fields, at)


def read(decoder: "msgspec.json.Decoder[W]", item: Item, losses: list[Loss]) -> W:
    """The item's fields; those nobody knows are losses."""
    wire = decode(decoder, item.raw, item.at)
    known = wire.__struct_fields__
    losses += (
        Loss(pointer=f"{item.at}/{name}", kind="dropped", reason="items have no such field elsewhere")
        for name, value in item.fields.items()
        if name not in known and is_set(value)
    )
    return wire


class History:
    """Collects messages; knows which calls there have been."""

    def __init__(self, tools: Tools, losses: list[Loss], *, is_continued: bool) -> None:
        self._tools = tools
        self._losses = losses
        self._is_continued = is_continued
        self._called: set[str] = set()
        self._turns: list[tuple[Role, list[Part], Source]] = []
        self._of_calls: dict[str, dict[str, dict[str, Any]]] = {}
        """call id → what another dialect had attached to the call."""

    def add(self, item: Item) -> None:
        match item.kind:
            case "message":
                self._message(read(MESSAGE, item, self._losses), item.at)
            case "function_call":
                call = read(FUNCTION_CALL, item, self._losses)
                self._call(call, call.arguments or "{}", Source(item.at))
            case "custom_tool_call":
                custom = read(CUSTOM_CALL, item, self._losses)
                self._call(custom, wrapped(custom.input), Source(item.at, CUSTOM_FIELDS))
            case "function_call_output" | "custom_tool_call_output":
                self._result(read(CALL_OUTPUT, item, self._losses), item.at)
            case "reasoning":
                self._reasoning(read(REASONING, item, self._losses), item.at)
            case "additional_tools":
                pass  # declared before
            case kind if kind in ASSISTANTS:
                self._called |= names_of(item)
                self._join("assistant", [opaque(item.raw, Source(item.at, OPAQUE_FIELDS))], item.at)
            case kind if kind in USERS:
                self.say("user", [opaque(item.raw, Source(item.at, OPAQUE_FIELDS))], Source(item.at))
            case _:
                raise refusal(f"{item.at}/type", f"{item.kind[:80]!r} is no input item that is known here")

    def say(self, role: Role, parts: Sequence[Part], source: Source) -> None:
        self._turns.append((role, [*parts], source))

    def _join(self, role: Role, parts: Sequence[Part], at: str) -> None:
        """Add to the turn that is going on, or begin one."""
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(parts)
        elif parts:
            self.say(role, parts, Source(at))

    def _message(self, wire: MessageWire, at: str) -> None:
        parts = parts_of(wire.content, f"{at}/content", self._losses)
        if wire.role != "assistant":
            self.say(wire.role, parts, Source(at))
            return
        self._join("assistant", [in_phase(part, wire.phase, at) for part in parts] if wire.phase else parts, at)

    def _call(self, wire: FunctionCallWire | CustomCallWire, arguments: str, source: Source) -> None:
        space, name = wire.namespace, self._tools.name_of(wire.namespace, wire.name)
        metadata = {}
        if space is not None and name != wire.name and not self._tools.is_declared(space, wire.name):
            metadata = {DIALECT: {"namespace": Place(name=wire.name, namespace=space)}}
        call = ToolCallPart(id=wire.call_id, name=name, arguments=arguments, provider_metadata=metadata, source=source)
        self._called.add(wire.call_id)
        self._join("assistant", [call], source.pointer)

    def _result(self, wire: CallOutputWire, at: str) -> None:
        name = self._tools.name_of(wire.namespace, wire.name) if wire.name else None
        parts = parts_of(wire.output, f"{at}/output", self._losses)
        if wire.call_id not in self._called and not self._is_continued:
            raise InvalidRequest(
                f"{at}/call_id answers no call: {wire.call_id[:80]!r} is the call_id of no item before it",
                fix="send the item that made the call, or leave the output out",
                param=f"{at}/call_id",
            )
        carried_parts = tuple(part for part in parts if isinstance(part, TextPart | ImagePart | FilePart))
        result = ToolResultPart(call_id=wire.call_id, name=name, parts=carried_parts, source=Source(at))
        self._join("tool", [result], at)

    def _reasoning(self, wire: ReasoningItemWire, at: str) -> None:
        said = wire.summary or wire.content or ()
        text = "\n\n".join(part.text for part in said if part.text)
        metadata: dict[str, dict[str, Any]] = {}
        if wire.encrypted_content and wire.encrypted_content.startswith(CARRIER):
            metadata = carried(wire.encrypted_content) or {}
            call_id = metadata.pop(DIALECT, {}).get("call_id")
            if isinstance(call_id, str):
                self._of_calls[call_id] = metadata
                return
        elif wire.encrypted_content:
            own = {"encrypted_content": wire.encrypted_content, **({"id": wire.id} if wire.id else {})}
            metadata = {DIALECT: own}
        if text or metadata:
            places = carried_places(metadata, "/encrypted_content") if DIALECT not in metadata else {}
            source = Source(at, places)
            self._join("assistant", [ReasoningPart(text=text, provider_metadata=metadata, source=source)], at)

    def close(self) -> tuple[Message, ...]:
        return tuple(
            Message(role=role, parts=tuple(self._complete(part) for part in parts), source=source)
            for role, parts, source in self._turns
        )

    def _complete(self, part: Part) -> Part:
        if not isinstance(part, ToolCallPart) or part.id not in self._of_calls:
            return part
        found = self._of_calls[part.id]
        metadata = {**part.provider_metadata, **found}
        source = part.source and Source(part.source.pointer, {**part.source.fields, **carried_places(found, "")})
        return msgspec.structs.replace(part, provider_metadata=metadata, source=source)


def in_phase(part: Part, phase: str | None, at: str) -> Part:
    """Whether the text is a comment on the way or the answer; models want it back. `at` is the item's pointer."""
    if not isinstance(part, TextPart):
        return part
    own = {**part.provider_metadata.get(DIALECT, {}), "phase": phase}
    metadata = {**part.provider_metadata, DIALECT: own}
    inside = part.source.pointer.removeprefix(at) if part.source else ""
    return msgspec.structs.replace(part, provider_metadata=metadata, source=Source(at, {"": inside, "phase": "/phase"}))


def names_of(item: Item) -> set[str]:
    """What an output may name a call by that only this dialect knows: clients answer a shell's with one of a function."""
    named = [item.fields.get("call_id", Raw()), item.fields.get("id", Raw())]
    return {decode(TEXT, name, item.at) for name in named if first_of(name) == '"'}


def opaque(raw: Raw, source: Source | None = None) -> TextPart:
    """An item that only this dialect knows. One with a sealed content is worth nothing once that is taken away."""
    try:
        sealed = SEALED.decode(raw).encrypted_content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sealed = None
    own = {"sealed_item": raw, "encrypted_content": sealed} if sealed else {"item": raw}
    return TextPart(text="", provider_metadata={DIALECT: own}, source=source)


def wrapped(text: str) -> str:
    """The input of a custom tool as the arguments every dialect can carry."""
    return msgspec.json.encode({"input": text}).decode()
