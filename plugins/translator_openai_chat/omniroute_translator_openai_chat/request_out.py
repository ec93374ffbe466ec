"""A canonical request to a body the service takes, with what did not fit."""

import re
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    InvalidRequest,
    Loss,
    Outgoing,
    Reasoning,
    ReasoningEffort,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCallPart,
    ToolNames,
    TranslationRefused,
    extension_losses,
    short_digest,
)
from omniroute_translator_openai_chat.messages_out import MessagesOut
from omniroute_translator_openai_chat.names import RULE, fit_name
from omniroute_translator_openai_chat.parts_out import marks, own, report
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    FunctionWire,
    JsonSchemaWire,
    NamedWire,
    ResponseFormatWire,
    ToolChoiceWire,
    ToolWire,
)

MAX_STOPS = 4
USER_LENGTH = 64
EFFORTS: tuple[tuple[int, ReasoningEffort], ...] = ((512, "minimal"), (1024, "low"), (8192, "medium"))
"""Thinking budget up to → effort; anything above is high."""
RENAMED_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
SAMPLED = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
values_of = attrgetter(*SAMPLED)
FIXED_SAMPLING = ("temperature", "top_p")
"""Fields that the families which reason take at 1 only."""
WOVEN_IN = frozenset({"max_completion_tokens", "tool_choice"})
"""Extensions that say how a canonical field is to be sent."""
SISTER = "openai-responses"
SHARED = {
    "metadata": "metadata",
    "safety_identifier": "safety_identifier",
    "service_tier": "service_tier",
    "store": "store",
    "text/verbosity": "verbosity",
}
"""Extensions of the same vendor's newer dialect that mean the same here → their names here. Its clients send a
`prompt_cache_key` with everything, which many a server of this dialect refuses: that one is not taken over."""
FALSE = Raw(b"false")
NO_NAMES = ToolNames((), RULE)
NO_CUSTOM: frozenset[str] = frozenset()
FIELDS = msgspec.json.Decoder(dict[str, Raw])
OBJECT = Raw(b'"object"')
CUSTOM_AS_FUNCTION = Raw(b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}')


def encode_request(request: ChatRequest) -> Outgoing:
    extensions, losses = extensions_of(request) if request.extensions else ({}, [])
    called = [part.name for message in request.messages for part in message.parts if type(part) is ToolCallPart]
    names, custom = names_of(request.tools, called) if called or request.tools else (NO_NAMES, NO_CUSTOM)
    is_renamed = RENAMED_LIMIT.match(request.model) is not None
    return RequestOut(request, extensions, losses, names, custom, is_renamed).encode()


class RequestOut(msgspec.Struct):
    _request: ChatRequest
    _extensions: dict[str, Any]
    """Fields that go along as they are."""
    _losses: list[Loss]
    _names: ToolNames
    _custom: frozenset[str]
    """Names of tools sent as custom ones."""
    _is_renamed: bool
    """The limit on output has its newer name."""

    def encode(self) -> Outgoing:
        request = self._request
        if request.previous_response_id is not None:
            raise TranslationRefused(
                f"{DIALECT} cannot continue a stored answer",
                fix="send the whole conversation, or ask a model whose upstream keeps threads",
                param="previous_response_id",
            )
        messages = MessagesOut(request.messages, self._names, self._custom, self._losses).encode()
        if not messages:
            raise InvalidRequest("/messages: no message holds anything that could be sent", param="/messages")
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        if self._extensions:
            body.update({name: value for name, value in self._extensions.items() if name not in WOVEN_IN})
        self._limit(body, request.sampling)
        if request.tools:
            body.update(self._tools())
        if request.response_format is not None:
            body.update(self._format(request.response_format))
        if request.reasoning is not None:
            body.update(self._effort(request.reasoning))
        if request.user:
            body.update(self._user(request.user))
        if request.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}  # accounting needs it; the client's own wish counts later
        return Outgoing(body=msgspec.json.encode(body), losses=tuple(self._losses), tool_names=self._names.changed)

    def _lose(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="dropped", reason=reason))

    def _approximate(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="approximated", reason=reason))

    # --- sampling and limits ------------------------------------------------------------------------------------------

    def _limit(self, body: dict[str, Any], sampling: Sampling) -> None:
        if self._request.max_output_tokens is not None:
            body[self._limit_name()] = self._request.max_output_tokens
        for name, value in zip(SAMPLED, values_of(sampling), strict=True):
            if value is None:
                continue
            if self._is_renamed and value != 1 and name in FIXED_SAMPLING:
                self._lose(f"/{name}", f"{self._request.model} takes no value but 1")
            else:
                body[name] = value
        if sampling.stop:
            body["stop"] = sampling.stop[:MAX_STOPS]
        if sampling.top_k is not None:
            self._lose("/top_k", f"{DIALECT} has no top_k")
        for position in range(MAX_STOPS, len(sampling.stop)):
            self._lose(f"/stop/{position}", f"{DIALECT} takes {MAX_STOPS} stop sequences")

    def _limit_name(self) -> str:
        """The dialect has two names for the limit on output.

        `max_tokens` is the one every server knows. The families that reason (o1, o3, …, gpt-5 and later) refuse it and want
        `max_completion_tokens`, which older servers refuse in turn. Which name the client used is its SDK's habit and says
        nothing about the upstream, so it is not remembered; a provider that knows better puts `max_completion_tokens` into
        the request's extensions for this dialect.
        """
        is_stated = "max_completion_tokens" in self._extensions
        return "max_completion_tokens" if is_stated or self._is_renamed else "max_tokens"

    def _user(self, user: str) -> dict[str, str]:
        written = self._extensions.get("safety_identifier")
        if written == Raw(msgspec.json.encode(user)):
            return {}
        if len(user) <= USER_LENGTH:
            return {"user": user}
        self._approximate("/user", f"{DIALECT} takes {USER_LENGTH} characters; a hash of it was sent")
        return {"user": short_digest(user, USER_LENGTH)}

    def _effort(self, reasoning: Reasoning) -> dict[str, str]:
        if reasoning.summary is not None:
            self._lose("/reasoning/summary", f"{DIALECT} has no say in how reasoning is shown")
        effort = reasoning.effort
        if reasoning.budget_tokens is not None:
            self._approximate("/reasoning/budget_tokens", f"{DIALECT} takes an effort, not a budget")
            effort = effort or effort_of(reasoning.budget_tokens)
        is_own = DIALECT in self._request.extensions
        if effort == "none" and not is_own:  # only few models know the word, the others answer 400
            self._approximate("/reasoning/effort", "left out: the model decides")
            return {}
        return {} if effort is None else {"reasoning_effort": effort}

    def _format(self, wanted: ResponseFormat) -> dict[str, Any]:
        if wanted.kind == "json_object" or wanted.schema is None:
            return {"response_format": ResponseFormatWire(type="json_object")}
        name = fit_name(wanted.name or "response")
        if wanted.name and name != wanted.name:
            self._approximate("/response_format/name", f"{DIALECT} takes letters, digits, _ and -, up to 64")
        schema = JsonSchemaWire(name=name, description=wanted.description, schema=wanted.schema, strict=wanted.strict)
        return {"response_format": ResponseFormatWire(type="json_schema", json_schema=schema)}

    # --- tools --------------------------------------------------------------------------------------------------------

    def _tools(self) -> dict[str, Any]:
        tools = [wire for position, tool in enumerate(self._request.tools) if (wire := self._tool(tool, position))]
        if not tools:
            return {}  # the service refuses an empty list, and a choice without tools
        return {"tools": tools, **self._choice()}

    def _tool(self, tool: Tool, position: int) -> ToolWire | Raw | None:
        at = f"/tools/{position}"
        declaration: Raw | None = own(tool).get("declaration")
        if declaration is not None and (tool.kind == "builtin" or tool.name in self._custom):
            return declaration
        if tool.kind == "builtin":
            self._lose(at, f"{DIALECT} has no tool like {tool.name}")
            return None
        report(tool, at, self._losses)
        parameters = tool.parameters
        if tool.kind == "custom":
            self._approximate(at, "a free-form tool is sent as a function with one text")
            parameters = CUSTOM_AS_FUNCTION
        function = FunctionWire(name=self._names.sent(tool.name), description=tool.description, strict=tool.strict)
        if parameters is not None:
            function.parameters = with_properties(parameters)
        return ToolWire(type="function", function=function, **marks(tool))

    def _choice(self) -> dict[str, Any]:
        choice = self._request.tool_choice
        if choice is None:
            return {}
        fields: dict[str, Any] = {} if choice.parallel is None else {"parallel_tool_calls": choice.parallel}
        if "tool_choice" in self._extensions:
            return {"tool_choice": self._extensions["tool_choice"], **fields}
        if choice.mode != "tool":
            return {"tool_choice": choice.mode, **fields}
        named = next((t for t in self._request.tools if t.name == choice.name and t.kind != "builtin"), None)
        if named is None:
            self._lose("/tool_choice", f"no tool called {choice.name} is sent")
            return fields
        name = NamedWire(name=self._names.sent(named.name))
        if named.name in self._custom:
            return {"tool_choice": ToolChoiceWire(type="custom", custom=name), **fields}
        return {"tool_choice": ToolChoiceWire(type="function", function=name), **fields}


def extensions_of(request: ChatRequest) -> tuple[dict[str, Any], list[Loss]]:
    """Fields that go along as they are, and what other dialects' fields are lost."""
    sister = request.extensions.get(SISTER, {})
    shared = {name: sister[path] for path, name in SHARED.items() if path in sister and sister[path] != FALSE}
    said = {f"/{path}" for path in SHARED if path in sister}  # `store` false says what its absence says
    losses = [loss for loss in extension_losses(request, DIALECT) if loss.pointer not in said]
    return {**shared, **request.extensions.get(DIALECT, {})}, losses


def names_of(tools: Iterable[Tool], called: Iterable[str]) -> tuple[ToolNames, frozenset[str]]:
    """Those of all tools, and of the ones sent as custom tools."""
    declared = (tool.name for tool in tools if tool.kind != "builtin")
    names = ToolNames((*declared, *called), RULE)
    custom = (tool.name for tool in tools if tool.kind == "custom" and DIALECT in tool.provider_metadata)
    return names, frozenset(name for name in custom if names.sent(name) == name)


def effort_of(budget_tokens: int) -> ReasoningEffort | None:
    """None where the budget is the model's own affair (−1)."""
    if budget_tokens <= 0:
        return "none" if budget_tokens == 0 else None
    return next((effort for limit, effort in EFFORTS if budget_tokens <= limit), "high")


def with_properties(schema: Raw) -> Raw:
    """The service refuses an object schema without `properties`; any other schema stays byte for byte."""
    if b'"properties"' in bytes(schema):
        return schema
    try:
        fields = FIELDS.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return schema
    if fields and fields.get("type") != OBJECT:
        return schema
    return Raw(msgspec.json.encode({"type": OBJECT, **fields, "properties": {}}))
