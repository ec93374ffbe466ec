"""`/api`: what the command line and a dashboard manage a gateway with.

`service` does the work and knows no HTTP, so that commands do the same without a server; `routes` are its Litestar
handlers; `access` is how any handler says who may call it.
"""

from typing import TYPE_CHECKING

from omniroute.management.access import check_declared, declare

if TYPE_CHECKING:
    from litestar import Router
    from litestar.openapi import OpenAPIConfig

    from omniroute.gateway import Gateway

__all__ = ["build_management", "build_openapi", "check_declared", "declare"]


def build_management(gateway: "Gateway") -> "Router":
    """The router at `/api`."""
    from omniroute.management.routes import build_router  # commands without a server do without Litestar

    return build_router(gateway)


def build_openapi(gateway: "Gateway") -> "OpenAPIConfig":
    """The description of `/api`, served at `/api/schema` to those who may use it."""
    from omniroute.management.routes import build_openapi_config

    return build_openapi_config(gateway)
