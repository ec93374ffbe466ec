"""Gateways that speak a known dialect without a quirk: one row each, in `rows.py`."""

from omniroute.api import FactsProvider, hookimpl
from omniroute_providers_compatible.rows import ROWS

__all__ = ["ROWS", "register_providers"]


@hookimpl
def register_providers() -> list[FactsProvider]:
    return [FactsProvider(facts) for facts in ROWS]
