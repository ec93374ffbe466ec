"""What an encoding gives up, written down as it happens."""

from omniroute.model import Loss, LossKind, Part, Tool

__all__ = ["Ledger"]

ALREADY_READ = "declaration"
"""A tool's declaration as its own dialect wrote it; what others can use of it is in the canonical fields."""


class Ledger:
    """Of one request. Pointers lead into the canonical request; the kernel turns them into places in the client's body."""

    def __init__(self, losses: tuple[Loss, ...] = ()) -> None:
        self._losses = list(losses)

    def add(self, pointer: str, kind: LossKind, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind=kind, reason=reason))

    def dropped(self, pointer: str, reason: str) -> None:
        self.add(pointer, "dropped", reason)

    def approximated(self, pointer: str, reason: str) -> None:
        self.add(pointer, "approximated", reason)

    def invented(self, pointer: str, reason: str) -> None:
        self.add(pointer, "invented", reason)

    def foreign(self, source: Part | Tool, pointer: str, dialect: str) -> None:
        """A loss for each thing that dialects other than `dialect` attached, but for what canonical fields say as well."""
        known = {ALREADY_READ, "cache_control"} if source.cache else {ALREADY_READ}
        for origin, fields in source.provider_metadata.items():
            if origin != dialect:
                for name in (name for name, value in fields.items() if value and name not in known):
                    self.dropped(f"{pointer}/{name}", f"only {origin} knows {name}")

    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses)
