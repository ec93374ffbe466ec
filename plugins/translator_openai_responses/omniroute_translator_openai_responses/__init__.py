"""The OpenAI Responses dialect: requests, answers and streams, both ways.

Knows the wire and nothing of providers, sockets or the framework; what a provider does differently it states as facts or
in its `adapt`. Conventions shared with other dialects:

- A free-form (`custom`) tool call travels as the arguments `{"input": "<text>"}`, whoever declared the tool.
- A text the model marked as a refusal carries `provider_metadata["openai-chat"]["refusal"]`.
- What another vendor wants echoed back rides to the client in `encrypted_content`, packed by `carry`; it is unpacked on the
  way in and never sent to an upstream.

And its own:

- A request read from this dialect bears `extensions["openai-responses"]`, empty or not. Written back, it keeps its defaults
  (`store`, no summary, `strict` unsaid); requests of other dialects get what these mean by theirs.
- A field inside an object rides under its path: `extensions["openai-responses"]["text/verbosity"]`.
- Item ids and statuses are bookkeeping: calls and results are paired by `call_id`, so the ids of messages and calls are left
  out; those of reasoning stay with its `encrypted_content`.
- An item only this dialect knows is an empty text (or an image) with the whole item in its metadata under `item`.
- A tool's place (its namespace, or an input item that brought it) is in its metadata under `namespace`.
"""

from omniroute.api import hookimpl
from omniroute_translator_openai_responses.translator import OpenAIResponses

__all__ = ["OpenAIResponses", "register_translators"]


@hookimpl
def register_translators() -> list[OpenAIResponses]:
    return [OpenAIResponses()]
