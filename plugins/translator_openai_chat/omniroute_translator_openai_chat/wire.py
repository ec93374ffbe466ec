"""The dialect's JSON as Structs, spelled as the wire spells it: one set of types for reading and for writing.

Requests are read strictly (a wrong type is the client's mistake and is named), answers leniently: servers of this dialect
leave fields out, send null for them, or add their own. Fields nobody uses are not named here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from omniroute.api import ReasoningEffort

DIALECT = "openai-chat"

# --- request: top level -----------------------------------------------------------------------------------------------

NonEmpty = Annotated[str, Meta(min_length=1)]
TokenLimit = Annotated[int, Meta(ge=1, lt=2**31)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


NOTHING = Raw(b"")
"""In the place of a field that is not there."""


class HeadWire(Struct, kw_only=True):
    """What `read_head` needs, with `messages` and `tools` left as they are."""

    model: NonEmpty
    messages: Raw = NOTHING
    tools: Raw = NOTHING
    functions: Raw = NOTHING
    stream: bool | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Seed | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    prompt_cache_key: str | None = None


class StreamOptionsWire(Struct):
    include_usage: bool | None = None


class RequestWire(HeadWire, kw_only=True):
    """The fields that have a canonical home. Everything else becomes an extension."""

    stop: str | list[str] | None = None
    stream_options: StreamOptionsWire | None = None
    user: str | None = None
    safety_identifier: str | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    tool_choice: Raw = NOTHING
    function_call: Raw = NOTHING
    response_format: Raw = NOTHING


# --- request: tools ---------------------------------------------------------------------------------------------------


class FunctionWire(Struct, omit_defaults=True, kw_only=True):
    name: NonEmpty
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class CustomWire(Struct, omit_defaults=True, kw_only=True):
    name: NonEmpty
    description: str | None = None
    format: Raw | UnsetType = UNSET


class ToolWire(Struct, kw_only=True):
    """`type` is open: servers add tools of their own, which are kept as they were declared."""

    type: str
    function: FunctionWire | UnsetType = UNSET
    custom: CustomWire | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET


class NamedWire(Struct):
    name: NonEmpty


class AllowedToolsWire(Struct):
    mode: Literal["auto", "required"]


class ToolChoiceWire(Struct, kw_only=True):
    type: Literal["function", "custom", "allowed_tools"]
    function: NamedWire | UnsetType = UNSET
    custom: NamedWire | UnsetType = UNSET
    allowed_tools: AllowedToolsWire | UnsetType = UNSET


class JsonSchemaWire(Struct, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class ResponseFormatWire(Struct, kw_only=True):
    """`type` is open: some servers take grammars."""

    type: str
    json_schema: JsonSchemaWire | UnsetType = UNSET


# --- request: content parts -------------------------------------------------------------------------------------------


class _PartWire(Struct, tag_field="type", kw_only=True):
    cache_control: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class TextWire(_PartWire, tag="text", kw_only=True):
    text: str


class RefusalWire(_PartWire, tag="refusal", kw_only=True):
    refusal: str


class ImageUrl(Struct, omit_defaults=True, kw_only=True):
    url: str
    detail: str | None = None


class ImageWire(_PartWire, tag="image_url", kw_only=True):
    image_url: ImageUrl | str


class InputAudio(Struct, kw_only=True):
    data: str
    format: NonEmpty


class AudioWire(_PartWire, tag="input_audio", kw_only=True):
    input_audio: InputAudio


class FileData(Struct, omit_defaults=True, kw_only=True):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FileWire(_PartWire, tag="file", kw_only=True):
    file: FileData


UserPartWire: TypeAlias = TextWire | ImageWire | AudioWire | FileWire
AssistantPartWire: TypeAlias = TextWire | RefusalWire
ToolPartWire: TypeAlias = TextWire | ImageWire | FileWire

# --- request: messages ------------------------------------------------------------------------------------------------


class FunctionCallWire(Struct, kw_only=True):
    name: NonEmpty
    arguments: str | None = None


class CustomCallWire(Struct, kw_only=True):
    name: NonEmpty
    input: str


class ToolCallWire(Struct, kw_only=True):
    id: NonEmpty
    type: Literal["function", "custom"] = "function"
    function: FunctionCallWire | UnsetType = UNSET
    custom: CustomCallWire | UnsetType = UNSET
    extra_content: Any = UNSET


class _MessageWire(Struct, tag_field="role", omit_defaults=True, kw_only=True):
    name: str | None = None


class SystemWire(_MessageWire, tag="system", kw_only=True):
    content: str | Sequence[TextWire]


class DeveloperWire(_MessageWire, tag="developer", kw_only=True):
    content: str | Sequence[TextWire]


class UserWire(_MessageWire, tag="user", kw_only=True):
    content: str | Sequence[UserPartWire]


class AssistantWire(_MessageWire, tag="assistant", kw_only=True):
    content: str | Sequence[AssistantPartWire] | UnsetType | None = UNSET
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Raw | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | None = None
    function_call: FunctionCallWire | None = None


class ToolResultWire(_MessageWire, tag="tool", kw_only=True):
    tool_call_id: NonEmpty
    content: str | Sequence[ToolPartWire] | None = None


class FunctionResultWire(_MessageWire, tag="function", kw_only=True):
    """The form before `tools`; paired with its call by name."""

    content: str | Sequence[ToolPartWire] | None = None


MessageWire: TypeAlias = SystemWire | DeveloperWire | UserWire | AssistantWire | ToolResultWire | FunctionResultWire

# --- answers ----------------------------------------------------------------------------------------------------------

Number: TypeAlias = int | float | None


class PromptDetailsWire(Struct):
    cached_tokens: Number = None
    cache_write_tokens: Number = None
    cache_creation_tokens: Number = None


class CompletionDetailsWire(Struct):
    reasoning_tokens: Number = None


class UsageWire(Struct):
    prompt_tokens: Number = None
    completion_tokens: Number = None
    prompt_tokens_details: PromptDetailsWire | None = None
    prompt_cache_hit_tokens: Number = None
    """Some vendors' name for cached ones, in the place of the details or beside them."""
    completion_tokens_details: CompletionDetailsWire | None = None


class CallDelta(Struct):
    """`function` and `custom` of a call, whole or a piece of it."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    input: str | None = None


class ToolCallDelta(Struct):
    index: int | None = None
    id: str | None = None
    function: CallDelta | None = None
    custom: CallDelta | None = None
    extra_content: Any = None


class SpokenPart(Struct):
    """A member of a content list: `text`, or `thinking` with texts of its own."""

    type: str = "text"
    text: str | None = None
    thinking: "str | list[SpokenPart] | None" = None


class ReasoningDetail(Struct, omit_defaults=True):
    type: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None


class AnsweredImage(Struct):
    image_url: ImageUrl


class Delta(Struct):
    """A stream's `delta` and a whole answer's `message` have the same fields."""

    role: str | None = None
    content: str | list[SpokenPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: CallDelta | None = None
    images: list[AnsweredImage] | None = None


class Choice(Struct):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class Problem(Struct):
    """Nothing is certain about the types: a report of a failure must not fail on them."""

    message: Any = None
    type: Any = None
    code: Any = None
    param: Any = None


class Answer(Struct):
    """A chunk of a stream, or a whole answer."""

    id: str | int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsageWire | None = None
    error: Problem | str | None = None
