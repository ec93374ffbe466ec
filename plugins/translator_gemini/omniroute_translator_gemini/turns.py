"""Messages to contents that the service accepts.

Its rules: user and model take turns, the user first and last; the content after calls holds one result for each of them, in
their order and by their names; the calls of the running turn are signed; nothing is empty. Histories that clients have cut or
mixed up are repaired.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from omniroute.api import Ledger, Message
from omniroute_translator_gemini.content import SYSTEM_ROLES, ContentWriter, Piece
from omniroute_translator_gemini.families import Traits
from omniroute_translator_gemini.signatures import PLACEHOLDER
from omniroute_translator_gemini.wire import Wire

__all__ = ["Turn", "build_turns", "system_pieces"]

NO_RESULT = "(no result)"
LATE = "Result of an earlier tool call:"
OPENING = "(The conversation begins with the assistant.)"


class Turn(msgspec.Struct, kw_only=True):
    role: Literal["user", "model"]
    pieces: list[Piece]

    def content(self) -> Wire:
        """As it is sent: results, then the media that belong to them, then the rest."""
        results = [piece for piece in self.pieces if piece.is_result]
        rest = [piece.wire for piece in self.pieces if not piece.is_result]
        media = [wire for result in results for wire in result.after]
        return {"role": self.role, "parts": [*(result.wire for result in results), *media, *rest]}


def system_pieces(messages: Sequence[Message], writer: ContentWriter) -> tuple[list[Piece], int]:
    """The leading system and developer text, and how many messages that is."""
    leading = next((at for at, message in enumerate(messages) if message.role not in SYSTEM_ROLES), len(messages))
    pieces = [piece for at in range(leading) for piece in writer.pieces(messages[at], f"/messages/{at}")]
    return pieces, leading


def build_turns(
    messages: Sequence[Message], first: int, writer: ContentWriter, traits: Traits, ledger: Ledger
) -> list[Turn]:
    """The turns of `messages` from index `first` on; empty when they hold nothing."""
    said = (_turn(messages[at], f"/messages/{at}", writer, ledger) for at in range(first, len(messages)))
    turns = _merged(_paired(_merged(said), ledger))
    if turns and turns[-1].role == "model":
        for piece in turns.pop().pieces:
            ledger.dropped(piece.pointer, "a model does not go on from a turn of its own")
    if turns and turns[0].role != "user":
        ledger.invented("/messages", "the first turn has to be the user's")
        turns.insert(0, Turn(role="user", pieces=[Piece(pointer="/messages", wire={"text": OPENING})]))
    if traits.signs_calls:
        _sign(turns, ledger)
    return turns


def _turn(message: Message, pointer: str, writer: ContentWriter, ledger: Ledger) -> Turn:
    pieces = writer.pieces(message, pointer)
    if message.role == "assistant":
        return Turn(role="model", pieces=pieces)
    if message.role in SYSTEM_ROLES and pieces:
        ledger.approximated(
            pointer, f"a {message.role} message in mid-conversation was sent as a marked text of the user"
        )
        for piece in pieces:
            piece.wire = {"text": f"<system-reminder>\n{piece.wire['text']}\n</system-reminder>"}
    return Turn(role="user", pieces=pieces)


def _merged(turns: Iterable[Turn]) -> list[Turn]:
    """Empty turns are left out, and what then stands side by side is joined."""
    merged: list[Turn] = []
    for turn in turns:
        if not turn.pieces:
            continue
        if merged and merged[-1].role == turn.role:
            merged[-1].pieces.extend(turn.pieces)
        else:
            merged.append(turn)
    return merged


# --- calls and results ------------------------------------------------------------------------------------------------


def _paired(turns: Iterable[Turn], ledger: Ledger) -> list[Turn]:
    """Each call gets its result in the very next turn, under an id that is unique in the request."""
    paired: list[Turn] = []
    calls: list[Piece] = []
    ids: dict[str, int] = {}
    for turn in turns:
        if turn.role == "user":
            turn.pieces = _answered(calls, turn.pieces, ids, ledger)
            calls = []
        else:
            calls = [piece for piece in turn.pieces if piece.is_call]
        paired.append(turn)
    if calls:
        paired.append(Turn(role="user", pieces=_answered(calls, [], ids, ledger)))
    return paired


def _answered(calls: Sequence[Piece], pieces: Sequence[Piece], ids: dict[str, int], ledger: Ledger) -> list[Piece]:
    """The user's turn after `calls`: their results in order, then the rest of `pieces`."""
    results: dict[str | None, deque[Piece]] = {call.call_id: deque() for call in calls}
    rest: list[Piece] = []
    for piece in pieces:
        if not piece.is_result:
            rest.append(piece)
        elif piece.call_id in results:
            results[piece.call_id].append(piece)
        else:
            rest.extend(_as_text(piece, ledger))
    answers = [_answer(call, results[call.call_id], ids, ledger) for call in calls]
    for spare in (piece for waiting in results.values() for piece in waiting):
        ledger.dropped(spare.pointer, "a second result for one call")
    return [*answers, *rest]


def _answer(call: Piece, results: deque[Piece], ids: dict[str, int], ledger: Ledger) -> Piece:
    """The call's result, made up when there is none. Gives it the call's name, and both their final id."""
    if results:
        result = results.popleft()
    else:
        ledger.invented(call.pointer, "the call has no result in the history")
        result = Piece(pointer=call.pointer, wire={"functionResponse": {"response": {"result": NO_RESULT}}})
    asked: Wire = call.wire["functionCall"]
    given: Wire = result.wire["functionResponse"]
    if call.call_id:
        asked["id"] = given["id"] = _unused(call.call_id, ids)
    else:
        given.pop("id", None)
    given["name"] = asked["name"]
    return result


def _unused(call_id: str, ids: dict[str, int]) -> str:
    """Some clients count their calls from 0 in every turn. `ids`: those in use, and how often each was asked for."""
    unused = call_id
    while unused in ids:
        ids[call_id] += 1
        unused = f"{call_id}_{ids[call_id]}"
    ids[unused] = 1
    return unused


def _as_text(result: Piece, ledger: Ledger) -> list[Piece]:
    """A result whose call is not in the turn before, as words and images of the user."""
    ledger.approximated(result.pointer, "a result that stands apart from its call was sent as text")
    wires = [*result.wire["functionResponse"].get("parts", ()), *result.after]
    if result.said:
        wires.insert(0, {"text": result.said})
    return [Piece(pointer=result.pointer, wire=wire) for wire in ({"text": LATE}, *wires)] if wires else []


# --- signatures -------------------------------------------------------------------------------------------------------


def _sign(turns: Sequence[Turn], ledger: Ledger) -> None:
    """The first call of each step since the user's last words gets the documented placeholder where it has no signature.

    Words that stand behind results in one content are taken for a part of the running turn: signing too much does no harm.
    """
    for turn in reversed(turns):
        if turn.role == "user":
            if not any(piece.is_result for piece in turn.pieces):
                return
            continue
        first = next((piece for piece in turn.pieces if piece.is_call), None)
        if first is not None and "thoughtSignature" not in first.wire:
            first.wire["thoughtSignature"] = PLACEHOLDER
            ledger.invented(f"{first.pointer}/thought_signature", "the model that made this call did not sign it")
