"""Canonical messages to `input` items: valid for the service whatever the history looks like.

Every call is followed by one output of its `call_id`. Histories a client has cut are mended: a call without result gets one
that says so, a result that stands apart from its call becomes the user's words. (Where an answer is continued that the upstream
stored, calls and results may stand there, and nothing is mended.) Reasoning goes back only to where its `encrypted_content` came
from, and never last in a turn, where the service refuses it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Loss,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omniroute_translator_openai_responses.items_in import wrapped
from omniroute_translator_openai_responses.names import fit_id
from omniroute_translator_openai_responses.parts_out import content_wire, is_refusal, own, own_item, report
from omniroute_translator_openai_responses.tools_out import ToolsOut
from omniroute_translator_openai_responses.wire import DIALECT, InputTextWire

NO_RESULT = "(no result)"
Place = tuple[int, int]
"""Message and part, counted from 0."""


class _Input(msgspec.Struct):
    input: str


INPUT = msgspec.json.Decoder(_Input)
OBJECT = msgspec.json.Decoder(dict[str, Raw])


class ItemsOut:
    """One request's input. `is_own`: the request came in this dialect."""

    def __init__(self, request: ChatRequest, tools: ToolsOut, losses: list[Loss], *, is_own: bool) -> None:
        self._messages = request.messages
        self._is_threaded = request.previous_response_id is not None
        self._tools = tools
        self._losses = losses
        self._is_own = is_own
        self._answered: set[Place] = set()
        """Results that stand behind their call."""

    def encode(self) -> tuple[str | None, list[Any]]:
        """`instructions` and `input`."""
        leading = self._leading()
        items = [item for position in range(leading, len(self._messages)) for item in self._message(position)]
        if not items and not self._is_threaded:
            return None, [item for position in range(leading) for item in self._message(position)]
        texts = [text for position in range(leading) for text in self._system_texts(position)]
        return "\n\n".join(texts) or None, items

    def _leading(self) -> int:
        """How many messages become `instructions`: all the system text at the beginning, or just the client's own."""
        if self._is_own:
            match self._messages:
                case (Message(role="system", parts=(TextPart() as part,)), *_):
                    return int(not own(part))
            return 0
        roles = [message.role for message in self._messages]
        return next((position for position, role in enumerate(roles) if role != "system"), len(roles))

    def _system_texts(self, position: int) -> Iterator[str]:
        for index, part in enumerate(self._messages[position].parts):
            at = f"/messages/{position}/content/{index}"
            report(part, at, self._losses)
            if isinstance(part, TextPart) and part.text:
                yield part.text
            elif not isinstance(part, TextPart):
                self._drop(at, "instructions are text")

    def _message(self, position: int) -> Iterator[Any]:
        message = self._messages[position]
        at = f"/messages/{position}"
        if message.name is not None:
            self._drop(f"{at}/name", f"{DIALECT} has no names of speakers")
        if message.role == "assistant":
            yield from self._assistant(message, position, at)
        else:
            yield from self._said(message, position, at)

    def _drop(self, at: str, reason: str) -> None:
        self._losses.append(Loss(pointer=at, kind="dropped", reason=reason))

    def _approximate(self, at: str, reason: str) -> None:
        self._losses.append(Loss(pointer=at, kind="approximated", reason=reason))

    # --- system and user ----------------------------------------------------------------------------------------------

    def _said(self, message: Message, position: int, at: str) -> Iterator[Any]:
        role = "user" if message.role == "tool" else message.role
        content: list[Any] = []
        for index, part in enumerate(message.parts):
            here = f"{at}/content/{index}"
            match part:
                case ToolResultPart():
                    if (position, index) in self._answered:
                        continue
                    if self._is_threaded:
                        is_custom = self._tools.is_custom(part.name or "")
                        yield self._output(part, fit_id(part.call_id), here, is_custom=is_custom)
                    else:
                        content += self._late(part, here)
                case TextPart() | ImagePart() | FilePart() | AudioPart():
                    if (item := own_item(part)) is not None:
                        yield from spoken(role, content)
                        content = []
                        yield item
                        continue
                    report(part, here, self._losses)
                    if (wire := content_wire(part, here, self._losses)) is not None:
                        content.append(wire)
                case _:
                    self._drop(here, f"{DIALECT} takes it from the assistant only")
        yield from spoken(role, content)

    def _late(self, part: ToolResultPart, at: str) -> list[Any]:
        self._approximate(at, "a result that stands apart from its call was sent as text")
        wires = (content_wire(inner, f"{at}/content/{index}", self._losses) for index, inner in enumerate(part.parts))
        return [wire for wire in wires if wire is not None]

    # --- assistant ----------------------------------------------------------------------------------------------------

    def _assistant(self, message: Message, position: int, at: str) -> Iterator[Any]:
        items: list[tuple[Any, str]] = []
        ids = call_ids(message)
        for index, part in enumerate(message.parts):
            here = f"{at}/content/{index}"
            if (item := self._turn_item(part, here, ids.get(index, ""))) is not None:
                items.append((item, here))
        while items and is_reasoning(items[-1][0]):
            self._drop(items.pop()[1], "the service refuses reasoning that nothing follows")
        yield from (item for item, _ in items)
        calls = [(part, ids[index]) for index, part in enumerate(message.parts) if isinstance(part, ToolCallPart)]
        if calls:
            yield from self._results(calls, position, at)

    def _turn_item(self, part: Any, at: str, call_id: str) -> Any:
        if (item := own_item(part)) is not None:
            return item
        if isinstance(part, ReasoningPart):
            return self._reasoning(part, at)
        report(part, at, self._losses)
        match part:
            case ToolCallPart():
                return self._call(part, call_id, at)
            case TextPart() if part.text:
                return text_item(part)
            case ImagePart() | FilePart() | AudioPart():
                self._drop(at, f"{DIALECT} takes only text from the assistant")
        return None

    def _reasoning(self, part: ReasoningPart, at: str) -> Any:
        mine = own(part)
        if not mine.get("encrypted_content"):
            report(part, at, self._losses)
            if part.text:
                self._drop(at, "reasoning goes back only to the service that made and encrypted it")
            return None
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        bound = {name: mine[name] for name in ("id", "encrypted_content") if name in mine}
        return {"type": "reasoning", **bound, "summary": summary}

    def _call(self, call: ToolCallPart, call_id: str, at: str) -> dict[str, Any]:
        named = {"call_id": call_id, **self._tools.reference(call)}
        if self._tools.is_custom(call.name):
            return {"type": "custom_tool_call", **named, "input": custom_input(call.arguments)}
        return {"type": "function_call", **named, "arguments": self._arguments(call.arguments, f"{at}/arguments")}

    def _arguments(self, arguments: str, at: str) -> str:
        """The model's own text where it is a JSON object, which is all the service takes; an object around it elsewhere."""
        if arguments.strip() in ("", "null"):
            return "{}"
        try:
            OBJECT.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            self._approximate(at, "the arguments are no JSON object and were wrapped in one")
            return wrapped(arguments)
        return arguments

    # --- results ------------------------------------------------------------------------------------------------------

    def _results(self, calls: Sequence[tuple[ToolCallPart, str]], position: int, at: str) -> Iterator[Any]:
        found = self._results_after(position, [call.id for call, _ in calls])
        for call, call_id in calls:
            is_custom = self._tools.is_custom(call.name)
            if found[call.id]:
                result, here = found[call.id].popleft()
                yield self._output(result, call_id, here, is_custom=is_custom)
            else:
                reason = f"the call of {call.name} has no result"
                self._losses.append(Loss(pointer=at, kind="invented", reason=reason))
                missing = ToolResultPart(call_id=call.id, parts=(TextPart(text=NO_RESULT),))
                yield self._output(missing, call_id, at, is_custom=is_custom)
        for _, here in chain.from_iterable(found.values()):
            self._drop(here, "a second result of one call")

    def _results_after(self, position: int, wanted: Sequence[str]) -> dict[str, deque[tuple[ToolResultPart, str]]]:
        """The results of each call, searched up to the next turn that makes calls (ids may come again there)."""
        found: dict[str, deque[tuple[ToolResultPart, str]]] = {call_id: deque() for call_id in wanted}
        for later in range(position + 1, len(self._messages)):
            message = self._messages[later]
            if message.role == "assistant" and any(isinstance(part, ToolCallPart) for part in message.parts):
                break
            for index, part in enumerate(message.parts):
                if isinstance(part, ToolResultPart) and part.call_id in found:
                    self._answered.add((later, index))
                    found[part.call_id].append((part, f"/messages/{later}/content/{index}"))
        return found

    def _output(self, result: ToolResultPart, call_id: str, at: str, *, is_custom: bool) -> dict[str, Any]:
        report(result, at, self._losses)
        kind = "custom_tool_call_output" if is_custom else "function_call_output"
        return {"type": kind, "call_id": call_id, "output": self._result_content(result, at)}

    def _result_content(self, result: ToolResultPart, at: str) -> str | list[Any]:
        content: list[Any] = []
        for index, part in enumerate(result.parts):
            here = f"{at}/content/{index}"
            report(part, here, self._losses)
            if (wire := content_wire(part, here, self._losses)) is not None:
                content.append(wire)
        if result.is_error:
            self._approximate(f"{at}/is_error", "said in the result's text")
            content = said_to_fail(content)
        match content:
            case []:
                return ""
            case [InputTextWire(text=text, prompt_cache_breakpoint=msgspec.UNSET)]:
                return text
            case _:
                return content


def call_ids(message: Message) -> dict[int, str]:
    """Part → the id its call is sent by; calls of one turn that share an id are numbered."""
    ids: dict[int, str] = {}
    for index, part in enumerate(message.parts):
        if isinstance(part, ToolCallPart):
            sent, count = fit_id(part.id), 2
            while sent in ids.values():
                sent, count = fit_id(f"{part.id}_{count}"), count + 1
            ids[index] = sent
    return ids


def spoken(role: str, content: list[Any]) -> Iterator[dict[str, Any]]:
    if content:
        yield {"type": "message", "role": role, "content": content}


def text_item(part: TextPart) -> dict[str, Any]:
    """A message of its own for each text: as a string it needs no id, which a part of type `output_text` would."""
    content: str | list[Any] = part.text
    if is_refusal(part):
        content = [{"type": "refusal", "refusal": part.text}]
    phase = {"phase": own(part)["phase"]} if "phase" in own(part) else {}
    return {"type": "message", "role": "assistant", "content": content, **phase}


def is_reasoning(item: Any) -> bool:
    return not isinstance(item, Raw) and item["type"] == "reasoning"


def said_to_fail(content: list[Any]) -> list[Any]:
    first = content[0].text if content and isinstance(content[0], InputTextWire) else ""
    if first[:5].lower() == "error":
        return content
    rest = content[1:] if first else content
    return [InputTextWire(text=f"Error: {first}".rstrip()), *rest]


def custom_input(arguments: str) -> str:
    """The text a custom tool takes, out of the arguments every dialect carries."""
    try:
        return INPUT.decode(arguments).input
    except msgspec.DecodeError:
        return arguments
