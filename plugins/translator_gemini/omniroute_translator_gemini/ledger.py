"""What an encoding gives up, written down as it happens."""

from omniroute.api import Loss, LossKind

__all__ = ["Ledger"]


class Ledger:
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

    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses)
