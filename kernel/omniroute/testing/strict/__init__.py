"""Validators for `FakeUpstream` that refuse what the real services refuse, in the form the services say it.

Field lists and types come from the vendors' own SDKs, which must be installed; what types cannot say (which message may follow
which, limits, names) is in the `…_rules`. Checked against openai 3.54, anthropic 2.12 and google-genai 3.4.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import msgspec

from omniroute.testing.received import ReceivedRequest
from omniroute.testing.scripts import Reply
from omniroute.testing.strict.chat_rules import check_chat
from omniroute.testing.strict.gemini_rules import check_gemini
from omniroute.testing.strict.messages_rules import check_messages
from omniroute.testing.strict.responses_form import as_typed
from omniroute.testing.strict.responses_rules import check_responses
from omniroute.testing.strict.shape import Violation, check_shape

__all__ = ["anthropic_messages", "gemini", "openai_chat", "openai_compatible", "openai_responses"]

SAMPLING_BEFORE_2026 = ("temperature", "top_p", "top_k")
FIRST_VERSION = "2023-06-01"
GEMINI_PATH = re.compile(r"/models/(?P<model>.+):(?P<verb>generateContent|streamGenerateContent|countTokens)$")
GEMINI_FIELDS = {
    "contents": "Content",
    "tools": "Tool",
    "safetySettings": "SafetySetting",
    "systemInstruction": "Content",
    "toolConfig": "ToolConfig",
    "generationConfig": "GenerationConfig",
}
"""Top-level fields of a request and the SDK's types of what they hold; its own type for the whole is another method's."""
GEMINI_LISTS = ("contents", "tools", "safetySettings")
GEMINI_TEXTS = ("cachedContent", "model", "serviceTier")


def openai_chat(request: ReceivedRequest) -> Reply | None:
    """As OpenAI's Chat Completions; a model list passes. Raises `RuntimeError` when the package `openai` is missing."""
    return _chat(request, lambda body: body)


def openai_compatible(request: ReceivedRequest) -> Reply | None:
    """As `openai_chat`, for servers that take `reasoning_content` back in assistant messages."""
    return _chat(request, _without_reasoning)


def _chat(request: ReceivedRequest, before: Callable[[Any], Any]) -> Reply | None:
    if request.method == "GET" and request.path.endswith("/models"):
        return None
    if request.method != "POST" or not request.path.endswith("/chat/completions"):
        return _openai_error(404, f"Unknown request URL: {request.method} {request.path}")
    if not (request.header("authorization") or "").startswith("Bearer "):
        return _openai_error(401, "You didn't provide an API key.")
    types = _sdk("openai.types.chat.completion_create_params")
    try:
        body = before(_object(request))
        streaming = body.get("stream") is True
        kind = types.CompletionCreateParamsStreaming if streaming else types.CompletionCreateParamsNonStreaming
        check_shape(body, kind)
        check_chat(body)
    except Violation as violation:
        return _openai_error(400, str(violation), violation.place)
    return None


def openai_responses(request: ReceivedRequest) -> Reply | None:
    """As OpenAI's Responses; a model list passes. Raises `RuntimeError` when the package `openai` is missing."""
    if request.method == "GET" and request.path.endswith("/models"):
        return None
    if request.method != "POST" or not request.path.endswith("/responses"):
        return _openai_error(404, f"Unknown request URL: {request.method} {request.path}")
    if not (request.header("authorization") or "").startswith("Bearer "):
        return _openai_error(401, "You didn't provide an API key.")
    types = _sdk("openai.types.responses.response_create_params")
    try:
        body = _object(request)
        streaming = body.get("stream") is True
        kind = types.ResponseCreateParamsStreaming if streaming else types.ResponseCreateParamsNonStreaming
        check_shape(as_typed(body), kind)
        check_responses(body)
    except Violation as violation:
        return _openai_error(400, str(violation), violation.place)
    return None


def gemini(request: ReceivedRequest) -> Reply | None:
    """As Gemini's generateContent, streamed or not, and its token count; a model list passes.

    Field names are taken in camelCase only, as an upstream is to be spoken to. Raises `RuntimeError` when the package
    `google-genai` is missing.
    """
    if request.header("x-goog-api-key") is None and "key=" not in request.target:
        return _gemini_error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
    if request.method == "GET" and request.path.endswith("/models"):
        return None
    found = GEMINI_PATH.search(request.path)
    if request.method != "POST" or found is None:
        return _gemini_error(404, "NOT_FOUND", f"no method at {request.method} {request.path}")
    try:
        body = _object(request)
        if found["verb"] == "countTokens":
            inner = body.get("generateContentRequest")
            _check_gemini_shape(body if inner is None else inner)
        else:
            _check_gemini_shape(body)
            check_gemini(body, found["model"])
    except Violation as violation:
        return _gemini_error(400, "INVALID_ARGUMENT", str(violation))
    return None


def _check_gemini_shape(body: Any) -> None:
    types = _sdk("google.genai.types")
    if not isinstance(body, dict):
        raise Violation("", "The body is no JSON object")
    for name, value in body.items():
        if name in GEMINI_FIELDS:
            kind: Any = getattr(types, GEMINI_FIELDS[name])
            check_shape(value, Sequence[kind] if name in GEMINI_LISTS else kind, name)
        elif name in GEMINI_TEXTS:
            check_shape(value, str, name)
        else:
            raise Violation(name, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


def anthropic_messages(request: ReceivedRequest) -> Reply | None:
    """As Anthropic's Messages and its token count; a model list passes.

    A request with `anthropic-beta` may use the fields of betas. Before version 2026-10-21 sampling fields are taken. Raises
    `RuntimeError` when the package `anthropic` is missing.
    """
    if request.header("x-api-key") is None and request.header("authorization") is None:
        return _anthropic_error(401, "authentication_error", "x-api-key header is required")
    version = request.header("anthropic-version")
    if version is None:
        return _anthropic_error(400, "invalid_request_error", "anthropic-version: header is required")
    if request.method == "GET" and request.path.endswith("/models"):
        return None
    counts = request.path.endswith("/messages/count_tokens")
    if request.method != "POST" or not (counts or request.path.endswith("/messages")):
        return _anthropic_error(404, "not_found_error", f"Not found: {request.method} {request.path}")
    try:
        body = _object(request)
        check_shape(_later_fields(body, version), _messages_type(request, body, counts=counts))
        check_messages(body)
    except Violation as violation:
        return _anthropic_error(400, "invalid_request_error", str(violation))
    return None


def _messages_type(request: ReceivedRequest, body: Any, *, counts: bool) -> Any:
    package = "anthropic.types.beta" if request.header("anthropic-beta") else "anthropic.types"
    if counts:
        return _sdk(f"{package}.message_count_tokens_params").MessageCountTokensParams
    types = _sdk(f"{package}.message_create_params")
    streaming = body.get("stream") is True
    return types.MessageCreateParamsStreaming if streaming else types.MessageCreateParamsNonStreaming


def _later_fields(body: Any, version: str) -> Any:
    """The body without fields that only the first version has, whose ranges `check_messages` looks at."""
    if version != FIRST_VERSION:
        return body
    return {name: value for name, value in body.items() if name not in SAMPLING_BEFORE_2026}


def _without_reasoning(body: Any) -> Any:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    stripped = [
        {name: value for name, value in message.items() if name != "reasoning_content"}
        if isinstance(message, dict) and message.get("role") == "assistant"
        else message
        for message in messages
    ]
    return {**body, "messages": stripped}


def _object(request: ReceivedRequest) -> Any:
    kind = (request.header("content-type") or "").partition(";")[0].strip()
    if kind != "application/json":
        raise Violation("", f"Unsupported content type: {kind!r}. This endpoint expects application/json")
    try:
        body = request.json()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Violation("", f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(body, dict):
        raise Violation("", "The body is no JSON object")
    return body


def _sdk(module: str) -> Any:
    package = "google-genai" if module.startswith("google.") else module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeError(f"strict validation reads the types of the package `{package}`; install it") from error


def _openai_error(status: int, message: str, param: str | None = None) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": param or None, "code": None}
    return Reply.json({"error": error}, status)


def _anthropic_error(status: int, kind: str, message: str) -> Reply:
    return Reply.json(
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_strict"}, status
    )


def _gemini_error(status: int, code: str, message: str) -> Reply:
    return Reply.json({"error": {"code": status, "message": message, "status": code}}, status)
