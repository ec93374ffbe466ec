"""What an encoding gives up, written down as it happens."""

from omniroute.api import Loss

__all__ = ["Ledger"]


class Ledger:
    def __init__(self, losses: tuple[Loss, ...] = ()) -> None:
        self._losses = list(losses)

    def dropped(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="dropped", reason=reason))

    def approximated(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="approximated", reason=reason))

    def invented(self, pointer: str, reason: str) -> None:
        self._losses.append(Loss(pointer=pointer, kind="invented", reason=reason))

    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses)
