"""A request's JSON as Structs, spelled as the wire spells it. Read strictly: a wrong type is the client's mistake.

Fields nobody uses are not named here. What answers are made of is in `events`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from omniroute.api import ReasoningEffort

DIALECT = "openai-responses"
SISTER = "openai-chat"
"""The same vendor's older dialect; some of its fields are the same here."""
REFUSAL = {SISTER: {"refusal": True}}
"""`provider_metadata` of a text that the model marked as a refusal."""

# --- top level --------------------------------------------------------------------------------------------------------

NonEmpty = Annotated[str, Meta(min_length=1)]
TokenLimit = Annotated[int, Meta(ge=1, lt=2**31)]


class HeadWire(Struct, kw_only=True):
    """What `read_head` needs, with `input` and `tools` left as they are."""

    model: NonEmpty
    input: Raw = Raw(b"")
    tools: Raw = Raw(b"")
    stream: bool | None = None
    max_output_tokens: TokenLimit | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    background: bool | None = None
    conversation: Raw = Raw(b"")
    prompt: Raw = Raw(b"")
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None


class OpeningWire(HeadWire, kw_only=True):
    """The same, with the rest of what a conversation begins with."""

    instructions: Raw = Raw(b"")


class RequestWire(HeadWire, kw_only=True):
    """The fields that have a canonical home. Everything else becomes an extension."""

    instructions: str | None = None
    tool_choice: Raw = Raw(b"")
    parallel_tool_calls: bool | None = None
    reasoning: Raw = Raw(b"")
    text: Raw = Raw(b"")
    user: str | None = None
    safety_identifier: str | None = None


class ReasoningWire(Struct, kw_only=True):
    effort: ReasoningEffort | None = None
    summary: str | None = None
    generate_summary: str | None = None
    """The older name of `summary`."""


class FormatWire(Struct, omit_defaults=True, kw_only=True):
    """`text.format`. `type` is open: some servers take grammars."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


# --- tools ------------------------------------------------------------------------------------------------------------


class ToolWire(Struct, omit_defaults=True, kw_only=True):
    """`type` is open: tools that run at the upstream are kept as they were declared."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None
    tools: Raw | UnsetType = UNSET
    """Of a namespace."""


class ToolChoiceWire(Struct, omit_defaults=True, kw_only=True):
    """`type` is open: it may name a tool that runs at the upstream."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: Literal["auto", "required"] | None = None


class Place(Struct, frozen=True, kw_only=True):
    """Where a tool was declared, when that was not at the top of `tools`."""

    name: str
    """As the client knows it, inside its namespace."""
    namespace: str | None = None
    description: str | None = None
    """The namespace's."""
    additional: bool = False
    """Declared by an `additional_tools` item of the input."""


# --- content parts ----------------------------------------------------------------------------------------------------


class _PartWire(Struct, tag_field="type", omit_defaults=True, kw_only=True):
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class InputTextWire(_PartWire, tag="input_text", kw_only=True):
    text: str


class OutputTextWire(_PartWire, tag="output_text", kw_only=True):
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class PlainTextWire(_PartWire, tag="text", kw_only=True):
    """Not of the dialect, but sent by clients of its sister."""

    text: str


class RefusalWire(_PartWire, tag="refusal", kw_only=True):
    refusal: str


class ImageWire(_PartWire, tag="input_image", kw_only=True):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class FileWire(_PartWire, tag="input_file", kw_only=True):
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None


class InputAudio(Struct, kw_only=True):
    data: str
    format: NonEmpty


class AudioWire(_PartWire, tag="input_audio", kw_only=True):
    input_audio: InputAudio


TextWire: TypeAlias = InputTextWire | OutputTextWire | PlainTextWire | RefusalWire
OutputPartWire: TypeAlias = TextWire | ImageWire | FileWire
"""What a tool's result may hold."""
ContentWire: TypeAlias = OutputPartWire | AudioWire

# --- input items ------------------------------------------------------------------------------------------------------


class _ItemWire(Struct, omit_defaults=True, kw_only=True):
    type: str | None = None
    id: str | None = None
    status: str | None = None


class MessageWire(_ItemWire, kw_only=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Sequence[ContentWire]
    phase: str | None = None


class FunctionCallWire(_ItemWire, kw_only=True):
    call_id: NonEmpty
    name: NonEmpty
    namespace: str | None = None
    arguments: str | None = None


class CustomCallWire(_ItemWire, kw_only=True):
    call_id: NonEmpty
    name: NonEmpty
    namespace: str | None = None
    input: str


class CallOutputWire(_ItemWire, kw_only=True):
    """Of a function and of a custom tool alike."""

    call_id: NonEmpty
    name: str | None = None
    namespace: str | None = None
    output: str | Sequence[OutputPartWire] | None = None


class ReasoningTextWire(Struct, kw_only=True):
    type: str
    text: str


class ReasoningItemWire(_ItemWire, kw_only=True):
    summary: list[ReasoningTextWire] | None = None
    content: list[ReasoningTextWire] | None = None
    encrypted_content: str | None = None


class AdditionalToolsWire(_ItemWire, kw_only=True):
    role: str | None = None
    tools: Raw = Raw(b"")
