"""`system` and `messages` to canonical messages: who may say what, and which calls the results answer."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

from msgspec import Raw

from omniroute.api import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omniroute_translator_anthropic.blocks import read_content
from omniroute_translator_anthropic.carriers import Carriers
from omniroute_translator_anthropic.plain import PlainContent, PlainMessage
from omniroute_translator_anthropic.wire import STRING, Fields, Malformed, place_of, read_list

__all__ = ["read_messages", "read_system"]

Kinds: TypeAlias = frozenset[type[Part]]

NOT_TEXT: Kinds = frozenset({FilePart, ImagePart, ReasoningPart, ToolCallPart, ToolResultPart})
NOT_THE_USERS: Kinds = frozenset({ReasoningPart, ToolCallPart})
NOT_THE_ASSISTANTS: Kinds = frozenset({ImagePart, ToolResultPart})
_SPEAKERS: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def read_system(system: Raw | PlainContent) -> list[Message]:
    content = read_content(system, "/system")
    _check_kinds(content, NOT_TEXT, "system text")
    return [Message(role="system", parts=tuple(content), source=Source("/system"))] if content else []


def read_messages(wire: Raw | Sequence[PlainMessage], carriers: Carriers) -> list[Message]:
    messages: list[Message] = []
    called: set[str] = set()
    for at, (role, said) in enumerate(_turns(wire)):
        turn, within = _PLACES[at] if at < _KEPT else _places(at)
        speaker = _SPEAKERS.get(role)
        if speaker is not None and said and type(said) is str:  # words alone, which everybody may say
            messages.append(Message(role=speaker, parts=(TextPart(text=said, source=within),), source=turn))
            continue
        content = read_content(said, within.pointer)
        match role:
            case "user":
                messages += _user_turn(content, called, turn)
            case "assistant":
                messages.append(_assistant_turn(content, called, carriers, turn))
            case "system":
                _check_kinds(content, NOT_TEXT, "a system turn")
                messages.append(Message(role="system", parts=tuple(content), source=turn))
            case _:
                raise Malformed(f"{turn.pointer}/role", f"{role!r} is none of user, assistant, system")
    return messages


def _places(at: int) -> tuple[Source, Source]:
    """Of the turn with this index, and of its content."""
    return Source(f"/messages/{at}"), Source(f"/messages/{at}/content")


_KEPT = 200
_PLACES = tuple(map(_places, range(_KEPT)))
"""They are the same in every request, and half of what it takes to read a turn of one text."""


_role_and_content = attrgetter("role", "content")


def _turns(messages: Raw | Sequence[PlainMessage]) -> Iterable[tuple[str, Raw | PlainContent]]:
    """The role and content of each."""
    return _raw_turns(messages) if isinstance(messages, Raw) else map(_role_and_content, messages)


def _raw_turns(messages: Raw) -> Iterator[tuple[str, Raw | None]]:
    for at, raw in enumerate(read_list(messages, "/messages")):
        fields = Fields(raw, f"/messages/{at}")
        yield fields.need("role", STRING), fields.take_raw("content")


def _user_turn(content: Sequence[Part], called: Collection[str], source: Source) -> Sequence[Message]:
    """Tool results first, in a message of their own, then the user's words."""
    has_results = ToolResultPart in map(type, content)
    if has_results:
        _check_answers(content, called)
    _check_kinds(content, NOT_THE_USERS, "a user turn")
    if not has_results:
        return (Message(role="user", parts=tuple(content), source=source),)
    results = tuple([part for part in content if isinstance(part, ToolResultPart)])
    words = tuple([part for part in content if not isinstance(part, ToolResultPart)])
    answered = Message(role="tool", parts=results, source=source)
    return (answered, Message(role="user", parts=words, source=source)) if words else (answered,)


def _assistant_turn(content: Sequence[Part], called: set[str], carriers: Carriers, source: Source) -> Message:
    """Adds the ids of its calls to `called`."""
    if ReasoningPart in map(type, content):
        content = carriers.open(content)
    _check_kinds(content, NOT_THE_ASSISTANTS, "an assistant turn")
    if ToolCallPart in map(type, content):
        called.update([part.id for part in content if isinstance(part, ToolCallPart)])
    return Message(role="assistant", parts=tuple(content), source=source)


def _check_answers(content: Sequence[Part], called: Collection[str]) -> None:
    """The service wants a result's call in the very turn before. Here any turn before will do: encoders bring them together."""
    for part in content:
        if isinstance(part, ToolResultPart) and part.call_id not in called:
            raise Malformed(
                f"{place_of(part)}/tool_use_id",
                f"answers no call: {part.call_id[:80]!r} is the id of no tool_use before it",
                fix="send the assistant's turn that made the call, or leave the result out",
            )


def _check_kinds(content: Sequence[Part], refused: Kinds, where: str) -> None:
    if refused.isdisjoint(map(type, content)):  # a fifth of what `isinstance` of each costs
        return
    first = next(part for part in content if type(part) in refused)
    raise Malformed(f"{place_of(first)}/type", f"this block has no place in {where}")
