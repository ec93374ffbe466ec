"""An upstream's answer to events: one small machine for streams and, fed once, for whole answers.

It absorbs what servers of this dialect do: usage on any chunk or after the end, empty choices, several choices, roles and
tool names that come again, ids that come late or never, tool indexes that are missing or start at 1, the whole call in one
delta, pieces of several calls in turn, surrogate pairs cut in two, `stop` where there were tool calls, reasoning between
`<think>` tags in the text.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from omniroute.api import (
    ChatResponse,
    Event,
    FinishReason,
    Frame,
    ImagePart,
    MetadataDelta,
    PartEnd,
    PartStart,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamFailed,
    UpstreamGarbled,
    Usage,
    UsageUpdate,
    fold,
)
from omniroute_translator_openai_chat.chunks import (
    FINISH,
    NO_FINISH,
    content_texts,
    has_more_than_text,
    is_done,
    read_answer,
    read_frame,
    reasoning_texts,
)
from omniroute_translator_openai_chat.details import Details
from omniroute_translator_openai_chat.errors import upstream_error
from omniroute_translator_openai_chat.extra_content import read_extra
from omniroute_translator_openai_chat.opening import OPEN, Opening
from omniroute_translator_openai_chat.parts_in import REFUSAL
from omniroute_translator_openai_chat.usage import usage_of
from omniroute_translator_openai_chat.wire import (
    Answer,
    AnsweredImage,
    CallDelta,
    Delta,
    ReasoningDetail,
    ToolCallDelta,
)

Spoken: TypeAlias = Literal["reasoning", "text", "refusal"]
EMPTY: dict[Spoken, TextPart | ReasoningPart] = {
    "reasoning": ReasoningPart(text=""),
    "text": TextPart(text=""),
    "refusal": TextPart(text="", provider_metadata=REFUSAL),
}
HIGH_SURROGATES = ("\ud800", "\udbff")


def decode_response(body: bytes, new_id: Callable[[], str]) -> ChatResponse:
    """Raises `UpstreamGarbled`, or the error the body reports."""
    answer = read_answer(body)
    return plain_answer(answer) or folded_answer(answer, len(body), new_id)


def folded_answer(answer: Answer, size: int, new_id: Callable[[], str]) -> ChatResponse:
    """Whatever is in it. `size` in bytes."""
    decoder = ChatDecoder(new_id)
    for choice in answer.choices or ():
        choice.finish_reason = choice.finish_reason or "stop"
        for position, call in enumerate((choice.message and choice.message.tool_calls) or ()):
            call.index = position  # here every entry is a call of its own, whatever its id
    events = decoder.absorb(answer)
    if not any(choice.message for choice in answer.choices or ()):
        raise UpstreamGarbled("the upstream's answer holds no message", why=f"{size} bytes of JSON without one")
    return fold([*events, *decoder.close()])


def plain_answer(answer: Answer) -> ChatResponse | None:
    """One text and nothing else, as nearly all answers are; None for all others. `folded_answer` makes the same of it, with
    four times the instructions."""
    if answer.error is not None or answer.choices is None or len(answer.choices) != 1:
        return None
    choice = answer.choices[0]
    if choice.message is None or choice.delta is not None or has_more_than_text(choice.message):
        return None
    text, finish = choice.message.content, FINISH.get(choice.finish_reason or "stop", "stop")
    if not text or not isinstance(text, str) or finish == "error":
        return None
    if text.lstrip().startswith(OPEN) or not is_whole(text):
        return None
    return ChatResponse(
        id=str(answer.id or ""),
        model=answer.model or "",
        parts=(TextPart(text=text),),
        finish_reason=finish,
        usage=None if answer.usage is None else usage_of(answer.usage),
    )


def is_whole(text: str) -> bool:
    """Without halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Call:
    """A tool call as far as it has come in. `part` is None until id and name are settled."""

    def __init__(self) -> None:
        self.part: int | None = None
        self.id = ""
        self.name = ""
        self.custom = False
        self.extra: object = None
        self.pieces = 0
        self.waiting = ""
        """Arguments that came before the part could start."""
        self.wrote = False


class ChatDecoder:
    """One instance per response: `feed` each frame, then `close`."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._started = False
        self._done = False
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        self._parts = 0
        self._opening = Opening()
        self._speaking: tuple[Spoken, int] | None = None
        """The open part of text or reasoning, and its index."""
        self._details = Details()
        self._calls: list[Call] = []
        self._by_index: dict[tuple[int, int], Call] = {}
        self._by_id: dict[str, Call] = {}
        self._ids: set[str] = set()
        self._halves: dict[int, str] = {}
        """part → the first half of a surrogate pair, held back until the second comes."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        if self._done or not frame.data:
            return ()
        if is_done(frame):
            self._done = True
            return ()
        return self.absorb(read_frame(frame))

    def absorb(self, answer: Answer) -> list[Event]:
        if answer.error is not None:
            raise upstream_error(answer.error)
        events: list[Event] = []
        for choice in answer.choices or ():
            if not self._started:
                self._started = True
                events.append(ResponseStart(id=str(answer.id or ""), model=answer.model or ""))
            delta = choice.delta or choice.message
            if delta is not None:
                self._delta(delta, choice.index or 0, events)
            if choice.finish_reason and self._finish is None:
                self._finish = FINISH.get(choice.finish_reason, "stop")
                if self._finish == "error":
                    raise UpstreamFailed("the upstream ended its answer with an error and did not say which")
        if answer.usage is not None:
            usage = usage_of(answer.usage)
            if usage != self._usage:
                self._usage = usage
                events.append(UsageUpdate(usage=usage))
        return events

    def close(self) -> Sequence[Event]:
        if self._finish is None:
            if not self._started:
                raise StreamBroken("the upstream's stream ended before its first event")
            raise StreamBroken(NO_FINISH)
        events: list[Event] = []
        self._settle_opening(events)
        self._stop_speaking(events)
        for call in self._calls:
            self._end_call(call, events)
        called = any(call.part is not None for call in self._calls)
        finish: FinishReason = "tool_calls" if called and self._finish == "stop" else self._finish
        events.append(ResponseEnd(finish_reason=finish))
        return events

    def _delta(self, delta: Delta, choice: int, events: list[Event]) -> None:
        for text in reasoning_texts(delta):
            self._speak("reasoning", text, events)
        if delta.reasoning_details:
            self._detail(delta.reasoning_details, events)
        for text in content_texts(delta):
            self._text(text, events)
        if delta.refusal or delta.images or delta.tool_calls or delta.function_call:
            self._settle_opening(events)
        if delta.refusal:
            self._speak("refusal", delta.refusal, events)
        for image in delta.images or ():
            self._image(image, events)
        for piece in delta.tool_calls or ():
            self._piece(self._call_of(piece, choice), piece, events)
        if delta.function_call is not None:
            piece = ToolCallDelta(index=-1, function=delta.function_call)  # the form before `tools`: one call, no id
            self._piece(self._call_of(piece, choice), piece, events)

    def _next_part(self) -> int:
        self._parts += 1
        return self._parts - 1

    # --- text and reasoning -------------------------------------------------------------------------------------------

    def _text(self, text: str, events: list[Event]) -> None:
        if self._opening.is_over:
            self._speak("text", text, events)
            return
        for kind, piece in self._opening.feed(text):
            self._speak(kind, piece, events)

    def _settle_opening(self, events: list[Event]) -> None:
        for kind, piece in self._opening.close():
            self._speak(kind, piece, events)

    def _speak(self, kind: Spoken, text: str, events: list[Event]) -> None:
        if not text:
            return
        if self._speaking is None or self._speaking[0] != kind:
            self._begin(kind, events)
        assert self._speaking is not None
        index = self._speaking[1]
        if text := self._mended(index, text):
            events.append(spoken(kind, index, text))

    def _begin(self, kind: Spoken, events: list[Event]) -> None:
        self._stop_speaking(events)
        self._speaking = (kind, self._next_part())
        events.append(PartStart(index=self._speaking[1], part=EMPTY[kind]))

    def _detail(self, details: Sequence[ReasoningDetail], events: list[Event]) -> None:
        """A signature may come without a word."""
        self._details.add(details)
        if self._details.are_signed and (self._speaking is None or self._speaking[0] != "reasoning"):
            self._begin("reasoning", events)

    def _stop_speaking(self, events: list[Event]) -> None:
        if self._speaking is None:
            return
        kind, index = self._speaking
        if kind == "reasoning" and (metadata := self._details.take()):
            events.append(MetadataDelta(index=index, provider_metadata=metadata))
        if self._halves.pop(index, ""):
            events.append(spoken(kind, index, "\ufffd"))
        events.append(PartEnd(index=index))
        self._speaking = None

    def _mended(self, index: int, text: str) -> str:
        """`text` with halves of surrogate pairs joined; a half that stays alone becomes U+FFFD."""
        if index not in self._halves and is_whole(text):
            return text
        text = self._halves.pop(index, "") + text
        if HIGH_SURROGATES[0] <= text[-1] <= HIGH_SURROGATES[1]:
            self._halves[index] = text[-1]
            text = text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _image(self, image: AnsweredImage, events: list[Event]) -> None:
        self._stop_speaking(events)
        index = self._next_part()
        url, detail = image.image_url.url, image.image_url.detail
        head, comma, data = url.partition(",")
        if comma and head[:5].lower() == "data:":
            part = ImagePart(media_type=head[5:].partition(";")[0] or None, data=data, detail=detail)
        else:
            part = ImagePart(url=url, detail=detail)
        events += (PartStart(index=index, part=part), PartEnd(index=index))

    # --- tool calls ---------------------------------------------------------------------------------------------------

    def _call_of(self, piece: ToolCallDelta, choice: int) -> Call:
        """Which call a piece belongs to: by its index, else by its id, else the last one unless it names another."""
        name = next((named.name for named in (piece.function, piece.custom) if named and named.name), None)
        if piece.index is not None:
            call = self._by_index.get((choice, piece.index))
            reused = call is not None and name and piece.id and call.id and piece.id != call.id
            if call is None or reused:
                call = self._by_index[choice, piece.index] = self._new_call()
        elif piece.id:
            call = self._by_id.get(piece.id) or self._new_call()
        else:
            last = self._calls[-1] if self._calls else None
            call = self._new_call() if last is None or (name and last.name) else last
        if piece.id:
            self._by_id[piece.id] = call
        return call

    def _new_call(self) -> Call:
        call = Call()
        self._calls.append(call)
        return call

    def _piece(self, call: Call, piece: ToolCallDelta, events: list[Event]) -> None:
        told = piece.function or piece.custom or CallDelta()
        call.custom = call.custom or piece.custom is not None
        call.id = call.id or piece.id or ""
        call.name = call.name or told.name or ""
        call.pieces += 1
        text = arguments_text(told)
        if piece.extra_content is not None:
            call.extra = piece.extra_content
            if call.part is not None:
                events.append(MetadataDelta(index=call.part, provider_metadata=read_extra(call.extra).metadata))
        if call.part is not None:
            self._arguments(call, call.part, text, events)
            return
        call.waiting += text
        if call.name and (call.id or call.pieces > 1):  # an id that has not come by the second piece never will
            self._start_call(call, events)

    def _start_call(self, call: Call, events: list[Event]) -> int:
        self._stop_speaking(events)
        if not call.id or call.id in self._ids:
            call.id = f"call_{self._new_id()}"
        self._ids.add(call.id)
        call.part = index = self._next_part()
        metadata = read_extra(call.extra).metadata
        part = ToolCallPart(id=call.id, name=call.name, arguments="", provider_metadata=metadata)
        events.append(PartStart(index=index, part=part))
        if call.custom:
            events.append(ToolArgumentsDelta(index=index, text='{"input":"'))
        waiting, call.waiting = call.waiting, ""
        self._arguments(call, index, waiting, events)
        return index

    def _arguments(self, call: Call, index: int, text: str, events: list[Event]) -> None:
        if text and (text := self._mended(index, text)):
            call.wrote = True
            events.append(ToolArgumentsDelta(index=index, text=escaped(text) if call.custom else text))

    def _end_call(self, call: Call, events: list[Event]) -> None:
        if call.part is None and not call.name:
            if call.waiting:
                raise UpstreamGarbled("the upstream sent arguments of a tool call and never the tool's name")
            return
        index = self._start_call(call, events) if call.part is None else call.part
        if self._halves.pop(index, ""):
            events.append(ToolArgumentsDelta(index=index, text="\ufffd"))
        if call.custom:
            events.append(ToolArgumentsDelta(index=index, text='"}'))
        elif not call.wrote:
            events.append(ToolArgumentsDelta(index=index, text="{}"))
        events.append(PartEnd(index=index))


def spoken(kind: Spoken, index: int, text: str) -> TextDelta | ReasoningDelta:
    return ReasoningDelta(index=index, text=text) if kind == "reasoning" else TextDelta(index=index, text=text)


def arguments_text(told: CallDelta) -> str:
    """Some servers send arguments as an object; a custom tool's input is free text."""
    if isinstance(told.arguments, dict):
        return msgspec.json.encode(told.arguments).decode()
    return told.arguments or told.input or ""


def escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
