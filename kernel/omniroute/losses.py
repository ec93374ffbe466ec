"""What a translation gives up, and where in the client's body that stood."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from omniroute.model import ChatRequest, Loss, Message, Part, Source, Tool, ToolResultPart

__all__ = ["extension_losses", "in_source", "source_pointer"]


def extension_losses(request: ChatRequest, dialect: str) -> tuple[Loss, ...]:
    """One loss per top-level field that rides under a dialect other than `dialect`, which is about to be encoded."""
    return tuple(
        Loss(pointer=f"/{field}", kind="dropped", reason=f"{dialect} has no such field")
        for origin, fields in request.extensions.items()
        if origin != dialect
        for field in fields
    )


def in_source(losses: Iterable[Loss], request: ChatRequest) -> tuple[Loss, ...]:
    """The same losses, which point into this request, with pointers into the body it was decoded from."""
    return tuple(
        [
            Loss(pointer=source_pointer(loss.pointer, request) or loss.pointer, kind=loss.kind, reason=loss.reason)
            for loss in losses
        ]
    )


def source_pointer(pointer: str, request: ChatRequest) -> str:
    """Where in the client's body stood what `pointer` names in the canonical request.

    What has no place of its own there (an adapting provider may have added it) has that of what it stands in. Empty is the
    body as a whole.
    """
    node: _Node = request
    steps = left = pointer.split("/")[1:]
    source = request.source or Source("")
    while (inner := _inner(node, steps)) is not None:
        node, steps = inner
        source, left = (source, []) if node.source is None else (node.source, steps)
    return _below(source, left)


_Node: TypeAlias = ChatRequest | Message | Part | Tool
_LISTS: Mapping[tuple[type, str], Callable[[Any], Sequence[_Node]]] = {
    (ChatRequest, "messages"): attrgetter("messages"),
    (ChatRequest, "tools"): attrgetter("tools"),
    (Message, "content"): attrgetter("parts"),
    (ToolResultPart, "content"): attrgetter("parts"),
}


def _inner(node: _Node, steps: list[str]) -> tuple[_Node, list[str]] | None:
    """What the first two steps lead to, and the steps that are left; None when they lead to a field."""
    if len(steps) < 2:
        return None
    listed = _LISTS.get((type(node), steps[0]))
    if listed is None or not steps[1].isdecimal():
        return None
    found, at = listed(node), int(steps[1])
    return (found[at], steps[2:]) if at < len(found) else None


def _below(source: Source, steps: Sequence[str]) -> str:
    """The place of a field, by the longest path of it that is spelled otherwise."""
    for length in range(len(steps), -1, -1):
        spelled = source.fields.get("/".join(steps[:length]))
        if spelled is not None:
            return "/".join((source.pointer + spelled, *steps[length:]))
    return "/".join((source.pointer, *steps))
