"""Reasoning of earlier turns, for upstreams that take none back: it is left out. Sync, pure."""

import msgspec

from omniroute.model import ChatRequest, Loss, ReasoningPart

__all__ = ["without_reasoning"]


def without_reasoning(request: ChatRequest) -> ChatRequest:
    """The request without any, and with a loss for each; the very same object when it has none."""
    losses = tuple(
        Loss(pointer=f"/messages/{at}/content/{index}", kind="dropped", reason="no reasoning is taken back")
        for at, message in enumerate(request.messages)
        for index, part in enumerate(message.parts)
        if isinstance(part, ReasoningPart)
    )
    if not losses:
        return request
    left = (
        (message, tuple(part for part in message.parts if not isinstance(part, ReasoningPart)))
        for message in request.messages
    )
    messages = tuple(
        message if len(parts) == len(message.parts) else msgspec.structs.replace(message, parts=parts)
        for message, parts in left
        if parts or not message.parts
    )
    return msgspec.structs.replace(request, messages=messages, losses=(*request.losses, *losses))
