"""A client's `messages` to canonical messages: history in, normal form out.

Tool results that follow one another become one message of role `tool`. The calls and results of the time before `tools`
(`function_call`, role `function`) have no ids; they get ones made of their position.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import get_args

import msgspec
from msgspec import UNSET, Raw

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
    short_digest,
)
from omniroute_translator_openai_chat.extra_content import Extra, read_extra
from omniroute_translator_openai_chat.invalid import decode
from omniroute_translator_openai_chat.parts_in import REFUSAL, is_set, parts_of
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    AssistantWire,
    DeveloperWire,
    FunctionResultWire,
    MessageWire,
    SystemWire,
    ToolCallWire,
    ToolResultWire,
    UserWire,
)

MESSAGES = msgspec.json.Decoder(list[MessageWire])
FIELDS = msgspec.json.Decoder(list[dict[str, Raw]])
REFUSAL_FIELDS = {"": "/refusal", "refusal": "/refusal"}
CALL_FIELDS: Mapping[str, Mapping[str, str]] = {
    "function": {"name": "/function/name", "arguments": "/function/arguments"},
    "custom": {"name": "/custom/name", "arguments": "/custom/input"},
}
"""Canonical fields → where they stand in a message, or in a call of that type."""
KNOWN = {kind: {"role", *kind.__struct_fields__} for kind in get_args(MessageWire)}


def _known_alone(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same kind of message, with no other fields than those."""
    return msgspec.defstruct(
        kind.__name__, (), bases=(kind,), tag=kind.__struct_config__.tag, forbid_unknown_fields=True
    )


KNOWN_ALONE: "msgspec.json.Decoder[list[MessageWire]]" = msgspec.json.Decoder(
    list[reduce(or_, map(_known_alone, get_args(MessageWire)))]  # type: ignore[misc]  # made at run time
)
"""For messages as nearly all clients send them, which need not be looked through for what nobody knows."""
OTHERWISE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_messages(raw: Raw) -> tuple[tuple[Message, ...], list[Loss]]:
    wire, unknown = read_messages(raw)
    if not wire:
        raise InvalidRequest("messages is empty", fix="send at least one message", param="messages")
    history = History()
    for position, message in enumerate(wire):
        history.add(message, f"/messages/{position}")
    return history.close(), [*history.losses, *unknown]


def read_messages(raw: Raw) -> tuple[list[MessageWire], Iterable[Loss]]:
    """The messages, and what is lost of them. Raises `InvalidRequest`."""
    try:
        return KNOWN_ALONE.decode(raw), ()
    except OTHERWISE:
        wire = decode(MESSAGES, raw, "/messages")
        return wire, unknown_fields(raw, wire)


def unknown_fields(raw: Raw, wire: list[MessageWire]) -> Iterator[Loss]:
    for position, (fields, message) in enumerate(zip(decode(FIELDS, raw, "/messages"), wire, strict=True)):
        for name in fields.keys() - KNOWN[type(message)]:
            if is_set(fields[name]):
                yield Loss(
                    pointer=f"/messages/{position}/{name}",
                    kind="dropped",
                    reason="messages have no such field elsewhere",
                )


class History:
    """Collects messages; knows which calls there have been."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._messages: list[Message] = []
        self._results: list[ToolResultPart] = []
        """Of the tool messages since the last other one."""
        self._called: set[str] = set()
        self._unanswered: dict[str, deque[str]] = {}
        """function name → ids of calls without id of their own, in the order of the calls."""

    def close(self) -> tuple[Message, ...]:
        self._group_results()
        return tuple(self._messages)

    def add(self, message: MessageWire, at: str) -> None:
        match message:
            case ToolResultWire():
                if message.tool_call_id not in self._called:
                    raise InvalidRequest(
                        f"{at}/tool_call_id answers no call: {message.tool_call_id[:80]!r} is in no tool_calls before it",
                        fix="send the assistant message that made the call, or leave the result out",
                        param=f"{at}/tool_call_id",
                    )
                self._result(message, message.tool_call_id, at)
            case FunctionResultWire():
                waiting = self._unanswered.get(message.name or "")
                if not waiting:
                    raise InvalidRequest(
                        f"{at}/name answers no call: there is no open function_call of {message.name!r} before it",
                        fix="send the assistant message that made the call, or leave the result out",
                        param=f"{at}/name",
                    )
                self._result(message, waiting.popleft(), at)
            case AssistantWire():
                self._say("assistant", self._turn(message, at), message.name, at)
            case SystemWire():
                self._say("system", parts_of(message.content, f"{at}/content"), message.name, at)
            case DeveloperWire():
                self._say("developer", parts_of(message.content, f"{at}/content"), message.name, at)
            case UserWire():
                self._say("user", parts_of(message.content, f"{at}/content"), message.name, at)

    def _say(self, role: Role, parts: Sequence[Part], name: str | None, at: str) -> None:
        self._group_results()
        self._messages.append(Message(role=role, parts=tuple(parts), name=name, source=Source(at)))

    def _group_results(self) -> None:
        if self._results:
            self._messages.append(Message(role="tool", parts=tuple(self._results), source=self._results[0].source))
            self._results = []

    def _turn(self, message: AssistantWire, at: str) -> list[Part]:
        calls = message.tool_calls or ()
        extras = [self._extra(call, f"{at}/tool_calls/{position}") for position, call in enumerate(calls)]
        signed = [
            extra.reasoning(f"{at}/tool_calls/{position}") for position, extra in enumerate(extras)
        ]  # whole; in `reasoning_content` stand only its words again
        parts: list[Part] = [*(signed[0] if any(signed) else reasoning_of(message, at))]
        parts += parts_of(message.content, f"{at}/content")
        if message.refusal:
            parts.append(TextPart(text=message.refusal, provider_metadata=REFUSAL, source=Source(at, REFUSAL_FIELDS)))
        for position, (call, extra) in enumerate(zip(calls, extras, strict=True)):
            parts += signed[position] if position else ()
            parts.append(call_of(call, extra, f"{at}/tool_calls/{position}"))
            self._called.add(call.id)
        if message.function_call is not None:
            name = message.function_call.name
            call_id = f"call_{short_digest(f'{at} {name}', 24)}"
            self._unanswered.setdefault(name, deque()).append(call_id)
            arguments = message.function_call.arguments or "{}"
            parts.append(ToolCallPart(id=call_id, name=name, arguments=arguments, source=Source(f"{at}/function_call")))
        return parts

    def _extra(self, call: ToolCallWire, at: str) -> Extra:
        extra = read_extra(call.extra_content)
        if extra.is_damaged:
            pointer = f"{at}/extra_content/omniroute/carrier"
            self.losses.append(Loss(pointer=pointer, kind="dropped", reason="it came back damaged"))
        return extra

    def _result(self, message: ToolResultWire | FunctionResultWire, call_id: str, at: str) -> None:
        parts = parts_of(message.content, f"{at}/content")
        carried = tuple(part for part in parts if isinstance(part, TextPart | ImagePart | FilePart))
        self._results.append(ToolResultPart(call_id=call_id, name=message.name, parts=carried, source=Source(at)))


def reasoning_of(message: AssistantWire, at: str) -> list[ReasoningPart]:
    text = message.reasoning_content or message.reasoning or ""
    details = message.reasoning_details
    metadata = {DIALECT: {"reasoning_details": details}} if is_set(details) else {}
    stood = "reasoning_content" if message.reasoning_content else "reasoning" if text else "reasoning_details"
    source = Source(at, {"": f"/{stood}", "reasoning_details": "/reasoning_details"})
    return [ReasoningPart(text=text, provider_metadata=metadata, source=source)] if text or metadata else []


def call_of(call: ToolCallWire, extra: Extra, at: str) -> ToolCallPart:
    metadata = extra.metadata
    source = Source(at, {**CALL_FIELDS[call.type], **extra.places()})
    if call.type == "custom":
        if call.custom is UNSET:
            raise InvalidRequest(f"{at}/custom is missing", param=f"{at}/custom")
        return ToolCallPart(
            id=call.id,
            name=call.custom.name,
            arguments=wrapped(call.custom.input),
            provider_metadata=metadata,
            source=source,
        )
    if call.function is UNSET:
        raise InvalidRequest(f"{at}/function is missing", param=f"{at}/function")
    return ToolCallPart(
        id=call.id,
        name=call.function.name,
        arguments=call.function.arguments or "{}",
        provider_metadata=metadata,
        source=source,
    )


def wrapped(text: str) -> str:
    """The input of a custom tool as the arguments every dialect can carry."""
    return msgspec.json.encode({"input": text}).decode()
