"""check_translator lets a whole, small dialect pass and finds each defect that is put into it."""

import importlib.util
import itertools
import re
from pathlib import Path

import msgspec
import pytest

from omniroute.api import (
    CredentialPlace,
    ErrorBody,
    Frame,
    Ingress,
    Loss,
    ModelFacts,
    PartEnd,
    PartStart,
    ReasoningPart,
    ResponseEnd,
    ToolCallPart,
    UpstreamGarbled,
    UpstreamOperation,
    Usage,
    UsageUpdate,
)
from omniroute.testing import check_translator


def load_toy():
    """A module beside this one; the tests are no package."""
    path = Path(__file__).with_name("toy_dialect.py")
    spec = importlib.util.spec_from_file_location("toy_dialect", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy = load_toy()
COUNT = itertools.count()
ENCODE = msgspec.json.encode


def test_a_whole_dialect_passes():
    check_translator(toy.Toy())


def defect(**members):
    return type("Defect", (toy.Toy,), members)()


def edited(method, change):
    """The method of the good dialect, with its result changed."""
    return lambda self, *given: change(getattr(toy.Toy, method)(self, *given))


def without(method, field):
    """What `method` takes is decoded with one field of the request gone."""

    def change(request):
        return msgspec.structs.replace(request, **{field: type(getattr(request, field))()})

    return edited(method, change)


class EagerTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.content = True


class LateTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.content = self.ended


class BlindTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.error = None


class MiscountingTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.usage = Usage()


class EndlessTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.ended = False


class HastyTap(toy.ToyTap):
    def feed(self, frame):
        super().feed(frame)
        self.ended = self.content


class TrustingDecoder(toy.ToyDecoder):
    def close(self):
        yield ResponseEnd(finish_reason=self.finish or "stop")


class ForgetfulDecoder(toy.ToyDecoder):
    def feed(self, frame):
        return [event for event in super().feed(frame) if not isinstance(event, PartEnd)]


class ThoughtlessDecoder(toy.ToyDecoder):
    """Takes thinking for text."""

    def feed(self, frame):
        return super().feed(Frame(frame.data.replace(b'"think"', b'"text"')))


class FreeDecoder(toy.ToyDecoder):
    def feed(self, frame):
        return [event for event in super().feed(frame) if not isinstance(event, UsageUpdate)]


class CrashingDecoder(toy.ToyDecoder):
    def feed(self, frame):
        msgspec.json.decode(frame.data)
        yield from super().feed(frame)


class NamelessDecoder(toy.ToyDecoder):
    def feed(self, frame):
        for event in super().feed(frame):
            if isinstance(event, PartStart) and isinstance(event.part, ToolCallPart):
                yield PartStart(index=event.index, part=msgspec.structs.replace(event.part, id=""))
            else:
                yield event


class SilentEncoder(toy.ToyEncoder):
    def fail(self, error):
        return []


class VagueEncoder(toy.ToyEncoder):
    def fail(self, error):
        return [Frame(ENCODE({"error": "oh"}))]


class PoliteEncoder(toy.ToyEncoder):
    def fail(self, error):
        return [Frame(ENCODE({"finish": "stop", "note": error.message}))]


class WrappingEncoder(toy.ToyEncoder):
    """Puts a line end into what is one line."""

    def feed(self, event):
        return [Frame(msgspec.json.format(frame.data)) for frame in super().feed(event)]


def making(kind, method):
    return {method: lambda self, *given: kind()}


def crash(self, body, params, headers):
    return toy.Toy.decode_request(self, body[:0] + ENCODE(msgspec.json.decode(body)), params, headers)


DEFECTS = {
    # facts
    "a dialect with a space": (defect(dialect="my toy"), "dialect 'my toy'"),
    "no framing": (defect(framing=""), "no framing"),
    "no way in": (defect(ingress=()), "no ingress for chat"),
    "a path without a slash": (defect(ingress=(Ingress(path="toy", operation="chat"),)), "must start with a slash"),
    "a path claimed twice": (defect(ingress=toy.Toy.ingress * 2), "two ingress entries"),
    "a small method": (defect(ingress=(Ingress(path="/t", operation="chat", method="post"),)), "must be upper case"),
    "an absolute operation": (defect(operations={"chat": UpstreamOperation(path="/chat")}), "so no slash"),
    "a capital credential": (defect(credential=CredentialPlace(header="X-Key")), "must be lower case"),
    "a capital marker": (defect(models_header="X-Toy"), "models_header 'X-Toy'"),
    # headers
    "the client's key goes along": (
        defect(request_headers=lambda self, headers: {"authorization": headers.get("authorization")}),
        "passes the client's authorization on",
    ),
    "the client's key under another name": (
        defect(request_headers=lambda self, headers: {"x-other": headers.get("x-api-key")}),
        "passes the client's key on in x-other",
    ),
    "capital headers": (defect(default_headers=lambda self: {"X-Version": "1"}), "'X-Version' must be lower case"),
    # requests
    "another body each time": (
        defect(encode_request=edited("encode_request", lambda out: msgspec.structs.replace(out, body=out.body + b" " * next(COUNT)))),
        "a plain request: encoded twice, it differs",
    ),
    "a loss without a place": (
        defect(
            encode_request=edited(
                "encode_request",
                lambda out: msgspec.structs.replace(out, losses=(Loss(pointer="", kind="dropped", reason="x"),)),
            )
        ),
        "needs a JSON pointer",
    ),
    "tools get lost": (defect(decode_request=without("decode_request", "tools")), "a tool round: tools was"),
    "messages get lost": (defect(decode_request=without("decode_request", "messages")), "messages was"),
    "the choice gets lost": (
        defect(decode_request=edited("decode_request", lambda r: msgspec.structs.replace(r, tool_choice=None))),
        "tool_choice was 'auto'",
    ),
    "a head of its own": (
        defect(read_head=edited("read_head", lambda head: msgspec.structs.replace(head, max_output_tokens=1))),
        "read_head says max_output_tokens is 1",
    ),
    "a head without tools": (
        defect(read_head=edited("read_head", lambda head: msgspec.structs.replace(head, has_tools=False))),
        "read_head says has_tools is False",
    ),
    "renaming does nothing": (defect(rename_model=lambda self, body, model: body), "renamed, it asks for 'some-model'"),
    "renaming re-encodes": (
        defect(rename_model=lambda self, body, model: ENCODE({**msgspec.json.decode(body), "model": model})),
        "rename_model re-encoded a value",
    ),
    "own fields get lost": (defect(decode_request=without("decode_request", "extensions")), "unknown field of this very"),
    "foreign fields get lost in silence": (
        defect(encode_request=edited("encode_request", lambda out: msgspec.structs.replace(out, losses=()))),
        "dropped without a Loss",
    ),
    "foreign fields get through": (
        defect(
            encode_request=lambda self, request: msgspec.structs.replace(
                toy.Toy.encode_request(self, request),
                body=ENCODE(
                    {
                        **msgspec.json.decode(toy.Toy.encode_request(self, request).body),
                        **{name: value for fields in request.extensions.values() for name, value in fields.items()},
                    }
                ),
            )
        ),
        "a field of another dialect was written",
    ),
    "bad bodies crash it": (defect(decode_request=crash), "it must be InvalidRequest"),
    "bad bodies please it": (
        defect(read_head=lambda self, body, params, headers: toy.Toy.read_head(self, body or b'{"model":"m","stream":false,"max":null}', params, headers)),
        "read_head(b'') accepts what is no JSON object",
    ),
    # answers
    "another answer each time": (
        defect(encode_response=edited("encode_response", lambda body: body + b" " * next(COUNT))),
        "a text: encoded twice, it differs",
    ),
    "the finish reason gets lost": (
        defect(decode_response=edited("decode_response", lambda r: msgspec.structs.replace(r, finish_reason="stop"))),
        "a cut text, whole: finish_reason was 'length'",
    ),
    "usage gets lost": (
        defect(decode_response=edited("decode_response", lambda r: msgspec.structs.replace(r, usage=None))),
        "usage was lost",
    ),
    "the share of the cache gets lost": (
        defect(
            decode_response=edited(
                "decode_response",
                lambda r: msgspec.structs.replace(r, usage=msgspec.structs.replace(r.usage, cached_tokens=0)),
            )
        ),
        "usage.cached_tokens was 20",
    ),
    "usage is read in two ways": (
        defect(decode_usage=lambda self, body: Usage(input_tokens=1) if b'"finish"' in body and b"parts" in body else None,
               decode_response=lambda self, body: msgspec.structs.replace(toy.Toy.decode_response(self, body), usage=toy.Toy().decode_usage(body))),
        "decode_usage differs from decode_response",
    ),
    "parts get lost": (
        defect(decode_response=edited("decode_response", lambda r: msgspec.structs.replace(r, parts=r.parts[:1]))),
        "thinking and text, whole: was",
    ),
    "thinking gets lost when whole": (
        defect(
            decode_response=edited(
                "decode_response",
                lambda r: msgspec.structs.replace(r, parts=tuple(p for p in r.parts if not isinstance(p, ReasoningPart))),
            )
        ),
        "thinking and text, streamed: was",
    ),
    "a stream breaks the order": (defect(**making(ForgetfulDecoder, "response_decoder")), "part 0 is still open"),
    "a stream takes thinking for text": (defect(**making(ThoughtlessDecoder, "response_decoder")), "streamed: was"),
    "a stream costs nothing": (defect(**making(FreeDecoder, "response_decoder")), "streamed: usage was lost"),
    "a stream's calls have no id": (defect(**making(NamelessDecoder, "response_decoder")), "a tool call without an id"),
    "a frame is no line": (defect(**making(WrappingEncoder, "response_encoder")), "do not survive the framing 'ndjson'"),
    "half a stream is whole": (defect(**making(TrustingDecoder, "response_decoder")), "for a whole answer"),
    "the tap is eager": (defect(**making(EagerTap, "tap")), "no fallback any more"),
    "the tap is late": (defect(**making(LateTap, "tap")), "it would commit too late"),
    "the tap sees no end": (defect(**making(EndlessTap, "tap")), "the tap did not see the end"),
    "the tap ends early": (defect(**making(HastyTap, "tap")), "the tap says that it has ended"),
    "the tap miscounts": (defect(**making(MiscountingTap, "tap")), "the tap counts"),
    "the tap sees no error": (defect(**making(BlindTap, "tap")), "a tap does not see the error"),
    "a failure is silent": (defect(**making(SilentEncoder, "response_encoder")), "encoder.fail() says nothing"),
    "a failure is vague": (defect(**making(VagueEncoder, "response_encoder")), "does not say what happened"),
    "a failure is a proper end": (defect(**making(PoliteEncoder, "response_encoder")), "a tap does not see the error"),
    "garbage crashes the decoder": (
        defect(**making(CrashingDecoder, "response_decoder")),
        "decoder.feed(b'<html>') raises DecodeError",
    ),
    "garbage crashes the reader": (
        defect(decode_response=lambda self, body: toy.Toy.decode_response(self, ENCODE(msgspec.json.decode(body)))),
        "decode_response(b'') raises DecodeError",
    ),
    "garbage pleases the list": (
        defect(decode_models=lambda self, body: [] if body == b"<html>" else toy.Toy.decode_models(self, body)),
        "decode_models(b'<html>') raises nothing",
    ),
    # errors, models, tokens
    "errors all look alike": (
        defect(encode_error=edited("encode_error", lambda e: msgspec.structs.replace(e, status=500))),
        "RequestError: status 500; the error says 400",
    ),
    "errors say nothing": (
        defect(encode_error=lambda self, error, request: ErrorBody(status=error.status, body=b'{"error":"oh"}')),
        "does not say what happened",
    ),
    "errors are no JSON": (
        defect(encode_error=lambda self, error, request: ErrorBody(status=error.status, body=b"it broke")),
        "is no JSON",
    ),
    "errors have capital headers": (
        defect(encode_error=edited("encode_error", lambda e: msgspec.structs.replace(e, headers={"X-A": "1"}))),
        "header 'X-A' must be lower case",
    ),
    "a list loses models": (defect(decode_models=edited("decode_models", lambda found: found[:1])), "decode_models() give"),
    "an empty list is full": (
        defect(decode_models=edited("decode_models", lambda found: found or [ModelFacts(id="x")])),
        "an empty model list is not empty",
    ),
    "a model has no name": (defect(encode_model=lambda self, model: b"{}"), "encode_model(acme/small) does not name it"),
    "tokens are miscounted": (
        defect(encode_token_count=lambda self, count: ENCODE({"tokens": count + 1})),
        "4321 came back as 4322",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("translator", "told"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_found(translator, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_translator(translator)


def test_garbled_answers_are_what_the_toy_says_they_are():
    with pytest.raises(UpstreamGarbled):
        toy.Toy().decode_response(b"{}")
