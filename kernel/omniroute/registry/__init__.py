"""What all plugins gave, as plain dicts: built once at start, cross-checked, then only read."""

from omniroute.registry.building import build_registry
from omniroute.registry.tables import Combo, Entrance, Registry

__all__ = ["Combo", "Entrance", "Registry", "build_registry"]
