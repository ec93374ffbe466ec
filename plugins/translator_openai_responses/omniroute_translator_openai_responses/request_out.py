"""A canonical request to a body the service takes, with what did not fit."""

import re
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
    ToolCallPart,
    ToolNames,
    extension_losses,
    short_digest,
)
from omniroute_translator_openai_responses.items_out import ItemsOut
from omniroute_translator_openai_responses.names import RULE, fit_name
from omniroute_translator_openai_responses.tools_out import ToolsOut, names_of
from omniroute_translator_openai_responses.wire import DIALECT, SISTER, FormatWire

MIN_OUTPUT_TOKENS = 16
USER_LENGTH = 64
REASONS = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
FIXED_SAMPLING = ("temperature", "top_p")
"""What models that reason take at 1 only."""
EFFORTS: tuple[tuple[int, ReasoningEffort], ...] = ((512, "minimal"), (1024, "low"), (8192, "medium"))
"""Thinking budget up to → effort; anything above is high."""
SHARED = {
    "metadata": "metadata",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_retention",
    "safety_identifier": "safety_identifier",
    "service_tier": "service_tier",
    "store": "store",
    "verbosity": "text/verbosity",
}
"""Extensions of the sister dialect that mean the same here → their path here."""
ENCRYPTED_REASONING = "reasoning.encrypted_content"


def encode_request(request: ChatRequest) -> Outgoing:
    return RequestOut(request).encode()


class RequestOut:
    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._is_own = DIALECT in request.extensions
        sister = request.extensions.get(SISTER, {})
        shared = {name: path for name, path in SHARED.items() if name in sister}
        self._extensions: dict[str, Any] = {
            **{path: sister[name] for name, path in shared.items()},
            **request.extensions.get(DIALECT, {}),
        }
        self._losses = [loss for loss in extension_losses(request, DIALECT) if loss.pointer[1:] not in shared]
        called = [p for m in request.messages for p in m.parts if isinstance(p, ToolCallPart)]
        self._names = ToolNames(names_of(request.tools, called), RULE)
        self._tools = ToolsOut(request, self._names.sent, is_own=self._is_own)

    def encode(self) -> Outgoing:
        request = self._request
        instructions, items = ItemsOut(request, self._tools, self._losses, is_own=self._is_own).encode()
        tools = self._declared(items)
        woven = {"tool_choice"} if request.stream else {"tool_choice", "stream_options"}
        if not items and request.previous_response_id is None:
            raise InvalidRequest("/messages: no message holds anything that could be sent", param="/messages")
        fields: dict[str, Any] = {
            "model": request.model,
            "instructions": instructions,
            "input": items,
            **tools,
            **self._limits(),
            **self._effort(request.reasoning),
            **self._format(request.response_format),
            **self._user(),
            **self._storage(),
            "previous_response_id": request.previous_response_id,
            "stream": request.stream or None,
            **{name: value for name, value in self._extensions.items() if name not in woven},
        }
        return Outgoing(
            body=msgspec.json.encode(nested(fields)),
            losses=tuple(self._losses),
            tool_names={**self._names.changed, **self._tools.placed},
        )

    def _drop(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="dropped", reason=reason))

    def _approximate(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="approximated", reason=reason))

    # --- limits, user, storage ----------------------------------------------------------------------------------------

    def _limits(self) -> dict[str, Any]:
        sampling, limit = self._request.sampling, self._request.max_output_tokens
        for name in ("top_k", "seed", "presence_penalty", "frequency_penalty", "stop"):
            if getattr(sampling, name) not in (None, ()):
                self._drop(f"/{name}", f"{DIALECT} has no {name}")
        if limit is not None and limit < MIN_OUTPUT_TOKENS:
            self._approximate("/max_output_tokens", f"the service takes no less than {MIN_OUTPUT_TOKENS}")
            limit = MIN_OUTPUT_TOKENS
        return {"max_output_tokens": limit, **self._sampling()}

    def _sampling(self) -> dict[str, Any]:
        sampling = {name: getattr(self._request.sampling, name) for name in FIXED_SAMPLING}
        if self._is_own or not REASONS.match(self._request.model):
            return sampling
        for name, value in sampling.items():
            if value not in (None, 1):
                self._drop(f"/{name}", "the service refuses it for models that reason")
        return {name: value for name, value in sampling.items() if value == 1}

    def _user(self) -> dict[str, str]:
        user = self._request.user
        written = self._extensions.get("safety_identifier")
        if not user or written == Raw(msgspec.json.encode(user)):
            return {}
        if len(user) <= USER_LENGTH:
            return {"user": user}
        self._approximate("/user", f"{DIALECT} takes {USER_LENGTH} characters; a hash of it was sent")
        return {"user": short_digest(user, USER_LENGTH)}

    def _storage(self) -> dict[str, Any]:
        """Nothing is stored that the client did not ask to store; then reasoning has to come along encrypted."""
        if self._is_own:
            return {}  # as the client wrote it, or left it out
        reasoning = self._request.reasoning
        is_stored = self._extensions.get("store") == Raw(b"true")
        if is_stored or reasoning is None or self._is_off(reasoning):
            return {"store": False}
        return {"store": False, "include": [ENCRYPTED_REASONING]}

    # --- reasoning and format -----------------------------------------------------------------------------------------

    @staticmethod
    def _is_off(reasoning: Reasoning) -> bool:
        return reasoning.effort == "none" or reasoning.budget_tokens == 0

    def _effort(self, reasoning: Reasoning | None) -> dict[str, Any]:
        if reasoning is None:
            return {}
        if self._is_off(reasoning) and not self._is_own:  # only few models know the word, the others answer 400
            self._approximate("/reasoning/effort", "left out: the model decides")
            return {}
        effort = reasoning.effort
        if reasoning.budget_tokens is not None:
            self._approximate("/reasoning/budget_tokens", f"{DIALECT} takes an effort, not a budget")
            effort = effort or effort_of(reasoning.budget_tokens)
        summary = reasoning.summary if self._is_own else reasoning.summary or "auto"
        return {"reasoning/effort": effort, "reasoning/summary": None if summary == "omitted" else summary}

    def _format(self, wanted: ResponseFormat | None) -> dict[str, Any]:
        if wanted is None:
            return {}
        if wanted.kind == "json_object" or wanted.schema is None:
            return {"text/format": FormatWire(type="json_object")}
        name = fit_name(wanted.name or "response")
        if wanted.name and name != wanted.name:
            self._approximate("/response_format/name", f"{DIALECT} takes letters, digits, _ and -, up to 64")
        wire = FormatWire(
            type="json_schema", name=name, description=wanted.description, schema=wanted.schema, strict=wanted.strict
        )
        return {"text/format": wire}

    # --- tools --------------------------------------------------------------------------------------------------------

    def _declared(self, items: list[Any]) -> dict[str, Any]:
        """`tools` and what is chosen of them; tools that came with the input are put in front of `items` again."""
        tools, additional = self._tools.declared(self._losses)
        if additional:
            items.insert(0, {"type": "additional_tools", "role": "developer", "tools": additional})
        wanted = self._request.tool_choice
        if not tools and not additional:
            if wanted is not None and wanted.mode in ("required", "tool"):
                self._drop("/tool_choice", "there are no tools to choose from")
            return {}
        choice = self._extensions.get("tool_choice", self._tools.choice())
        if wanted is not None and choice is None:
            self._drop("/tool_choice", f"no tool called {wanted.name} is sent")
        parallel = wanted.parallel if wanted is not None else None
        return {"tools": tools or None, "tool_choice": choice, "parallel_tool_calls": parallel}


def nested(fields: dict[str, Any]) -> dict[str, Any]:
    """`{"text/format": …}` as `{"text": {"format": …}}`, without what is None."""
    body: dict[str, Any] = {}
    for path, value in fields.items():
        if value is None:
            continue
        name, _, inner = path.partition("/")
        if inner:
            body.setdefault(name, {})[inner] = value
        else:
            body[name] = value
    return body


def effort_of(budget_tokens: int) -> ReasoningEffort | None:
    """None where the budget is the model's own affair (−1)."""
    if budget_tokens <= 0:
        return "none" if budget_tokens == 0 else None
    return next((effort for limit, effort in EFFORTS if budget_tokens <= limit), "high")
