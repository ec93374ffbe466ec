"""Token counts without a network: OpenAI's vocabularies, and measured factors for models whose own is not at hand.

`families` has the facts: which model counts how, and how well that was measured.
"""

from omniroute.api import hookimpl
from omniroute_tokens_offline.counter import OfflineCounter

__all__ = ["OfflineCounter", "register_token_counters"]


@hookimpl
def register_token_counters() -> list[OfflineCounter]:
    return [OfflineCounter()]
