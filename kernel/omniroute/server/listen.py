"""Sockets to listen on, bound before anything else starts: a port that is taken is found out first."""

import contextlib
import errno
import socket
import sys

from omniroute.errors import StartError
from omniroute.server.hosts import is_wildcard, url_host

__all__ = ["CannotListen", "PortInUse", "base_url", "bind", "raise_file_limit"]

BACKLOG = 2048


class CannotListen(StartError):
    code = "cannot-listen"


class PortInUse(CannotListen):
    code = "port-in-use"


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for `host`, all on one port; 0 takes a free one. `localhost` is 127.0.0.1 and ::1.

    Raises `PortInUse` or `CannotListen`.
    """
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    try:
        for address in _addresses(host):
            try:
                sockets.append(_listening(address, sockets[0].getsockname()[1] if sockets else port))
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    problem = error  # one of several: a machine without IPv6
                    continue
                raise
        if not sockets:
            raise problem or OSError(errno.EADDRNOTAVAIL, "no address")
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        raise _why(error, host, port) from error
    return sockets


def _addresses(host: str) -> list[str]:
    if host.lower() == "localhost":
        return ["127.0.0.1", "::1"]  # not asked of a resolver: it might say something else
    if host in ("", "*"):
        return ["0.0.0.0", "::"]
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY by it
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((address, port))
        listener.listen(BACKLOG)  # with SO_REUSEADDR a taken port shows only here
    except BaseException:
        listener.close()
        raise
    return listener


def _why(error: OSError | UnicodeError, host: str, port: int) -> CannotListen:
    where = f"{url_host(host) or '*'}:{port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return CannotListen(
            f"cannot listen on {where}", why=f"the name {host!r} is unknown", fix="give an address of this machine"
        )
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return PortInUse(
            f"port {port} is taken",
            why=f"another program, perhaps another omniroute, listens on {where}",
            fix=f"omniroute serve --port {other}, or stop the other program",
        )
    if error.errno == errno.EACCES:
        return CannotListen(
            f"cannot listen on {where}",
            why="the operating system does not allow it" + (" below port 1024" if port < 1024 else ""),
            fix="choose another port, for example omniroute serve --port 20128",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(
            f"cannot listen on {where}", why="this machine has no such address", fix="listen on 127.0.0.1"
        )
    return CannotListen(f"cannot listen on {where}", why=error.strerror or str(error))


def base_url(host: str, sockets: list[socket.socket]) -> str:
    """Where a client on this machine finds us."""
    port = sockets[0].getsockname()[1]
    if is_wildcard(host):
        host = "127.0.0.1" if sockets[0].family == socket.AF_INET else "::1"
    return f"http://{url_host(host)}:{port}"


def raise_file_limit(wanted: int) -> None:
    """Allow this process `wanted` open files where the system lets us: its usual 256 or 1,024 is below our limits."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower ceiling than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
