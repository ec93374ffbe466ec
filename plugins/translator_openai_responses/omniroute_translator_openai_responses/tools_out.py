"""Canonical tools to the declarations an upstream takes, and to those a client had sent: each in its place again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import ChatRequest, Loss, Tool, ToolCallPart, ToolChoice
from omniroute_translator_openai_responses.names import DEFAULT_NAMESPACE, flat_name
from omniroute_translator_openai_responses.parts_out import own, report
from omniroute_translator_openai_responses.wire import DIALECT, Place, ToolChoiceWire

OBJECT = Raw(b'"object"')
EMPTY_SCHEMA = Raw(b'{"type":"object","properties":{}}')
FIELDS = msgspec.json.Decoder(dict[str, Raw])
UNPLACED = Place(name="")


class ToolsOut:
    """The tools of one request. `sent` gives the name that goes on the wire; `is_own`: it came in this dialect."""

    def __init__(self, request: ChatRequest, sent: Callable[[str], str], *, is_own: bool) -> None:
        self._sent = sent
        self._is_own = is_own
        self._choice = request.tool_choice
        self._tools = request.tools
        self._places: dict[str, Place] = {
            tool.name: place
            for tool in request.tools
            if tool.kind != "builtin" and (place := own(tool).get("namespace")) is not None
        }
        self._custom = frozenset(tool.name for tool in request.tools if tool.kind == "custom")

    @property
    def placed(self) -> Mapping[str, str]:
        """What an upstream's answer makes of a placed tool's name → its name, where the two differ."""
        flat = {flat_name(place.namespace, place.name): name for name, place in self._places.items()}
        return {found: name for found, name in flat.items() if found != name}

    def is_placed(self, name: str) -> bool:
        return name in self._places

    def is_custom(self, name: str) -> bool:
        return name in self._custom

    def reference(self, call: ToolCallPart) -> dict[str, str]:
        """How a call names its tool."""
        place = self._places.get(call.name) or own(call).get("namespace")
        if place is None:
            return {"name": self._sent(call.name)}
        return in_namespace(place)

    # --- declarations -------------------------------------------------------------------------------------------------

    def declared(self, losses: list[Loss]) -> tuple[list[Any], list[Any]]:
        """Declarations for the top of the request, and for an `additional_tools` item of its input."""
        groups: tuple[list[Any], list[Any]] = ([], [])
        spaces: dict[tuple[str, bool], list[Any]] = {}
        for position, tool in enumerate(self._tools):
            wire = self._declaration(tool, f"/tools/{position}", losses)
            if wire is None:
                continue
            place: Place = own(tool).get("namespace", UNPLACED)
            group = groups[place.additional]
            if place.namespace is None:
                group.append(wire)
                continue
            key = (place.namespace, place.additional)
            if key not in spaces:
                spaces[key] = []
                shown = {"name": place.namespace, "description": place.description or "", "tools": spaces[key]}
                group.append({"type": "namespace", **shown})
            spaces[key].append(wire)
        return groups

    def _declaration(self, tool: Tool, at: str, losses: list[Loss]) -> dict[str, Any] | Raw | None:
        if tool.kind == "builtin":
            declaration: Raw | None = own(tool).get("declaration")
            if declaration is None:
                losses.append(Loss(pointer=at, kind="dropped", reason=f"{DIALECT} has no tool like {tool.name}"))
            return declaration
        report(tool, at, losses)
        place = self._places.get(tool.name)
        wire: dict[str, Any] = {"type": tool.kind, "name": place.name if place else self._sent(tool.name)}
        if tool.description is not None:
            wire["description"] = tool.description
        if tool.kind == "function":
            wire.update(self._function(tool))
        wire.update((name, value) for name, value in own(tool).items() if name != "namespace")
        return wire

    def _function(self, tool: Tool) -> dict[str, Any]:
        """Schema and strictness: what is unsaid means no strictness to other dialects, and to this one a try at it."""
        if self._is_own:
            said = {"parameters": tool.parameters, "strict": tool.strict}
            return {name: value for name, value in said.items() if value is not None}
        return {"parameters": with_properties(tool.parameters or EMPTY_SCHEMA), "strict": bool(tool.strict)}

    # --- choice -------------------------------------------------------------------------------------------------------

    def choice(self) -> str | ToolChoiceWire | None:
        """None when nothing was said, or the tool that was named is not there."""
        match self._choice:
            case None:
                return None
            case ToolChoice(mode="tool", name=str(name)):
                if not any(tool.name == name and tool.kind != "builtin" for tool in self._tools):
                    return None
                kind = "custom" if name in self._custom else "function"
                place = self._places.get(name)
                shown = in_namespace(place) if place else {"name": self._sent(name)}
                return ToolChoiceWire(type=kind, name=shown["name"], namespace=shown.get("namespace"))
            case ToolChoice(mode=mode):
                return mode


def in_namespace(place: Place) -> dict[str, str]:
    if place.namespace in (None, DEFAULT_NAMESPACE):
        return {"name": place.name}
    return {"name": place.name, "namespace": str(place.namespace)}


def with_properties(schema: Raw) -> Raw:
    """The service refuses an object schema without `properties`; any other schema stays byte for byte."""
    if b'"properties"' in bytes(schema):
        return schema
    try:
        fields = FIELDS.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return schema
    if fields and fields.get("type") != OBJECT:
        return schema
    return Raw(msgspec.json.encode({"type": OBJECT, **fields, "properties": {}}))


def names_of(tools: Sequence[Tool], called: Sequence[ToolCallPart]) -> list[str]:
    """Names that go on the wire as they are, or have to be fitted: all but those that stand in a place of their own."""
    placed = {tool.name for tool in tools if "namespace" in own(tool)}
    named = [tool.name for tool in tools if tool.kind != "builtin"] + [
        call.name for call in called if "namespace" not in own(call)
    ]
    return [name for name in named if name not in placed]
