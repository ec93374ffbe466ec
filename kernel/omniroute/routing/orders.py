"""`combo:fast` and `combo:cheap`: the strategy that a suffix stands for, in place of the combo's own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from omniroute.contracts import Strategy
from omniroute.errors import ModelNotFound

if TYPE_CHECKING:
    from omniroute.registry import Registry

__all__ = ["Orders"]

SUFFIXES: Mapping[str, str] = {"fast": "lowest-latency", "cheap": "cost-optimized"}
"""What may stand behind a combo's name and a colon, and the strategy that then orders it."""


class Orders:
    """Each combo and suffix have an instance of their own, for good."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._made: dict[tuple[str, str], Strategy] = {}

    def of(self, combo: str, suffix: str) -> Strategy:
        """Raises `ModelNotFound`."""
        known = self._made.get((combo, suffix))
        if known is not None:
            return known
        name = SUFFIXES.get(suffix)
        if name is None:
            raise ModelNotFound(
                f"the combo {combo!r} has no order {suffix[:100]!a}",
                fix=f"ask for {' or '.join(f'{combo}:{each}' for each in SUFFIXES)}, or for {combo} alone",
                param="model",
            )
        kind = self._registry.strategies.get(name)
        if kind is None:
            raise ModelNotFound(
                f"{combo}:{suffix} needs the strategy {name!r}, which is not installed",
                fix=f"install the plugin that brings it, or ask for {combo} alone",
                param="model",
            )
        made = self._made[combo, suffix] = kind(kind.options_type())
        return made
