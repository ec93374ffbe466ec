"""Habits of upstreams that clients of the dialect do not expect, as far as they show before anything has been sent on.

Such an answer is read and written anew instead of being relayed. Of a stream only the beginning is judged: an upstream known
for a habit that shows later is said to be quirky in its provider's facts.
"""

import re

from omniroute_translator_openai_chat.chunks import ANSWER, UNREADABLE, content_texts, has_more_than_text
from omniroute_translator_openai_chat.opening import OPEN, is_undecided, may_think
from omniroute_translator_openai_chat.wire import CallDelta, Delta, ToolCallDelta

HINT = re.compile(rb'think(?:>|\\u003[eE])|"content"\s*:\s*\[|"tool_calls"\s*:\s*\[\s*\{')
"""In whole answers that are worth a look; some encoders escape `>`."""


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
    """Of a whole answer."""
    if HINT.search(body) is None:
        return False
    try:
        choices = ANSWER.decode(body).choices
    except UNREADABLE:
        return False
    messages = (choice.message for choice in choices or () if choice.message is not None)
    return any(is_odd(message) or "".join(content_texts(message)).lstrip().startswith(OPEN) for message in messages)


def is_odd(delta: Delta) -> bool:
    """Content is a string, and a call has all but the rest of its arguments from the start."""
    return isinstance(delta.content, list) or any(map(is_odd_call, delta.tool_calls or ()))


def is_odd_call(call: ToolCallDelta) -> bool:
    told = call.function or call.custom or CallDelta()
    return not call.id or not told.name or isinstance(told.arguments, dict)
