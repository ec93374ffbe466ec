"""A body somebody kept, as the request it would have been."""

from collections.abc import Mapping, Sequence
from typing import Any, Never

from omniroute.contracts import Headers, Principal, Translator
from omniroute.errors import InvalidRequest
from omniroute.exchange import Exchange
from omniroute.explaining.views import Question
from omniroute.json_guard import check_json
from omniroute.settings.paths import did_you_mean
from omniroute.translating import chat_params

__all__ = ["asked"]

NOBODY = Principal(key_id="", name="")


def asked(
    question: Question, translators: Mapping[str, Translator], principal: Principal | None, *, max_depth: int
) -> Exchange:
    """The exchange it would be, with nothing read of it yet. Raises `InvalidRequest`."""
    check_json(question.body, max_depth=max_depth)
    speakers = [each for each in translators.values() if any(path.operation == "chat" for path in each.ingress)]
    translator = _named(speakers, question.dialect) if question.dialect else _guessed(speakers, question)
    names_in_path = _names_in_path(translator)
    if names_in_path and question.model is None:
        raise InvalidRequest(f"{translator.dialect} names the model in the path", fix="say which it is", param="model")
    exchange = Exchange(
        translator=translator,
        operation="chat",
        params=chat_params(translator, question.model or ""),
        headers=Headers(
            {b"user-agent": question.user_agent.encode("latin-1", "replace")} if question.user_agent else {}
        ),
        request_id="explain",
        client=_nobody_listens,
    )
    exchange.body = _body(question, translator)
    exchange.principal = principal or NOBODY
    return exchange


def _body(question: Question, translator: Translator) -> bytes:
    if question.model is None or _names_in_path(translator):
        return question.body
    return translator.rename_model(question.body, question.model)


def _names_in_path(translator: Translator) -> bool:
    return "model" in chat_params(translator, "any")


def _named(speakers: Sequence[Translator], dialect: str) -> Translator:
    for each in speakers:
        if each.dialect == dialect:
            return each
    known = [each.dialect for each in speakers]
    hint = did_you_mean(dialect, known)
    raise InvalidRequest(
        f"no installed translator speaks {dialect!a}{hint}", fix=f"one of: {', '.join(sorted(known))}", param="dialect"
    )


def _guessed(speakers: Sequence[Translator], question: Question) -> Translator:
    """The one to whom the least of the body is strange; among equals the form that is everybody's fallback."""
    fits: list[tuple[int, bool, Translator]] = []
    refusals: list[str] = []
    for each in speakers:
        try:
            fits.append((_strangeness(each, question), not each.is_default_form, each))
        except InvalidRequest as error:
            refusals.append(f"{each.dialect}: {error.message}")
    if fits:
        return min(fits, key=lambda fit: fit[:2])[2]
    raise InvalidRequest(
        "the body is no request in any dialect that is installed", why="; ".join(refusals), fix="name the dialect"
    )


def _strangeness(translator: Translator, question: Question) -> int:
    """How many fields of the body the dialect has no meaning for. Raises `InvalidRequest`."""
    params, headers = chat_params(translator, question.model or "any"), Headers({})
    body = _body(question, translator)
    translator.read_head(body, params, headers)
    request = translator.decode_request(body, params, headers)
    return len(request.losses) + sum(map(len, request.extensions.values()))


async def _nobody_listens(_: Any) -> Never:
    raise AssertionError("a dry run answers nobody")
