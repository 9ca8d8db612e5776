"""viser's server, without what the viewer must not do: a tunnel to the internet, and answers to other web pages.

viser serves the files of its own page, and nothing else over HTTP. What belongs to a run goes over the websocket, to
one tab at a time, and only after `same_site` has said yes.
"""

import contextlib
import io
import ipaddress
import logging
import socket
import warnings
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from hashhuman.errors import UserError
from hashhuman.view.packages import viser_package

LOCAL = ("127.0.0.1", "localhost", "::1")


def open_server(host: str, port: int) -> Any:
    """Starts viser's server and returns it.

    Raises:
        UserError: if the port is in use, or the host is no address of this machine.
    """
    viser = viser_package()
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection")  # a tab closes while its picture is made
    _check_free(host, port)
    logging.getLogger("websockets").setLevel(logging.WARNING)  # it tells of every tab that opens or closes
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its address in a box
        server = viser.ViserServer(host=host, port=port, verbose=False)
    server.scene.set_up_direction("+y")  # before a tab opens, since its camera begins with it
    # The page's button for it is hidden, but any page could send the message that asks for a tunnel.
    server.request_share_url = _no_tunnel
    return server


def same_site(server: Any, client_id: int, names: Collection[str], addresses: bool) -> bool:
    """Whether a websocket was opened by the viewer's own page.

    Any page in the user's browser may open a websocket to this machine, and the browser says in `Origin` which page it
    was. A name server may give this machine a stranger's name, so the name must be one of ours, too.

    Args:
        server: what `open_server` returned.
        client_id: viser's number of the tab.
        names: the names under which the viewer may be asked for.
        addresses: whether it may also be asked for by any address: no name server can make a stranger's page of that.
    """
    connection = server._websock_server._live_connections.get(client_id)
    if connection is None or connection.request is None:
        return False
    headers = connection.request.headers
    host, origin = headers.get("Host", ""), headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    name = urlsplit(f"//{host}").hostname or ""
    if name in names or (addresses and _is_address(name)):
        return True
    print(
        f"A browser asked for the viewer as {name[:253]!r}, which is no name of this machine that it knows: if it is "
        "one, add it to allow_hosts=.",
        flush=True,
    )
    return False


def own_names(host: str, more: Sequence[str]) -> set[str]:
    """The names under which a viewer at `host` may be asked for, in lower case, as browsers send them.

    Args:
        host: where it listens; at an address of this machine alone, only local names count.
        more: names that the user allows.
    """
    machine = () if host in LOCAL else (socket.gethostname(), socket.getfqdn())
    return {name.lower() for name in (*LOCAL, host, *machine, *more)}


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _no_tunnel(verbose: bool = True) -> None:
    """In place of viser's method, which asks a server on the internet for a public address."""


def _check_free(host: str, port: int) -> None:
    """Raises UserError if a server cannot listen there. viser would take another port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(
            f"The viewer cannot listen at {host}:{port} ({error.strerror or error}): choose another port=, or 0 for "
            "any that is free."
        ) from None
