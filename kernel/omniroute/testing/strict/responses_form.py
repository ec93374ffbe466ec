"""What the Responses service takes beyond the types of its SDK.

Seen in the requests of real clients, which the service answers: ids on any item, a client's own metadata, assistant turns
written without what only answers have. `as_typed` gives the body without them, so that everything else is held to the types.
"""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["as_typed"]

Item = Mapping[str, Any]


def as_typed(body: Mapping[str, Any]) -> dict[str, Any]:
    typed = {name: value for name, value in body.items() if name != "client_metadata"}
    if isinstance(body.get("input"), list):
        typed["input"] = [_typed_item(item) for item in body["input"]]
    if isinstance(body.get("tools"), list):
        typed["tools"] = [_typed_tool(tool) for tool in body["tools"]]
    return typed


def _typed_item(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    form = _FORMS.get(item.get("type") or "message")
    return form(item) if form else item


def _message(item: Item) -> Item:
    content = item.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    if item.get("role") == "assistant" and any(part.get("type") in ("output_text", "refusal") for part in parts):
        parts = [{"annotations": [], **part} if part.get("type") == "output_text" else part for part in parts]
        return {"id": "msg_1", "status": "completed", "type": "message", **item, "content": parts}
    return _without(item, "id", "status")


def _reasoning(item: Item) -> Item:
    return {"id": "rs_1", **(_without(item, "content") if item.get("content") is None else item)}


def _custom_call(item: Item) -> Item:
    return _without(item, "status")


def _additional_tools(item: Item) -> Item:
    tools = item.get("tools")
    return {**item, "tools": [_typed_tool(tool) for tool in tools]} if isinstance(tools, list) else item


def _typed_tool(tool: Any) -> Any:
    if not isinstance(tool, dict):
        return tool
    if tool.get("type") == "web_search":
        return _without(tool, "search_content_types")
    if tool.get("type") == "function":
        return {"strict": None, "parameters": None, **tool}
    return tool


def _without(item: Item, *names: str) -> Item:
    return {name: value for name, value in item.items() if name not in names}


_FORMS: Mapping[str, Callable[[Item], Item]] = {
    "message": _message,
    "reasoning": _reasoning,
    "custom_tool_call": _custom_call,
    "additional_tools": _additional_tools,
}
