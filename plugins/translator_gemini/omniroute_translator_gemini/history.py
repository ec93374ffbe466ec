"""A client's contents to messages.

Calls and results may come without ids: each then gets one that is its own in the whole request and depends on nothing but its
place and name. A result without id answers the oldest open call of its name.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from omniroute.api import (
    Message,
    Part,
    ReasoningPart,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    carried_places,
    short_digest,
)
from omniroute_translator_gemini.parts import read_part
from omniroute_translator_gemini.wire import STRING, Fields, Malformed

__all__ = ["History"]

USER_ROLES = ("user", "function")


class History:
    """Fed the contents in order; `messages` is what they come to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._called: set[str] = set()
        self._open: dict[str, deque[str]] = {}
        """function name -> ids of the calls that no result has answered yet."""
        self._answers_follow = False

    def add(self, raw: Raw, pointer: str) -> None:
        fields = Fields(raw, pointer)
        role = fields.take("role", STRING) or "user"
        at = fields.at("parts")
        items = list(fields.take_items("parts"))
        if not items:
            raise Malformed(at, "Expected at least one part")
        if role == "model":
            self._model_turn(items, Source(pointer))
        elif role in USER_ROLES:
            self._user_turn(items, Source(pointer))
        else:
            raise Malformed(fields.at("role"), f"{role!r} is neither user, model nor function")

    # --- the model ----------------------------------------------------------------------------------------------------

    def _model_turn(self, items: Iterable[tuple[Raw, str]], source: Source) -> None:
        parts: list[Part] = []
        step = 0  # where the step that leads to the next call begins
        for raw, pointer in items:
            part, signed = read_part(raw, pointer)
            if isinstance(part, ToolResultPart):
                raise Malformed(pointer, "a functionResponse has no place in a turn of the model")
            if isinstance(part, ToolCallPart):
                parts[step:] = _with_thoughts(parts[step:], _placed(signed.thoughts, part))
                parts.append(self._call(part, pointer))
                step = len(parts)
            elif not _is_nothing(part):
                parts.append(part)
        self.messages.append(Message(role="assistant", parts=tuple(parts), source=source))

    def _call(self, call: ToolCallPart, pointer: str) -> ToolCallPart:
        if self._answers_follow:  # whatever is still open belongs to a turn that is over
            self._open.clear()
            self._answers_follow = False
        call_id = call.id or f"call_{short_digest(f'{pointer} {call.name}', 24)}"
        self._called.add(call_id)
        self._open.setdefault(call.name, deque()).append(call_id)
        return call if call.id else msgspec.structs.replace(call, id=call_id)

    # --- the user -----------------------------------------------------------------------------------------------------

    def _user_turn(self, items: Iterable[tuple[Raw, str]], source: Source) -> None:
        """Results first, in a message of their own, then the user's words."""
        self._answers_follow = True
        results: list[Part] = []
        words: list[Part] = []
        for raw, pointer in items:
            part, _ = read_part(raw, pointer)
            match part:
                case ToolResultPart():
                    results.append(self._result(part, pointer))
                case ToolCallPart():
                    raise Malformed(pointer, "a functionCall has no place in a turn of the user")
                case _ if not _is_nothing(part):
                    words.append(part)
        if results:
            self.messages.append(Message(role="tool", parts=tuple(results), source=source))
        if words or not results:
            self.messages.append(Message(role="user", parts=tuple(words), source=source))

    def _result(self, result: ToolResultPart, pointer: str) -> ToolResultPart:
        waiting = self._open.get(result.name or "", deque())
        if result.call_id in self._called:
            if result.call_id in waiting:
                waiting.remove(result.call_id)
            return result
        if not waiting:
            raise Malformed(
                f"{pointer}/functionResponse",
                f"this result answers no call: no functionCall of {result.name!r} before it is still open",
                fix="send the model's turn that made the call, or leave the result out",
            )
        return msgspec.structs.replace(result, call_id=waiting.popleft())


def _placed(thoughts: Sequence[ReasoningPart], call: ToolCallPart) -> list[ReasoningPart]:
    """They stand where what they carry does: in the call's signature."""
    return [
        msgspec.structs.replace(
            each, source=call.source and Source(call.source.pointer, carried_places(each.provider_metadata, ""))
        )
        for each in thoughts
    ]


def _with_thoughts(step: list[Part], carried: Sequence[ReasoningPart]) -> list[Part]:
    """The parts that led to a call, with the thoughts it carries: a client may have dropped its own copies, or joined them."""
    thoughts = [part for part in step if isinstance(part, ReasoningPart)]
    if not carried or all(thought in thoughts for thought in carried):
        return step
    return [*carried, *(part for part in step if not isinstance(part, ReasoningPart))]


def _is_nothing(part: Part) -> bool:
    return isinstance(part, TextPart | ReasoningPart) and not part.text and not part.provider_metadata
