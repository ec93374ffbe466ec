"""What types cannot say of an Anthropic Messages request: turns and tool results, empty texts, thinking, limits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omniroute.testing.strict.shape import Violation

__all__ = ["check_messages"]

ID = re.compile(r"[a-zA-Z0-9_-]+")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
MAX_CACHE_MARKS = 4
LEAST_BUDGET = 1024


def check_messages(body: Mapping[str, Any]) -> None:
    """Raise `Violation`. The body's shape has been checked."""
    _check_turns(body["messages"])
    _check_texts(body)
    _check_tools(body)
    _check_limits(body)
    _check_thinking(body)
    marks = sum("cache_control" in value for value in _objects(body) if value is not body)
    if marks > MAX_CACHE_MARKS:
        raise Violation("", f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that may carry a cache mark; what the tools' schemas and calls hold is the client's own."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key not in {"input_schema", "input"}:
                yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


# --- turns ------------------------------------------------------------------------------------------------------------


def _check_turns(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise Violation("messages", "at least one message is required")
    first = next((message["role"] for message in messages if message["role"] != "system"), "system")
    if first != "user":
        raise Violation("messages", 'first message must use the "user" role')
    called: list[str] = []
    seen: set[str] = set()
    for position, message in enumerate(messages):
        place = f"messages.{position}"
        _check_results(_blocks(message), called, place)
        called = _calls(_blocks(message), seen, place) if message["role"] == "assistant" else []
    if called:
        raise Violation("messages", _without_results(called))


def _check_results(blocks: Sequence[Mapping[str, Any]], called: Sequence[str], place: str) -> None:
    """The turn after calls begins with one result for each of them, and results stand nowhere else."""
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for result in results:
        if result not in called:
            raise Violation(
                place,
                f"unexpected `tool_use_id` found in `tool_result` blocks: {result}. Each `tool_result` block must have a"
                " corresponding `tool_use` block in the previous message.",
            )
    if len(set(results)) != len(results):
        raise Violation(place, "each tool_use must have a single result")
    if missing := [call for call in called if call not in results]:
        raise Violation(place, _without_results(missing))
    if any(block["type"] != "tool_result" for block in blocks[: len(results)]):
        raise Violation(place, "`tool_result` blocks must come first in the turn")


def _without_results(missing: Sequence[str]) -> str:
    return (
        f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each `tool_use`"
        " block must have a corresponding `tool_result` block in the next message."
    )


def _calls(blocks: Sequence[Mapping[str, Any]], seen: set[str], place: str) -> list[str]:
    calls = [block for block in blocks if block["type"] == "tool_use"]
    for call in calls:
        if not ID.fullmatch(call["id"]):
            raise Violation(place, f"tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$', not {call['id']!r}")
        if call["id"] in seen:
            raise Violation(place, "`tool_use` ids must be unique")
        seen.add(call["id"])
        _check_name(call["name"], f"{place}.tool_use.name")
    return [call["id"] for call in calls]


# --- texts ------------------------------------------------------------------------------------------------------------


def _check_texts(body: Mapping[str, Any]) -> None:
    system = body.get("system")
    for position, block in enumerate(system if isinstance(system, list) else ()):
        _check_text(block, f"system.{position}")
    last = len(body["messages"]) - 1
    for position, message in enumerate(body["messages"]):
        place = f"messages.{position}"
        blocks = _blocks(message)
        prefill = position == last and message["role"] == "assistant"
        if (not blocks or message["content"] == "") and not prefill:
            raise Violation(
                place, "all messages must have non-empty content except for the optional final assistant message"
            )
        for number, block in enumerate(blocks):
            if block["type"] == "text" and message["content"] != "":
                _check_text(block, f"{place}.content.{number}")
            inner = block.get("content") if block["type"] == "tool_result" else None
            for depth, text in enumerate(inner if isinstance(inner, list) else ()):
                _check_text(text, f"{place}.content.{number}.content.{depth}")
        if prefill and blocks and blocks[-1].get("text", "").endswith((" ", "\n", "\t")):
            raise Violation(place, "final assistant content cannot end with trailing whitespace")


def _check_text(block: Mapping[str, Any], place: str) -> None:
    if block["type"] != "text":
        return
    if not block["text"]:
        raise Violation(f"{place}.text", "text content blocks must be non-empty")
    if not block["text"].strip():
        raise Violation(f"{place}.text", "text content blocks must contain non-whitespace text")


# --- tools and limits -------------------------------------------------------------------------------------------------


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools") or ()
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(set(names)) != len(names):
        raise Violation("tools", "Tool names must be unique.")
    for position, tool in enumerate(tools):
        if "input_schema" in tool:
            _check_name(tool["name"], f"tools.{position}.name")
            if union := {"oneOf", "anyOf", "allOf"}.intersection(tool["input_schema"]):
                raise Violation(f"tools.{position}.input_schema", f"does not support {min(union)} at the top level")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not tools:
        raise Violation("tool_choice", "may only be specified while providing tools")
    if choice["type"] == "tool" and choice["name"] not in names:
        raise Violation("tool_choice", f"tool {choice['name']!r} not found in provided tools")


def _check_limits(body: Mapping[str, Any]) -> None:
    for field, (least, most) in {
        "temperature": (0, 1),
        "top_p": (0, 1),
        "top_k": (0, 1e9),
        "max_tokens": (1, 1e9),
    }.items():
        value = body.get(field)
        if value is not None and not (isinstance(value, int | float) and least <= value <= most):
            raise Violation(field, f"{value!r} is outside {least:g}…{most:g}")
    for position, stop in enumerate(body.get("stop_sequences") or ()):
        if not stop.strip():
            raise Violation(f"stop_sequences.{position}", "each stop sequence must contain non-whitespace")


def _check_thinking(body: Mapping[str, Any]) -> None:
    for position, message in enumerate(body["messages"]):
        for block in _blocks(message):
            if block["type"] == "thinking" and not block["signature"]:
                raise Violation(f"messages.{position}", "Invalid `signature` in `thinking` block")
    thinking = body.get("thinking") or {"type": "disabled"}
    if thinking["type"] == "disabled":
        return
    budget = thinking.get("budget_tokens")
    if budget is not None and not LEAST_BUDGET <= budget < body.get("max_tokens", budget + 1):
        raise Violation("thinking.budget_tokens", f"{budget} must be at least 1024 and less than max_tokens")
    if body.get("temperature") not in {None, 1}:
        raise Violation("temperature", "may only be set to 1 when thinking is enabled")
    if body.get("top_k") is not None:
        raise Violation("top_k", "must be unset when thinking is enabled")
    if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        raise Violation("tool_choice", "Thinking may not be enabled when tool_choice forces tool use.")
    if thinking["type"] == "enabled":
        _check_running_turn(body["messages"])


def _check_running_turn(messages: Sequence[Mapping[str, Any]]) -> None:
    """While its tools run, the turn that called them has to keep its thinking in front."""
    if len(messages) < 2 or not any(block["type"] == "tool_result" for block in _blocks(messages[-1])):
        return
    place, calling = f"messages.{len(messages) - 2}.content.0", _blocks(messages[-2])
    if calling[0]["type"] not in {"thinking", "redacted_thinking"}:
        raise Violation(place, f"Expected `thinking` or `redacted_thinking`, but found `{calling[0]['type']}`")


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise Violation(place, f"String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$', not {name!r}")
