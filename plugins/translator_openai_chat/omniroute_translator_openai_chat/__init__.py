"""The OpenAI Chat Completions dialect: requests, answers and streams, both ways.

Knows the wire and nothing of providers, sockets or the framework; what a provider does differently it states as facts or
in its `adapt`. Conventions shared with other dialects:

- A free-form (`custom`) tool call travels as the arguments `{"input": "<text>"}`, whoever declared the tool.
- A text the model marked as a refusal carries `provider_metadata["openai-chat"]["refusal"]`.
- A thought signature that came with a call is `provider_metadata["gemini"]["thought_signature"]`.
- What other vendors want back rides to the client in `extra_content` of a call, packed by `carry` (see `extra_content`); it is
  unpacked on the way in and never sent to an upstream.
- `extensions["openai-chat"]["max_completion_tokens"]`, set by a provider, chooses that name for the limit on output.
"""

from omniroute.api import hookimpl
from omniroute_translator_openai_chat.legacy import OpenAICompletions
from omniroute_translator_openai_chat.translator import OpenAIChat

__all__ = ["OpenAIChat", "OpenAICompletions", "register_translators"]


@hookimpl
def register_translators() -> list[OpenAIChat]:
    return [OpenAIChat(), OpenAICompletions()]
