"""Habits of upstreams that clients of the dialect do not expect, as far as they show before anything has been sent on.

Such an answer is read and written anew instead of being relayed. Of a stream only the beginning is judged: an upstream known
for a habit that shows later is said to be quirky in its provider's facts.
"""

import re

from omniroute_translator_openai_chat.chunks import ANSWER, UNREADABLE, content_texts, has_more_than_text
from omniroute_translator_openai_chat.opening import OPEN, is_undecided, may_think
from omniroute_translator_openai_chat.wire import CallDelta, Delta, ToolCallDelta

THINK = re.compile(rb"think(?:>|\\u003[eE])")
"""Some encoders escape `>`."""
CONTENT = b'"content"'
LIST = re.compile(rb'"content"\s*:\s*\[')
CALLS = re.compile(rb'"tool_calls"\s*:\s*\[\s*\{')


class Beginning:
    """The deltas of a stream, up to the one that says something."""

    def __init__(self) -> None:
        self.has_content = False
        self.is_odd = False
        self._text = ""
        self._roles = 0

    def feed(self, delta: Delta) -> None:
        self._text += "".join(content_texts(delta))
        self._roles += bool(delta.role)
        self.has_content = has_more_than_text(delta) or not is_undecided(self._text)
        self.is_odd = (
            self.is_odd
            or is_odd(delta)
            or may_think(self._text)
            or any(call.index != position for position, call in enumerate(delta.tool_calls or ()))
            or self._roles > 1
            or (self.has_content and not self._roles)
        )


def is_odd_answer(body: bytes) -> bool:
    """Of a whole answer. Words are looked for first, from behind: patterns take four times as long to find nothing, `in` twice."""
    if not (
        has_listed_content(body)
        or (body.rfind(b'"tool_calls"') >= 0 and CALLS.search(body) is not None)
        or (body.rfind(b"think") >= 0 and THINK.search(body) is not None)
    ):
        return False
    try:
        choices = ANSWER.decode(body).choices
    except UNREADABLE:
        return False
    messages = (choice.message for choice in choices or () if choice.message is not None)
    return any(is_odd(message) or "".join(content_texts(message)).lstrip().startswith(OPEN) for message in messages)


def has_listed_content(body: bytes) -> bool:
    place = body.rfind(CONTENT)
    while place >= 0:
        if LIST.match(body, place) is not None:
            return True
        place = body.rfind(CONTENT, 0, place)
    return False


def is_odd(delta: Delta) -> bool:
    """Content is a string, and a call has all but the rest of its arguments from the start."""
    return isinstance(delta.content, list) or any(map(is_odd_call, delta.tool_calls or ()))


def is_odd_call(call: ToolCallDelta) -> bool:
    told = call.function or call.custom or CallDelta()
    return not call.id or not told.name or isinstance(told.arguments, dict)
