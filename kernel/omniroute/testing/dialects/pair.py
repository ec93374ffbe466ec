"""A client's dialect before an upstream's, without a gateway between: what one becomes in the other."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from omniroute.contracts import Headers, Outgoing, Translator
from omniroute.errors import InvalidRequest
from omniroute.framing import FRAMINGS
from omniroute.model import ChatRequest, ChatResponse, Event, ToolCallPart
from omniroute.streaming import Incoming, Translation, collect
from omniroute.testing.received import ReceivedRequest
from omniroute.translating import encoded

__all__ = ["Pair"]

NO_HEADERS = Headers({})
KEY = "test-key-1"


class Pair:
    """The kernel's way with a request and its answer, in pure calls."""

    def __init__(self, client: Translator, upstream: Translator) -> None:
        self.client = client
        self.upstream = upstream

    # --- requests -----------------------------------------------------------------------------------------------------

    def decode(self, body: bytes, target: str) -> ChatRequest:
        """As the client's path says. Raises `InvalidRequest`."""
        path = urlsplit(target).path
        for entry in self.client.ingress:
            before, _, after = entry.path.partition("{model}")
            if entry.operation == "chat" and path.startswith(before) and path.endswith(after):
                model = path[len(before) : len(path) - len(after)]
                params = {
                    **entry.params,
                    **dict(parse_qsl(urlsplit(target).query)),
                    **({"model": model} if after else {}),
                }
                return self.client.decode_request(body, params, NO_HEADERS)
        raise AssertionError(f"{self.client.dialect} has no chat at {path}")

    def encode(self, request: ChatRequest) -> Outgoing:
        """With the losses of decoding, as they are reported. Raises `InvalidRequest` for what the upstream cannot be asked."""
        if request.previous_response_id is not None and not self.upstream.keeps_threads:
            raise InvalidRequest("previous_response_id cannot be continued", param="/previous_response_id")
        return encoded(self.upstream, request)

    def received(self, request: ChatRequest, outgoing: Outgoing) -> ReceivedRequest:
        """The request as it arrives at the upstream, for its validator."""
        operation = self.upstream.operations["chat"]
        path = operation.stream_path if request.stream and operation.stream_path else operation.path
        place = self.upstream.credential
        headers = {
            "content-type": "application/json",
            **self.upstream.default_headers(),
            place.header: f"{place.prefix}{KEY}",
        }
        return ReceivedRequest(
            method="POST",
            target=f"/v1/{path.replace('{model}', request.model)}",
            headers=tuple(headers.items()),
            body=outgoing.body,
        )

    # --- answers ------------------------------------------------------------------------------------------------------

    def whole(self, body: bytes, request: ChatRequest, outgoing: Outgoing) -> bytes:
        return self._encoded(self.upstream.decode_response(body), request, outgoing)

    def stream(self, chunks: Iterable[bytes], request: ChatRequest, outgoing: Outgoing) -> bytes:
        """Raises `UpstreamError` for a stream that is broken or reports an error."""
        translation = Translation(
            Incoming(FRAMINGS[self.upstream.framing], self.upstream.response_decoder()),
            self.client.response_encoder(request),
            FRAMINGS[self.client.framing],
            outgoing.tool_names,
        )
        written = [translation.feed(chunk) for chunk in chunks]
        return b"".join([*written, translation.close()])

    def events(self, chunks: Iterable[bytes]) -> list[Event]:
        incoming = Incoming(FRAMINGS[self.upstream.framing], self.upstream.response_decoder())
        events = [event for chunk in chunks for event in incoming.feed(chunk)]
        return [*events, *incoming.close()]

    def folded(self, chunks: Iterable[bytes], request: ChatRequest, outgoing: Outgoing) -> bytes:
        """A stream for a client that wants the answer whole."""
        return self._encoded(collect(self.events(chunks)), request, outgoing)

    def _encoded(self, response: ChatResponse, request: ChatRequest, outgoing: Outgoing) -> bytes:
        names = outgoing.tool_names
        parts: Any = tuple(
            msgspec.structs.replace(part, name=names.get(part.name, part.name))
            if isinstance(part, ToolCallPart)
            else part
            for part in response.parts
        )
        return self.client.encode_response(msgspec.structs.replace(response, parts=parts), request)
