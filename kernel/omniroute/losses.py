"""What a request carries that another dialect has no place for."""

from omniroute.model import ChatRequest, Loss

__all__ = ["extension_losses"]


def extension_losses(request: ChatRequest, dialect: str) -> tuple[Loss, ...]:
    """One loss per top-level field that rides under a dialect other than `dialect`, which is about to be encoded."""
    return tuple(
        Loss(pointer=f"/{field}", kind="dropped", reason=f"{dialect} has no such field")
        for origin, fields in request.extensions.items()
        if origin != dialect
        for field in fields
    )
