"""What types cannot say of a Responses request: calls and their outputs, ids, which parts stand in which turn, limits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from omniroute.testing.strict.shape import Violation

__all__ = ["check_responses"]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REASONS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")
MAX_CALL_ID = 64
MAX_METADATA = 16
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
    "max_output_tokens": (16, float("inf")),
    "max_tool_calls": (1, float("inf")),
}
ID_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "message": ("msg",),
    "reasoning": ("rs",),
    "function_call": ("fc",),
    "function_call_output": ("fc",),
    "custom_tool_call": ("ctc",),
    "custom_tool_call_output": ("ctc",),
}
OUTPUT_OF: Mapping[str, str] = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
SPOKEN = ("output_text", "refusal")
"""The parts of the assistant's own turns; everybody else's begin with `input_`."""
ONLY_WITH_TOOLS = ("required", "function", "custom")


def check_responses(body: Mapping[str, Any]) -> None:
    """Raise `Violation`. The body's shape has been checked."""
    items = _items(body)
    for position, item in enumerate(items):
        _check_item(item, f"input[{position}]")
    _check_pairs(items, continued=bool(body.get("previous_response_id") or body.get("conversation")))
    _check_reasoning(items, stored=body.get("store") is not False)
    _check_tools(body, items)
    _check_limits(body)


def _items(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    given = body.get("input")
    if not given and not any(body.get(name) for name in ("prompt", "previous_response_id", "conversation")):
        raise Violation(
            "input", "One of 'input' or 'previous_response_id' or 'prompt' or 'conversation' must be provided."
        )
    return given if isinstance(given, list) else []


def _kind(item: Mapping[str, Any]) -> str:
    return item.get("type") or "message"


# --- items ------------------------------------------------------------------------------------------------------------


def _check_item(item: Mapping[str, Any], place: str) -> None:
    kind = _kind(item)
    prefixes = ID_PREFIXES.get(kind)
    if prefixes and item.get("id") is not None and not item["id"].startswith(prefixes):
        raise Violation(f"{place}.id", f"Invalid ID {item['id']!r}. Expected an ID that begins with {prefixes[0]!r}.")
    if kind == "message":
        _check_content(item, place)
    if "call_id" in item:
        if not item["call_id"]:
            raise Violation(f"{place}.call_id", "empty string. Expected a string with minimum length 1.")
        if len(item["call_id"]) > MAX_CALL_ID:
            raise Violation(
                f"{place}.call_id",
                f"string too long. Expected a string with maximum length 64, but got one with {len(item['call_id'])}.",
            )
    if kind in OUTPUT_OF.values():
        _check_name(item["name"], f"{place}.name")
    if kind == "function_call":
        _check_arguments(item["arguments"], f"{place}.arguments")


def _check_content(item: Mapping[str, Any], place: str) -> None:
    content = item["content"]
    if not isinstance(content, list):
        return
    speaks = item["role"] == "assistant"
    for position, part in enumerate(content):
        if (part["type"] in SPOKEN) is not speaks:
            supported = "'output_text' and 'refusal'" if speaks else "'input_text', 'input_image' and 'input_file'"
            raise Violation(
                f"{place}.content[{position}]", f"Invalid value: {part['type']!r}. Supported values are: {supported}."
            )


def _check_arguments(arguments: str, place: str) -> None:
    try:
        fits = isinstance(msgspec.json.decode(arguments), dict)
    except msgspec.DecodeError:
        fits = False
    if not fits:
        raise Violation(place, f"{arguments!r} is no JSON object")


def _check_pairs(items: Sequence[Mapping[str, Any]], *, continued: bool) -> None:
    """Each call has one output after it, and each output its call before it, unless the service keeps the thread."""
    waiting: dict[tuple[str, str], int] = {}
    for position, item in enumerate(items):
        kind = _kind(item)
        if kind in OUTPUT_OF.values():
            if (kind, item["call_id"]) in waiting:
                raise Violation(f"input[{position}].call_id", f"Duplicate call_id {item['call_id']}.")
            waiting[kind, item["call_id"]] = position
        elif kind in OUTPUT_OF and waiting.pop((OUTPUT_OF[kind], item["call_id"]), None) is None and not continued:
            raise Violation(
                f"input[{position}]",
                f"No tool call found for {kind.replace('_', ' ')} with call_id {item['call_id']}.",
            )
    for (_, call_id), position in waiting.items():
        raise Violation(f"input[{position}]", f"No tool output found for function call {call_id}.")


def _check_reasoning(items: Sequence[Mapping[str, Any]], *, stored: bool) -> None:
    for position, item in enumerate(items):
        if _kind(item) != "reasoning":
            continue
        place = f"input[{position}]"
        named = item.get("id")
        if named and not item.get("encrypted_content") and not stored:
            raise Violation(
                place, f"Item with id {named!r} not found. Items are not persisted when `store` is set to false."
            )
        following = items[position + 1] if position + 1 < len(items) else {"type": "message", "role": "user"}
        if named and _kind(following) == "message" and following["role"] != "assistant":
            raise Violation(
                place, f"Item {named!r} of type 'reasoning' was provided without its required following item."
            )


# --- tools ------------------------------------------------------------------------------------------------------------


def _check_tools(body: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
    declared = list(_declared(body.get("tools") or (), "tools"))
    for position, item in enumerate(items):
        if _kind(item) == "additional_tools":
            declared += _declared(item["tools"], f"input[{position}].tools")
    names: set[str] = set()
    for tool, place in declared:
        _check_name(tool["name"], f"{place}.name")
        if tool["name"] in names:
            raise Violation(place, f"Duplicate tool name {tool['name']!r}.")
        names.add(tool["name"])
        if tool["type"] == "function":
            _check_parameters(tool, f"{place}.parameters")
    _check_choice(body, names)


def _declared(tools: Sequence[Mapping[str, Any]], place: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The tools with a name of their own, those in namespaces too."""
    for position, tool in enumerate(tools):
        here = f"{place}[{position}]"
        if tool["type"] in {"function", "custom"}:
            yield tool, here
        elif tool["type"] == "namespace":
            yield from _declared(tool["tools"], f"{here}.tools")


def _check_choice(body: Mapping[str, Any], names: set[str]) -> None:
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind in ONLY_WITH_TOOLS and not body.get("tools"):
        raise Violation("tool_choice", "Tool choice cannot force a tool while no 'tools' are specified.")
    if isinstance(choice, dict) and kind in ONLY_WITH_TOOLS and choice["name"] not in names:
        raise Violation("tool_choice", f"Tool choice {choice['name']!r} not found in 'tools' parameter.")


def _check_parameters(tool: Mapping[str, Any], place: str) -> None:
    schema = tool.get("parameters")
    if schema is None:
        return
    if schema.get("type", "object") != "object":
        raise Violation(place, f"schema must be a JSON Schema of 'type: \"object\"', got {schema['type']!r}.")
    if schema.get("type") == "object" and "properties" not in schema:
        raise Violation(place, "object schema missing properties.")
    if tool.get("strict"):
        if schema.get("additionalProperties") is not False:
            raise Violation(place, "'additionalProperties' is required to be supplied and to be false.")
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise Violation(place, "'required' is required to be an array including every key in properties.")


# --- limits -----------------------------------------------------------------------------------------------------------


def _check_limits(body: Mapping[str, Any]) -> None:
    for field, (least, most) in RANGES.items():
        value = body.get(field)
        if value is not None and not least <= value <= most:
            raise Violation(field, f"{value} is outside {least:g}…{most:g}")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Violation("stream_options", "only allowed when 'stream' is enabled")
    if len(body.get("metadata") or ()) > MAX_METADATA:
        raise Violation("metadata", f"at most {MAX_METADATA} pairs")
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        _check_name(wanted["name"], "text.format.name")
    if REASONS.match(body.get("model") or ""):
        for field in ("temperature", "top_p"):
            if body.get(field) not in {None, 1}:
                raise Violation(field, f"Unsupported parameter: {field!r} is not supported with this model.")


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise Violation(place, f"{name!r} does not match '^[a-zA-Z0-9_-]+$' or is longer than 64 characters")
