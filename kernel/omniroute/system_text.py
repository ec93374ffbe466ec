"""System text for models that take none: it opens the user's first turn. Sync, pure."""

import msgspec

from omniroute.model import ChatRequest, Loss, Message, Part, TextPart

__all__ = ["as_user_text"]

SYSTEM = "[System Instructions]\n"
USER = "[User Message]\n"
ROLES = frozenset({"system", "developer"})


def as_user_text(request: ChatRequest) -> ChatRequest:
    """The very same request when it has no system text."""
    texts = [
        part.text
        for message in request.messages
        if message.role in ROLES
        for part in message.parts
        if isinstance(part, TextPart) and part.text
    ]
    rest = [message for message in request.messages if message.role not in ROLES]
    if len(rest) == len(request.messages):
        return request
    opening = TextPart(text=f"{SYSTEM}" + "\n\n".join(texts))
    loss = Loss(pointer="/messages", kind="approximated", reason="the model takes no system text: the user says it")
    return msgspec.structs.replace(
        request, messages=tuple(_opened(rest, opening) if texts else rest), losses=(*request.losses, loss)
    )


def _opened(messages: list[Message], opening: Part) -> list[Message]:
    first = next((position for position, message in enumerate(messages) if message.role == "user"), None)
    if first is None:
        return [Message(role="user", parts=(opening,)), *messages]
    said = messages[first]
    parts = (opening, TextPart(text=USER), *said.parts)
    return [*messages[:first], msgspec.structs.replace(said, parts=parts), *messages[first + 1 :]]
