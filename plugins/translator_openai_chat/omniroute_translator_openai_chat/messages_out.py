"""Canonical messages to `messages`: valid for the service whatever the history looks like.

Every assistant message with tool calls is followed at once by one tool message per call. Tool messages carry text only, so
the images of results follow in a user message after all of them. Histories a client has cut are mended: a call without
result gets one that says so, a result that stands apart from its call becomes the user's words.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET

from omniroute.api import (
    AudioPart,
    FilePart,
    ImagePart,
    Loss,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolNames,
    ToolResultPart,
)
from omniroute_translator_openai_chat.details import details_of
from omniroute_translator_openai_chat.extra_content import for_upstream
from omniroute_translator_openai_chat.names import fit_id
from omniroute_translator_openai_chat.parts_out import (
    assistant_content,
    media_wire,
    report,
    text_content,
    text_wire,
    user_wire,
)
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    AssistantWire,
    CustomCallWire,
    DeveloperWire,
    FunctionCallWire,
    MessageWire,
    SystemWire,
    TextWire,
    ToolCallWire,
    ToolResultWire,
    UserPartWire,
    UserWire,
)

SPEAKERS: Mapping[str, type[SystemWire | DeveloperWire | UserWire | AssistantWire]] = {
    "system": SystemWire,
    "developer": DeveloperWire,
    "user": UserWire,
    "assistant": AssistantWire,
}
MEDIA = frozenset({ImagePart, FilePart, AudioPart})
NO_RESULT = "(no result)"
Place = tuple[int, int]
"""Message and part, counted from 0."""


class _Input(msgspec.Struct):
    input: str


INPUT = msgspec.json.Decoder(_Input)


class MessagesOut(msgspec.Struct):
    """One request's messages."""

    _messages: Sequence[Message]
    _names: ToolNames
    _custom: frozenset[str]
    """Names of tools sent as custom ones."""
    _losses: list[Loss]
    _wires: list[MessageWire] = []
    _answered: set[Place] = set()
    """Results that stand behind their call."""

    def encode(self) -> list[MessageWire]:
        for position, message in enumerate(self._messages):
            kind = SPEAKERS.get(message.role)
            if kind is not None and (text := lone_text(message.parts)):
                self._wires.append(kind(content=text, name=message.name))
                continue
            at = f"/messages/{position}"
            match message.role:
                case "assistant":
                    self._assistant(message, position, at)
                case "system" | "developer":
                    self._system(message, at)
                case "user" | "tool":
                    self._user(message, position, at)
        return self._wires

    def _system(self, message: Message, at: str) -> None:
        texts = self._texts(message, at)
        if texts:
            kind = SystemWire if message.role == "system" else DeveloperWire
            self._wires.append(kind(content=text_content(texts, "\n\n"), name=message.name))

    def _texts(self, message: Message, at: str) -> list[TextPart]:
        texts = []
        for index, part in enumerate(message.parts):
            if isinstance(part, TextPart):
                self._report(part, at, index)
                if part.text:
                    texts.append(part)
            elif type(part) in MEDIA:
                self._drop(f"{at}/content/{index}", f"{DIALECT} takes only text from {message.role}")
        return texts

    def _report(self, part: Part, at: str, index: int) -> None:
        """Of the part with this index in the message, or result, at `at`."""
        if part.cache is not None or part.provider_metadata:
            report(part, f"{at}/content/{index}", self._losses)

    def _drop(self, at: str, reason: str) -> None:
        self._losses.append(Loss(pointer=at, kind="dropped", reason=reason))

    # --- user ---------------------------------------------------------------------------------------------------------

    def _user(self, message: Message, position: int, at: str) -> None:
        content: list[UserPartWire] = []
        for index, part in enumerate(message.parts):
            match part:
                case TextPart():
                    self._report(part, at, index)
                    content += [text_wire(part)] if part.text else []
                case ToolResultPart():
                    if (position, index) not in self._answered:
                        content += self._late(part, f"{at}/content/{index}")
                case ImagePart() | FilePart() | AudioPart():
                    self._report(part, at, index)
                    wire = media_wire(part, f"{at}/content/{index}", self._losses)
                    content += [] if wire is None else [wire]
        if content:
            name = message.name if message.role == "user" else None
            self._wires.append(UserWire(content=plain(content), name=name))

    def _late(self, part: ToolResultPart, at: str) -> list[UserPartWire]:
        self._losses.append(
            Loss(pointer=at, kind="approximated", reason="a result that stands apart from its call was sent as text")
        )
        wires = (user_wire(inner, f"{at}/content/{index}", self._losses) for index, inner in enumerate(part.parts))
        return [wire for wire in wires if wire is not None]

    # --- assistant ----------------------------------------------------------------------------------------------------

    def _assistant(self, message: Message, position: int, at: str) -> None:
        kinds = [*map(type, message.parts)]
        texts = self._texts(message, at)
        calls = [part for part in message.parts if type(part) is ToolCallPart] if ToolCallPart in kinds else []
        wire = AssistantWire(name=message.name)
        if ReasoningPart in kinds:
            self._reason(wire, message, at)
        if texts:
            wire.content = assistant_content(texts)
        if calls:
            wire.content = wire.content or None
            wire.tool_calls = [self._call(call) for call in calls]
            for index, part in enumerate(message.parts):
                if type(part) is ToolCallPart:
                    self._report(part, at, index)
        if wire.content is UNSET:
            if wire.reasoning_content:
                self._drop(at, f"{DIALECT} has no turn of reasoning alone")
            return
        self._wires.append(wire)
        if calls:
            self._results(calls, position, at)

    def _reason(self, wire: AssistantWire, message: Message, at: str) -> None:
        """Open reasoning goes back to the servers that want it; what another vendor has signed is theirs alone."""
        texts: list[str] = []
        kept: list[ReasoningPart] = []
        for index, part in enumerate(message.parts):
            if not isinstance(part, ReasoningPart):
                continue
            self._report(part, at, index)
            if any(any(fields.values()) for dialect, fields in part.provider_metadata.items() if dialect != DIALECT):
                if part.text:
                    self._drop(f"{at}/content/{index}", "reasoning another vendor has signed")
                continue
            if part.text:
                texts.append(part.text)
            kept.append(part)
        wire.reasoning_content = "\n\n".join(texts) or None
        if (details := details_of(kept)) is not None:
            wire.reasoning_details = details

    def _call(self, call: ToolCallPart) -> ToolCallWire:
        extra = for_upstream(call.provider_metadata)
        name = self._names.sent(call.name)
        if call.name in self._custom:
            custom = CustomCallWire(name=name, input=custom_input(call.arguments))
            return ToolCallWire(id=fit_id(call.id), type="custom", custom=custom, extra_content=extra)
        function = FunctionCallWire(name=name, arguments=call.arguments or "{}")
        return ToolCallWire(id=fit_id(call.id), function=function, extra_content=extra)

    # --- results ------------------------------------------------------------------------------------------------------

    def _results(self, calls: Sequence[ToolCallPart], position: int, at: str) -> None:
        found = self._results_after(position, {call.id for call in calls})
        media: list[UserPartWire] = []
        for call in calls:
            result, here = found.get(call.id, (None, at))
            if result is None:
                self._losses.append(Loss(pointer=at, kind="invented", reason=f"the call of {call.name} has no result"))
                content: str | list[TextWire] = NO_RESULT
            else:
                content = self._result_content(result, here, media)
            self._wires.append(ToolResultWire(tool_call_id=fit_id(call.id), content=content))
        if media:
            self._wires.append(UserWire(content=media))

    def _results_after(self, position: int, wanted: set[str]) -> dict[str, tuple[ToolResultPart, str]]:
        """The first result of each call, searched up to the next turn that makes calls (ids may come again there)."""
        found: dict[str, tuple[ToolResultPart, str]] = {}
        for later in range(position + 1, len(self._messages)):
            message = self._messages[later]
            kinds = [*map(type, message.parts)]
            if message.role == "assistant" and ToolCallPart in kinds:
                break
            if ToolResultPart not in kinds:
                continue
            for index, part in enumerate(message.parts):
                if not isinstance(part, ToolResultPart) or part.call_id not in wanted:
                    continue
                at = f"/messages/{later}/content/{index}"
                self._answered.add((later, index))
                if part.call_id in found:
                    self._drop(at, "a second result of one call")
                else:
                    found[part.call_id] = (part, at)
        return found

    def _result_content(self, result: ToolResultPart, at: str, media: list[UserPartWire]) -> str | list[TextWire]:
        report(result, at, self._losses)
        texts: list[TextPart] = []
        for index, part in enumerate(result.parts):
            self._report(part, at, index)
            if isinstance(part, TextPart):
                texts += [part] if part.text else []
                continue
            here = f"{at}/content/{index}"
            wire = media_wire(part, here, self._losses)
            if isinstance(wire, TextWire):
                texts.append(TextPart(text=wire.text))
            elif wire is not None:
                media.append(wire)
                self._losses.append(
                    Loss(pointer=here, kind="approximated", reason=f"{DIALECT} shows it in the next user message")
                )
        if result.is_error:
            self._losses.append(Loss(pointer=f"{at}/is_error", kind="approximated", reason="said in the result's text"))
            texts = said_to_fail(texts)
        return text_content(texts, "\n")


def lone_text(parts: Sequence[Part]) -> str | None:
    """What a message says that is one bare text, which every role writes alike."""
    if len(parts) != 1:
        return None
    part = parts[0]
    return part.text if type(part) is TextPart and part.cache is None and not part.provider_metadata else None


def plain(content: list[UserPartWire]) -> str | list[UserPartWire]:
    """A lone unmarked text is sent as a string."""
    first = content[0]
    if len(content) > 1 or not isinstance(first, TextWire):
        return content
    is_marked = first.cache_control is not UNSET or first.prompt_cache_breakpoint is not UNSET
    return content if is_marked else first.text


def said_to_fail(texts: Sequence[TextPart]) -> list[TextPart]:
    first = texts[0].text if texts else ""
    if first[:5].lower() == "error":
        return list(texts)
    return [TextPart(text=f"Error: {first}".rstrip()), *texts[1:]]


def custom_input(arguments: str) -> str:
    """The text a custom tool takes, out of the arguments every dialect carries."""
    try:
        return INPUT.decode(arguments).input
    except msgspec.DecodeError:
        return arguments
