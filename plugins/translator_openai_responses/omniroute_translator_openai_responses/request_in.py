"""A client's request body: the head for routing, the whole as a canonical request, the body under another model name."""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    Headers,
    InvalidRequest,
    Loss,
    Reasoning,
    RequestHead,
    Sampling,
    Source,
    with_model,
)
from omniroute_translator_openai_responses.invalid import decode
from omniroute_translator_openai_responses.items_in import decode_input
from omniroute_translator_openai_responses.parts_in import first_of, is_set
from omniroute_translator_openai_responses.tools_in import Tools, text_of, tool_choice_of
from omniroute_translator_openai_responses.wire import DIALECT, HeadWire, OpeningWire, ReasoningWire, RequestWire

HEAD = msgspec.json.Decoder(OpeningWire)
REQUEST = msgspec.json.Decoder(RequestWire)
REASONING = msgspec.json.Decoder(ReasoningWire)
FIELDS = msgspec.json.Decoder(dict[str, Raw])

FILLED_LIST = re.compile(rb"\s*\[\s*[^\s\]]")
ADDITIONAL_TOOLS = b'"additional_tools"'

SESSION_HEADERS = ("session-id", "thread-id", "x-session-id", "x-session-affinity")
KEPT = frozenset({"prompt_cache_key", "safety_identifier"})
"""Fields with a canonical home that an upstream of this dialect still wants as they were written."""
FIELDS_ELSEWHERE = {
    "messages": "/input",
    "response_format": "/text/format",
    "tool_choice/parallel": "/parallel_tool_calls",
}
"""Canonical fields → where they stand in a request."""
CANONICAL = frozenset(RequestWire.__struct_fields__) - KEPT
REASONING_FIELDS = frozenset(ReasoningWire.__struct_fields__)


def read_head(body: bytes, headers: Headers) -> RequestHead:
    head = decode(HEAD, body)
    check(head)
    return RequestHead(
        model=head.model,
        stream=bool(head.stream),
        session=session_of(head, headers),
        max_output_tokens=head.max_output_tokens,
        has_tools=is_filled(head.tools) or ADDITIONAL_TOOLS in body,
        opening=(head.instructions, head.tools),
        turns=head.input if is_set(head.input) else None,
        previous_response_id=head.previous_response_id or None,
    )


def rename_model(body: bytes, model: str) -> bytes:
    renamed = with_model(body, model)
    if renamed is not None:
        return renamed
    fields = decode(FIELDS, body)
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def decode_request(body: bytes, headers: Headers) -> ChatRequest:
    wire = decode(REQUEST, body)
    check(wire)
    refuse_stored(wire)
    losses: list[Loss] = []
    extensions = {
        name: value for name, value in decode(FIELDS, body).items() if name not in CANONICAL and is_set(value)
    }
    tools = Tools(losses)
    tools.declare(wire.tools, "/tools")
    messages = decode_input(wire.input, wire.instructions, tools, losses, is_continued=bool(wire.previous_response_id))
    return ChatRequest(
        model=wire.model,
        messages=messages,
        tools=tools.close(),
        tool_choice=tool_choice_of(wire, tools, extensions),
        max_output_tokens=wire.max_output_tokens,
        sampling=Sampling(temperature=wire.temperature, top_p=wire.top_p),
        reasoning=reasoning_of(wire.reasoning, extensions),
        response_format=text_of(wire.text, extensions),
        stream=bool(wire.stream),
        user=wire.user or wire.safety_identifier,
        previous_response_id=wire.previous_response_id or None,
        session=session_of(wire, headers),
        extensions={DIALECT: extensions},
        losses=tuple(losses),
        source=Source("", FIELDS_ELSEWHERE if wire.user else {**FIELDS_ELSEWHERE, "user": "/safety_identifier"}),
    )


def check(head: HeadWire) -> None:
    first = first_of(head.input)
    if first == '"' or is_filled(head.input):
        return
    if is_set(head.input) and first != "[":
        raise InvalidRequest("input is neither a text nor a list of items", param="input")
    if not (head.previous_response_id or is_set(head.conversation) or is_set(head.prompt)):
        what = "empty" if is_set(head.input) else "missing"
        raise InvalidRequest(f"input is {what}", fix="send a text, or a list of at least one item", param="input")


def refuse_stored(wire: RequestWire) -> None:
    """What only works at the one service that runs or stores it. (Relayed requests are never read this far.)"""
    stored: Mapping[str, bool] = {
        "background": bool(wire.background),
        "conversation": is_set(wire.conversation),
        "prompt": is_set(wire.prompt),
    }
    for name, is_asked in stored.items():
        if is_asked:
            raise InvalidRequest(
                f"{name} needs an upstream that keeps it, and this model's has no such thing",
                fix=f"leave {name} out and send the whole conversation",
                param=name,
            )


def is_filled(raw: Raw) -> bool:
    return FILLED_LIST.match(memoryview(raw)) is not None


def session_of(head: HeadWire, headers: Headers) -> str | None:
    return (
        next((value for name in SESSION_HEADERS if (value := headers.get(name))), None) or head.prompt_cache_key or None
    )


def reasoning_of(raw: Raw, extensions: dict[str, Raw]) -> Reasoning | None:
    if not is_set(raw):
        return None
    wire = decode(REASONING, raw, "/reasoning")
    fields = decode(FIELDS, raw, "/reasoning")
    extensions.update(
        (f"reasoning/{name}", value) for name, value in fields.items() if name not in REASONING_FIELDS and is_set(value)
    )
    summary = wire.summary or wire.generate_summary
    return Reasoning(effort=wire.effort, summary=summary) if wire.effort or summary else None
