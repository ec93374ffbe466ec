"""What requests ask for and answers say, in words that all dialects share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from omniroute.framing import FRAMINGS
from omniroute.model import Usage
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.scripts import Reply, Script
from omniroute.testing.upstream import Validator

__all__ = ["Answered", "Asked", "Block", "Call", "Finish", "Voice", "as_object", "events", "interleaved", "pieces"]

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    arguments: str
    """JSON text."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says."""

    reasoning: str = ""
    signature: str = ""
    """What the service wants back with the reasoning, opaque."""
    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    usage: Usage | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a conversation. Which fields are set depends on `kind`."""

    role: Literal["user", "assistant"]
    kind: Literal["text", "image", "file", "audio", "thinking", "call", "result"]
    text: str = ""
    """Also of a result, and the arguments of a call as JSON text."""
    name: str = ""
    data: str = ""
    """Base64, or an address."""
    id: str = ""
    """Of a call, and of the call that a result is for."""
    is_error: bool = False
    signature: str = ""
    images: tuple[str, ...] = ()
    """Data or addresses of the images in a result."""


class Asked(msgspec.Struct, kw_only=True):
    """What a request asks for."""

    system: list[str] = []
    """System and developer texts, wherever they stood."""
    blocks: list[Block] = []
    tools: dict[str, Mapping[str, Any]] = {}
    """name → schema of the arguments, types in lower case. Tools that run at the service are left out."""
    descriptions: dict[str, str] = {}
    free_form: list[str] = []
    """Those of the tools that take text and no object."""
    choice: str | None = None
    """`auto`, `none`, `required` or a tool's name after a colon."""
    limits: dict[str, Any] = {}
    """max_tokens, temperature, top_p, top_k, stop, seed: those that were given."""
    schema: Mapping[str, Any] | None = None
    """Of the answer, where it has to be JSON."""
    thinks: bool | None = None
    """Whether thinking was asked for (True) or forbidden (False)."""

    def of(self, kind: str) -> list[Block]:
        return [block for block in self.blocks if block.kind == kind]

    @property
    def user_text(self) -> str:
        return "\n".join(block.text for block in self.of("text") if block.role == "user")

    def answers(self, result: Block) -> int:
        """Which call, counted from 0 over the whole request, a result is for. Raises `ValueError` when it is for none."""
        return [call.id for call in self.of("call")].index(result.id)


class Voice(Protocol):
    """One dialect. `asked` and `read` raise `AssertionError` for what is not of it, and for a stream that reports an error."""

    dialect: str
    validate: Validator
    shares: frozenset[str] = frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"})
    """The shares of input and output that its usage tells apart."""

    def path(self, model: str, *, stream: bool) -> str:
        """Where clients call."""
        ...

    def body(self, asked: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, Any]:
        """The least request: `asked` holds further fields of the dialect's own."""
        ...

    def streams(self, request: ReceivedRequest) -> bool: ...
    def reply(self, answer: Answered, request: ReceivedRequest) -> Script:
        """As the service would answer, streamed if the request asks for it; calls interleaved where the dialect may."""
        ...

    def refusal(self, status: int, message: str) -> Reply: ...
    def read(self, body: bytes, *, stream: bool) -> Answered: ...
    def read_error(self, body: bytes) -> str:
        """The message of an error that stands alone."""
        ...

    def asked(self, body: bytes) -> Asked: ...
    def continued(self, body: Mapping[str, Any], answer: bytes, results: Sequence[str]) -> dict[str, Any]:
        """The request after a whole answer: what it said goes back as it came, with a result for each of its calls."""
        ...


# --- for the voices ---------------------------------------------------------------------------------------------------


def pieces(text: str, size: int = 5) -> list[str]:
    """The text as a stream brings it."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def interleaved(texts: Iterable[str]) -> list[tuple[int, str]]:
    """(which text, piece of it), taking turns."""
    cut = [pieces(text) for text in texts]
    longest = max(map(len, cut), default=0)
    return [(which, parts[at]) for at in range(longest) for which, parts in enumerate(cut) if at < len(parts)]


def events(body: bytes) -> list[tuple[str | None, bytes]]:
    """(event name, data) of a whole SSE stream. Raises `AssertionError` when the last event is cut."""
    splitter = FRAMINGS["sse"].splitter()
    frames = splitter.feed(body)
    assert not splitter.pending, f"the stream ends within an event: {body[-80:]!r}"
    return [(frame.event, frame.data) for frame in frames]


def as_object(text: str) -> msgspec.Raw:
    """Arguments where the dialect wants an object, spaces and all."""
    return msgspec.Raw(text.encode())


def texts_of(content: Any, kinds: Sequence[str]) -> list[str]:
    """The texts of a content that is a string or a list of parts."""
    if isinstance(content, str):
        return [content] if content else []
    return [part["text"] for part in content or () if part["type"] in kinds]
