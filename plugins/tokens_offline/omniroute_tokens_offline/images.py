"""What images cost, by the rules that vendors publish. A size is (width, height) in pixels, None when it is not known: then
the most that the rule can give, or for rules without a limit what a screenshot costs."""

import math
from typing import Protocol, TypeAlias

import msgspec

__all__ = ["ByDetail", "ImageRule", "Patches", "ScaledTiles", "Tiles"]

Size: TypeAlias = tuple[int, int]


class ImageRule(Protocol):
    def tokens(self, size: Size | None, detail: str | None) -> int: ...


class Patches(msgspec.Struct, frozen=True, kw_only=True):
    """A token for each square of `side_px`, times `factor`; an image of more than `most` squares is scaled down."""

    side_px: int
    most: int
    long_edge_px: int | None = None
    """Scaled down to this first."""
    factor: float = 1.0

    def tokens(self, size: Size | None, detail: str | None) -> int:
        patches = self.most
        if size is not None:
            scale = min(1.0, self.long_edge_px / max(size)) if self.long_edge_px else 1.0
            patches = min(self.most, math.prod(math.ceil(edge * scale / self.side_px) for edge in size))
        return math.ceil(patches * self.factor)


class ScaledTiles(msgspec.Struct, frozen=True, kw_only=True):
    """Scaled down into 2048 x 2048, then to a short edge of 768, then cut into tiles of 512; low detail costs `base` alone."""

    base: int
    tile: int

    def tokens(self, size: Size | None, detail: str | None) -> int:
        if detail == "low":
            return self.base
        width, height = size or (2048, 768)
        scale = min(1.0, 2048 / max(width, height))
        scale *= min(1.0, 768 / (min(width, height) * scale))
        # a rounding error must not become a tile
        tiles = math.prod(math.ceil(round(edge * scale, 3) / 512) for edge in (width, height))
        return self.base + self.tile * tiles


class Tiles(msgspec.Struct, frozen=True, kw_only=True):
    """`tile` for an image that fits into 384 x 384, and for each started 768 x 768 of a larger one."""

    tile: int

    def tokens(self, size: Size | None, detail: str | None) -> int:
        width, height = size or (1536, 1024)
        if max(width, height) <= 384:
            return self.tile
        return self.tile * math.ceil(width / 768) * math.ceil(height / 768)


class ByDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The same for every size."""

    usual: int
    low: int

    def tokens(self, size: Size | None, detail: str | None) -> int:
        return self.low if detail == "low" else self.usual
