"""The handlers of `/api/import`: planning without secrets, then one login at a time."""

from typing import TypeAlias

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from omniroute.importing.values import ImportSources, LocalServer, Planned, TakeOver
from omniroute.management.access import declare
from omniroute.management.importing import Imported, PlanImport
from omniroute.management.repeats import LOOKS
from omniroute.management.service import Management

__all__ = ["IMPORT_HANDLERS"]

MANAGEMENT = declare("management")
MAX_PLAN_BYTES = 16 * 1024 * 1024
MAX_LOGIN_BYTES = 512 * 1024
"""Tokens may be long."""
Service: TypeAlias = NamedDependency[Management]


@get("/import", opt=MANAGEMENT)
async def read_import_sources(service: Service) -> ImportSources:
    """Where other programs keep what providers here could use. Nothing is looked at."""
    return await service.import_sources()


@get("/import/local", opt=MANAGEMENT)
async def read_local_servers(service: Service) -> list[LocalServer]:
    """Model servers that answer on this machine now."""
    return await service.local_servers()


@post("/import/plan", opt={**MANAGEMENT, LOOKS: True}, status_code=200, request_max_body_size=MAX_PLAN_BYTES)
async def plan_import(service: Service, data: JSONBody[PlanImport]) -> list[Planned]:
    """What would become of logins and keys that were found; no secrets yet."""
    return await service.plan_import(data)


@post("/import", opt=MANAGEMENT, request_max_body_size=MAX_LOGIN_BYTES)
async def import_login(service: Service, data: JSONBody[TakeOver]) -> Imported:
    """Make an account of a login or key; its credential is stored encrypted."""
    return await service.import_login(data)


IMPORT_HANDLERS = (read_import_sources, read_local_servers, plan_import, import_login)
