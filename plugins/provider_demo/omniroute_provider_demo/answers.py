"""What the demo models say: a function of the request alone, made from a small grammar."""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from omniroute_provider_demo.arguments import example
from omniroute_provider_demo.snippets import SNIPPETS, Snippet
from omniroute_provider_demo.wire import Answer, Call, ChatBody, Function

__all__ = ["coder", "echo", "tokens"]

OPENINGS = ("Here is {title} in Python:", "This does it, {title} in a few lines:", "A short way to write {title}:")
CLOSINGS = (
    "I am the built-in demo model and know only a few snippets by heart.",
    "That came from the demo model, which runs offline and repeats itself.",
)
LOOKS = re.compile(r"read|list|search|grep|glob|find|get|look|view|fetch|weather", re.IGNORECASE)
"""Tools that only look are chosen before tools that do something."""
CHARACTERS_PER_TOKEN = 4


def tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def echo(body: ChatBody) -> Answer:
    return _counted(body, _last(body, "user"))


def coder(body: ChatBody) -> Answer:
    last = body.messages[-1]
    if last.role == "tool":
        return _counted(
            body,
            f"The tool answered:\n\n{last.text[:400]}\n\n{CLOSINGS[0]}",
            reasoning="The tool has answered, so nothing more needs to be called.",
        )
    request = _last(body, "user")
    if chosen := _choose(body, request):
        names = " and ".join(function.name for function in chosen)
        calls = tuple(
            _call(body, position, function, variant=chosen[:position].count(function))
            for position, function in enumerate(chosen)
        )
        return _counted(body, "", reasoning=f"The tools can help here: I will call {names}.", calls=calls)
    snippet = _snippet(request)
    opening = OPENINGS[_hash(request) % len(OPENINGS)].format(title=snippet.title)
    closing = CLOSINGS[_hash(request) % len(CLOSINGS)]
    return _counted(
        body,
        f"{opening}\n\n```python\n{snippet.code}```\n\n{closing}",
        reasoning=f"The user wants code. Of what I know, {snippet.title} fits best.",
    )


def _snippet(request: str) -> Snippet:
    asked = request.lower()
    return next((known for known in SNIPPETS if known.word in asked), SNIPPETS[_hash(request) % len(SNIPPETS)])


# --- tools ------------------------------------------------------------------------------------------------------------


def _choose(body: ChatBody, request: str) -> Sequence[Function]:
    offered = [tool.function for tool in body.tools if tool.function is not None]
    if not offered or body.tool_choice == "none":
        return ()
    if isinstance(body.tool_choice, dict):
        wanted = (body.tool_choice.get("function") or {}).get("name")
        return [function for function in offered if function.name == wanted][:1]
    named = [function for function in offered if re.search(rf"\b{re.escape(function.name)}\b", request)]
    looking = [function for function in offered if LOOKS.search(function.name)]
    ranked = list({function.name: function for function in (*named, *looking, *offered)}.values())
    if "parallel" in request.lower() and body.parallel_tool_calls is not False:
        return (ranked * 2)[:2]
    return ranked[:1]


def _call(body: ChatBody, position: int, function: Function, variant: int) -> Call:
    arguments: Any = example(function.parameters or {"type": "object"}, variant)
    return Call(
        id=f"call_demo_{_hash(_conversation(body)):08x}_{position}",
        name=function.name,
        arguments=msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode(),
    )


# --- counting ---------------------------------------------------------------------------------------------------------


def _counted(body: ChatBody, text: str, *, reasoning: str = "", calls: tuple[Call, ...] = ()) -> Answer:
    """The answer within the client's limit on output, with its usage. What went out in an earlier turn counts as cached."""
    limit = body.max_completion_tokens or body.max_tokens
    shown_reasoning, shown_text = (reasoning, text) if limit is None else _cut(reasoning, text, limit)
    cut = (shown_reasoning, shown_text) != (reasoning, text)
    told = [f"{message.role}{message.text}" for message in body.messages]
    tools = msgspec.json.encode(body.tools).decode() if body.tools else ""
    said_before = any(message.role == "assistant" for message in body.messages)
    said = shown_text + "".join(call.name + call.arguments for call in calls)
    reasoning_tokens = tokens(shown_reasoning)
    return Answer(
        id=f"chatcmpl-demo-{_hash(body.model + _conversation(body)):08x}",
        model=body.model,
        text=shown_text,
        reasoning=shown_reasoning,
        calls=calls,
        finish_reason="tool_calls" if calls else "length" if cut else "stop",
        prompt_tokens=tokens(tools + "".join(told)),
        cached_tokens=tokens(tools + "".join(told[:-1])) if said_before else 0,
        completion_tokens=reasoning_tokens + tokens(said),
        reasoning_tokens=reasoning_tokens,
    )


def _cut(reasoning: str, text: str, limit: int) -> tuple[str, str]:
    reasoning = reasoning[: limit * CHARACTERS_PER_TOKEN]
    return reasoning, text[: (limit - tokens(reasoning)) * CHARACTERS_PER_TOKEN]


def _conversation(body: ChatBody) -> str:
    return "\0".join(f"{message.role}:{message.text}" for message in body.messages)


def _last(body: ChatBody, role: str) -> str:
    return next((message.text for message in reversed(body.messages) if message.role == role), "")


def _hash(text: str) -> int:
    return zlib.crc32(text.encode(errors="replace"))
