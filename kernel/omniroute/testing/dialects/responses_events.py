"""A whole Response as the events the service streams it in: reasoning, then words, then all calls side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omniroute.testing.dialects.neutral import interleaved, pieces

__all__ = ["response_events"]

Item = Mapping[str, Any]


def response_events(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    running = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": running}
    yield {"type": "response.in_progress", "response": running}
    calls = []
    for index, item in enumerate(response["output"]):
        match item["type"]:
            case "reasoning":
                yield from _reasoning_events(item, index)
            case "message":
                yield from _message_events(item, index)
            case _:
                calls.append((index, item))
    yield from _call_events(calls)
    kind = "response.incomplete" if response["status"] == "incomplete" else "response.completed"
    yield {"type": kind, "response": response}


def _reasoning_events(item: Item, index: int) -> Iterator[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    [part] = item["summary"]
    yield _added({**item, "summary": [], "encrypted_content": None}, index)
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}
    yield _done(item, index)


def _message_events(item: Item, index: int) -> Iterator[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    [part] = item["content"]
    yield _added({**item, "status": "in_progress", "content": []}, index)
    yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}
    yield _done(item, index)


def _call_events(calls: Sequence[tuple[int, Item]]) -> Iterator[dict[str, Any]]:
    """All calls open side by side."""
    for index, item in calls:
        yield _added({**item, "arguments": "", "status": "in_progress"}, index)
    for which, piece in interleaved(item["arguments"] for _, item in calls):
        index, item = calls[which]
        where = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
    for index, item in calls:
        where = {"item_id": item["id"], "output_index": index}
        said = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **where, **said}
        yield _done(item, index)


def _added(item: Item, index: int) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(item: Item, index: int) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}
