"""Messages to turns that the service accepts.

Its rules: user and assistant take turns, the user first; the user's turn after a tool_use turn begins with one result for
each call; call ids are unique in the request; nothing is empty. Histories that clients have cut or mixed up are repaired.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from omniroute.api import Ledger, Message
from omniroute_translator_anthropic.content import Block, ContentWriter
from omniroute_translator_anthropic.families import Traits
from omniroute_translator_anthropic.tools import fitting_id
from omniroute_translator_anthropic.wire import own

__all__ = ["Turn", "build_turns", "ends_in_prefill", "system_blocks"]

SYSTEM_ROLES = ("system", "developer")
THINKING = ("thinking", "redacted_thinking")
NO_RESULT = "(no result)"
LATE = "Result of an earlier tool call:"
OPENING = "(The conversation begins with the assistant.)"


class Turn(msgspec.Struct, kw_only=True):
    role: str
    """`user` or `assistant`; `system` for one that only this dialect can say."""
    blocks: list[Block]


def system_blocks(messages: Sequence[Message], writer: ContentWriter) -> tuple[list[Block], int]:
    """The leading system and developer text, block by block, and how many messages that is."""
    leading = next((at for at, message in enumerate(messages) if message.role not in SYSTEM_ROLES), len(messages))
    blocks = [block for at in range(leading) for block in writer.blocks(messages[at], f"/messages/{at}")]
    return blocks, leading


def build_turns(
    messages: Sequence[Message], first: int, writer: ContentWriter, traits: Traits, ledger: Ledger
) -> list[Turn]:
    """The turns of `messages` from index `first` on; empty when they hold nothing."""
    said = (_turn(messages[at], f"/messages/{at}", writer, ledger) for at in range(first, len(messages)))
    turns = _merged(_paired(_merged(said), ledger))
    _end_well(turns, traits, ledger)
    if turns and turns[0].role != "user":
        ledger.invented("/messages", "the first turn has to be the user's")
        turns.insert(0, Turn(role="user", blocks=[Block(pointer="/messages", wire={"type": "text", "text": OPENING})]))
    return turns


def _turn(message: Message, pointer: str, writer: ContentWriter, ledger: Ledger) -> Turn:
    blocks = writer.blocks(message, pointer)
    if message.role == "assistant":
        return Turn(role="assistant", blocks=blocks)
    if message.role not in SYSTEM_ROLES:
        return Turn(role="user", blocks=blocks)
    if any("block" in own(part.provider_metadata) for part in message.parts):
        return Turn(role="system", blocks=blocks)
    if blocks:
        ledger.approximated(
            pointer, f"a {message.role} message in mid-conversation was sent as a marked text of the user"
        )
    for block in blocks:
        block.wire["text"] = f"<system-reminder>\n{block.wire['text']}\n</system-reminder>"
    return Turn(role="user", blocks=blocks)


def _merged(turns: Iterable[Turn]) -> list[Turn]:
    """Empty turns are left out, and what then stands side by side is joined."""
    merged: list[Turn] = []
    for turn in turns:
        if not turn.blocks:
            continue
        if merged and merged[-1].role == turn.role:
            merged[-1].blocks.extend(turn.blocks)
        else:
            merged.append(turn)
    return merged


# --- calls and results ------------------------------------------------------------------------------------------------


def _paired(turns: Iterable[Turn], ledger: Ledger) -> list[Turn]:
    """Each call gets its result in the very next turn, under an id that is unique in the request."""
    paired: list[Turn] = []
    calls: list[Block] = []
    ids: set[str] = set()
    for turn in turns:
        if turn.role == "user":
            turn.blocks = _answered(calls, turn.blocks, ids, ledger)
            calls = []
        elif turn.role == "assistant":
            if calls:
                paired.append(Turn(role="user", blocks=_answered(calls, [], ids, ledger)))
            calls = [block for block in turn.blocks if block.kind == "tool_use"]
        paired.append(turn)
    if calls:
        paired.append(Turn(role="user", blocks=_answered(calls, [], ids, ledger)))
    return paired


def _answered(calls: Sequence[Block], blocks: Sequence[Block], ids: set[str], ledger: Ledger) -> list[Block]:
    """The user's turn after `calls`: their results in order, then the rest of `blocks`."""
    results: dict[str, deque[Block]] = {str(call.wire["id"]): deque() for call in calls}
    rest: list[Block] = []
    for block in blocks:
        if block.kind != "tool_result":
            rest.append(block)
        elif block.wire["tool_use_id"] in results:
            results[block.wire["tool_use_id"]].append(block)
        else:
            rest.extend(_as_text(block, ledger))
    answers = [_answer(call, results[call.wire["id"]], ids, ledger) for call in calls]
    for spare in (block for waiting in results.values() for block in waiting):
        ledger.dropped(spare.pointer, "a second result for one call")
    return [*answers, *rest]


def _answer(call: Block, results: deque[Block], ids: set[str], ledger: Ledger) -> Block:
    """The call's result, made up when there is none. Gives both their final id."""
    if results:
        result = results.popleft()
    else:
        ledger.invented(call.pointer, "the call has no result in the history")
        result = Block(pointer=call.pointer, wire={"type": "tool_result", "tool_use_id": "", "content": NO_RESULT})
    final = _unused(fitting_id(call.wire["id"]), ids)
    ids.add(final)
    call.wire["id"] = result.wire["tool_use_id"] = final
    return result


def _unused(call_id: str, ids: set[str]) -> str:
    """Some clients count their calls from 0 in every turn; the service wants ids to differ in the whole request."""
    if call_id not in ids:
        return call_id
    count = 2
    while f"{call_id}_{count}" in ids:
        count += 1
    return f"{call_id}_{count}"


def _as_text(result: Block, ledger: Ledger) -> list[Block]:
    """A result whose call is not in the turn before, as words and images of the user."""
    ledger.approximated(result.pointer, "a result that stands apart from its call was sent as text")
    content = result.wire["content"]
    inner = [{"type": "text", "text": content}] if isinstance(content, str) else content
    wires = [{"type": "text", "text": LATE}, *(wire for wire in inner if wire.get("text") != "")]
    if len(wires) == 1:
        return []
    return [Block(pointer=result.pointer, wire=wire) for wire in wires]


# --- the end ----------------------------------------------------------------------------------------------------------


def ends_in_prefill(turns: Sequence[Turn]) -> bool:
    """Whether the assistant is to go on from words of its own. A paused turn, which ends in a server's tool, is none."""
    return bool(turns) and turns[-1].role == "assistant" and turns[-1].blocks[-1].kind in ("text", *THINKING)


def _end_well(turns: list[Turn], traits: Traits, ledger: Ledger) -> None:
    """A prefill goes without thinking and trailing white space, and not at all to models that refuse it."""
    if not ends_in_prefill(turns):
        return
    last = turns[-1]
    if not traits.takes_prefill:
        ledger.dropped(last.blocks[0].pointer, "this model does not go on from a turn of the assistant")
        turns.pop()
        return
    for block in last.blocks:
        if block.kind in THINKING:
            ledger.dropped(block.pointer, "a turn to go on from holds no thinking")
    last.blocks = [block for block in last.blocks if block.kind not in THINKING]
    if last.blocks and last.blocks[-1].kind == "text":
        last.blocks[-1].wire["text"] = last.blocks[-1].wire["text"].rstrip()
    if not last.blocks:
        turns.pop()
