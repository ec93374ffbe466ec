import msgspec
import pytest

from omniroute.api import CredentialRejected, Frame, StreamBroken, UpstreamGarbled, Usage


def fed(translator, *chunks):
    tap = translator.tap()
    for chunk in chunks:
        tap.feed(Frame(msgspec.json.encode(chunk)))
    return tap


def saying(*parts, **more):
    return {"candidates": [{"content": {"parts": list(parts)}, **more}]}


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ({"text": "a"}, True),
        ({"text": "a", "thought": True}, True),
        ({"functionCall": {"name": "f"}}, True),
        ({"inlineData": {"mimeType": "image/png", "data": "aGk="}}, True),
        ({"executableCode": {"code": "1"}}, True),
        ({"text": ""}, False),
        ({"text": "", "thoughtSignature": "c2ln"}, False),
        ({"executableCode": None}, False),
        ({}, False),
    ],
)
def test_content_is_what_says_something(translator, part, content):
    tap = fed(translator, saying(part), saying())
    assert (tap.content, tap.ended, tap.needs_rewrite) == (content, False, False)


@pytest.mark.parametrize(
    ("chunk", "ended"),
    [
        (saying(finishReason="STOP"), True),
        (saying(finishReason="MALFORMED_FUNCTION_CALL"), True),
        (saying(finishReason="FINISH_REASON_UNSPECIFIED"), False),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
        ({"promptFeedback": {"safetyRatings": []}}, False),
        ({"usageMetadata": {}}, False),
    ],
)
def test_a_finish_reason_ends_the_answer(translator, chunk, ended):
    assert fed(translator, chunk).ended is ended


def test_usage_may_follow_the_end(translator):
    tap = fed(translator, saying(finishReason="STOP"), {"usageMetadata": {"promptTokenCount": 2}})
    assert (tap.ended, tap.usage) == (True, Usage(input_tokens=2))


def test_an_error_of_the_upstream_is_seen(translator):
    tap = fed(translator, saying({"text": "a"}), {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}})
    assert (type(tap.error), tap.ended) == (CredentialRejected, False)


def test_what_is_no_answer_is_garbled(translator):
    with pytest.raises(UpstreamGarbled):
        translator.tap().feed(Frame(b'{"candidates":5}'))


def test_a_break_is_told_in_the_dialects_words(translator):
    [frame] = translator.tap().fail(StreamBroken("cut"))
    assert msgspec.json.decode(frame.data)["error"]["message"] == "cut"
