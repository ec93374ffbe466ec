"""The handlers of `/api/providers/{name}` and `/api/quota`."""

from typing import TypeAlias

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from omniroute.management.access import declare
from omniroute.management.providers import ProviderDetails
from omniroute.management.service import Management
from omniroute.quota import QuotaReading

__all__ = ["PROVIDER_HANDLERS"]

MANAGEMENT = declare("management")
Service: TypeAlias = NamedDependency[Management]


@get("/providers/{name:str}", opt=MANAGEMENT)
async def read_provider(service: Service, name: FromPath[str]) -> ProviderDetails:
    """One provider, by name or alias."""
    return await service.provider(name)


@get("/quota", opt=MANAGEMENT)
async def read_quota(service: Service) -> list[QuotaReading]:
    """How much of each account's plan is left, as it was last heard, and when it will be gone. Asks no provider."""
    return await service.quota()


PROVIDER_HANDLERS = (read_provider, read_quota)
