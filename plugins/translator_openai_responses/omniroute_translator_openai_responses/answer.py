"""What a streamed answer and a whole one have in common on the client's side: the response around it, and its items."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    ChatRequest,
    FilePart,
    FinishReason,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    Usage,
    carry,
    short_digest,
)
from omniroute_translator_openai_responses.items_out import custom_input
from omniroute_translator_openai_responses.names import fit_id
from omniroute_translator_openai_responses.parts_out import is_refusal, own, own_item
from omniroute_translator_openai_responses.tools_out import ToolsOut
from omniroute_translator_openai_responses.usage import usage_json
from omniroute_translator_openai_responses.wire import DIALECT, SISTER, FormatWire

Identify: TypeAlias = Callable[[], str]
Metadata: TypeAlias = dict[str, dict[str, Any]]
json = msgspec.json.encode
OBJECT = msgspec.json.Decoder(dict[str, Raw])
INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
"""`incomplete_details.reason`; any other end is a complete one."""
ECHOED = ("metadata", "prompt_cache_key", "safety_identifier", "store", "truncation")


def client_tools(request: ChatRequest) -> ToolsOut:
    """The tools by the names this client gave them."""
    return ToolsOut(request, str, is_own=True)


def answer_id(upstream: str, new_id: Identify) -> str:
    """An answer's id as the dialect has them; made of the upstream's, so that the two can be found together."""
    return upstream if upstream.startswith("resp_") else f"resp_{upstream or new_id()}"


class Envelope:
    """The response object of one answer. Most of it says again what the client asked for, and is made once."""

    def __init__(self, request: ChatRequest, tools: ToolsOut, response_id: str, model: str, created_s: int) -> None:
        declared, _ = tools.declared([])
        choice = request.tool_choice
        asked = request.extensions.get(DIALECT, {})
        fields = {
            "id": response_id,
            "object": "response",
            "created_at": created_s,
            "model": model or request.model,
            "background": False,
            "instructions": None,
            "max_output_tokens": request.max_output_tokens,
            "parallel_tool_calls": choice is None or choice.parallel is not False,
            "previous_response_id": request.previous_response_id,
            "reasoning": {
                "effort": request.reasoning and request.reasoning.effort,
                "summary": request.reasoning and request.reasoning.summary,
            },
            "temperature": request.sampling.temperature,
            "text": {"format": format_json(request)},
            "tool_choice": asked.get("tool_choice", tools.choice() or "auto"),
            "tools": declared,
            "top_p": request.sampling.top_p,
            "truncation": "disabled",
            "metadata": {},
            "user": request.user,
            **{name: asked[name] for name in ECHOED if name in asked},
        }
        self._head = json(fields)[:-1]

    def json(self, status: str, output: Sequence[bytes] = (), usage: Usage | None = None, **fields: Any) -> bytes:
        """`fields` are `error` and `incomplete_details`, where there is one."""
        rest = {"error": None, "incomplete_details": None, **fields, "usage": usage and usage_json(usage)}
        return b'%b,"status":%b,"output":[%b],%b' % (self._head, json(status), b",".join(output), json(rest)[1:])

    def ended(self, reason: FinishReason, output: Sequence[bytes], usage: Usage | None) -> tuple[str, bytes]:
        """Status and object of a finished response."""
        if (why := INCOMPLETE.get(reason)) is not None:
            return "incomplete", self.json("incomplete", output, usage, incomplete_details={"reason": why})
        return "completed", self.json("completed", output, usage)


def format_json(request: ChatRequest) -> Any:
    wanted = request.response_format
    if wanted is None:
        return {"type": "text"}
    if wanted.kind == "json_object" or wanted.schema is None:
        return {"type": "json_object"}
    return FormatWire(
        type="json_schema",
        name=wanted.name or "response",
        description=wanted.description,
        schema=wanted.schema,
        strict=wanted.strict,
    )


# --- items ------------------------------------------------------------------------------------------------------------


class Form:
    """Writes the items of one answer, in the form in which this client knows its tools."""

    def __init__(self, tools: ToolsOut, response_id: str) -> None:
        self._tools = tools
        self._response_id = response_id
        self.count = 0
        """Items so far; the next one's `output_index`."""

    def new_id(self, prefix: str) -> str:
        """An id for the next item: the same for the same answer, so that a stream and a whole answer agree."""
        self.count += 1
        return f"{prefix}_{short_digest(f'{self._response_id} {self.count}', 40)}"

    def items(self, part: Part) -> list[Any]:
        """The items of a whole part, in order; none for what says nothing."""
        match part:
            case ToolCallPart():
                carrier = self.carrier(part, foreign(part.provider_metadata))
                return [*carrier, self.call(part, self.new_id(self.call_prefix(part)))]
            case ReasoningPart():
                return [self.reasoning(part, self.new_id("rs"))] if part.text or part.provider_metadata else []
            case TextPart() if own_item(part) is None:
                return [self.text(part, self.new_id("msg"))] if part.text else []
            case _:
                return [self.other(part)]

    def is_custom(self, part: ToolCallPart) -> bool:
        return self._tools.is_custom(part.name)

    def call_prefix(self, part: ToolCallPart) -> str:
        return "ctc" if self.is_custom(part) else "fc"

    def call(self, part: ToolCallPart, item_id: str) -> dict[str, Any]:
        status = "incomplete" if is_cut(part.arguments) else "completed"
        named = {"id": item_id, "status": status, "call_id": fit_id(part.id), **self._tools.reference(part)}
        if self.is_custom(part):
            return {"type": "custom_tool_call", **named, "input": custom_input(part.arguments)}
        return {"type": "function_call", **named, "arguments": part.arguments or "{}"}

    def carrier(self, part: ToolCallPart, metadata: Metadata) -> list[dict[str, Any]]:
        """A call has no room for what another vendor wants back with it, so an empty reasoning item has it."""
        if not metadata:
            return []
        sealed = carry({**metadata, DIALECT: {"call_id": fit_id(part.id)}})
        return [{"type": "reasoning", "id": self.new_id("rs"), "summary": [], "encrypted_content": sealed}]

    @staticmethod
    def reasoning(part: ReasoningPart, item_id: str) -> dict[str, Any]:
        """Reasoning of another dialect always comes sealed, if with nothing: so it is known when it comes back."""
        sealed = own(part).get("encrypted_content") or carry(foreign(part.provider_metadata))
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": sealed}

    @staticmethod
    def text(part: TextPart, item_id: str) -> dict[str, Any]:
        content = text_content(part)
        phase = {"phase": own(part)["phase"]} if "phase" in own(part) else {}
        return {
            "type": "message",
            "id": item_id,
            "role": "assistant",
            "status": "completed",
            "content": [content],
            **phase,
        }

    def other(self, part: Part) -> Any:
        """What runs at an upstream of this dialect, as it came; a picture; a line of text for the rest."""
        if (item := own_item(part)) is not None:
            self.count += 1
            return item
        if isinstance(part, ImagePart) and part.data:
            item_id = self.new_id("ig")
            return {"type": "image_generation_call", "id": item_id, "status": "completed", "result": part.data}
        return self.text(TextPart(text=shown(part)), self.new_id("msg"))


def text_content(part: TextPart) -> dict[str, Any]:
    if is_refusal(part):
        return {"type": "refusal", "refusal": part.text}
    annotations = own(part).get("annotations", [])
    return {"type": "output_text", "text": part.text, "annotations": annotations, "logprobs": []}


def foreign(metadata: Metadata) -> Metadata:
    """What other dialects attached, for the client to bring back."""
    kept = {dialect: fields for dialect, fields in metadata.items() if dialect != DIALECT}
    return {dialect: fields for dialect, fields in kept.items() if dialect != SISTER or fields.keys() - {"refusal"}}


def is_cut(arguments: str) -> bool:
    """Whether the model was stopped within its JSON."""
    try:
        OBJECT.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return arguments.lstrip().startswith("{")
    return False


def shown(part: Part) -> str:
    match part:
        case ImagePart(url=str(url)):
            return f"![image]({url})"
        case FilePart(url=str(url)):
            return f"[file]({url})"
        case AudioPart(format=form):
            return f"[audio, {form}]"
        case _:
            return "[file]"
