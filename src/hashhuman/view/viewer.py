"""Serves a subject to browsers: each tab gets a session of its own."""

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from hashhuman.view.mesh import ViewMesh
from hashhuman.view.packages import viser_package
from hashhuman.view.rendering import Progressive
from hashhuman.view.server import LOCAL, open_server, own_names, same_site
from hashhuman.view.session import Session
from hashhuman.view.subject import Subject
from hashhuman.view.turns import AnyTime, Turns


class Viewer:
    """Shows an avatar in the browser.

    Args:
        host: the address at which the viewer listens. 127.0.0.1 is this machine alone; 0.0.0.0 is everybody who can
            reach it.
        port: the port; 0: any that is free.
        allow_hosts: further names under which browsers may ask for this machine.
        progressive: renders the field.
    """

    def __init__(self, host: str, port: int, allow_hosts: Sequence[str], progressive: Progressive) -> None:
        self.host, self.port, self.allow_hosts, self.progressive = host, port, allow_hosts, progressive

    @staticmethod
    def require() -> None:
        """Raises UserError if viser is missing."""
        viser_package()

    @contextlib.contextmanager
    def serving(
        self, subject: Subject, mesh: ViewMesh, turns: Turns | None = None, live: bool = False
    ) -> Iterator[str]:
        """Context in which the subject is served. Yields the address for the browser.

        Args:
            subject: what is shown.
            mesh: what is drawn while something moves.
            turns: when the avatar may be used; None: at any time.
            live: whether the avatar is being trained meanwhile.

        Raises:
            UserError: if viser is missing, the port is in use, or the host is no address of this machine.
        """
        turns = AnyTime() if turns is None else turns
        server, names = open_server(self.host, self.port), own_names(self.host, self.allow_hosts)
        sessions: dict[int, Session] = {}
        lock = threading.Lock()

        def connected(client: Any) -> None:
            if not same_site(server, client.client_id, names, addresses=self.host not in LOCAL):
                return
            session = Session(client, subject, mesh, self.progressive, turns, live)
            with lock:
                sessions[client.client_id] = session
            session.start()

        def disconnected(client: Any) -> None:
            with lock:
                session = sessions.pop(client.client_id, None)
            if session is not None:
                session.end()

        try:
            server.on_client_connect(connected)
            server.on_client_disconnect(disconnected)
            shown = "localhost" if self.host in ("0.0.0.0", "::", "127.0.0.1") else self.host  # noqa: S104 # nosec B104 - only compared
            yield f"http://{shown}:{server.get_port()}"
        finally:
            with lock:
                for session in sessions.values():
                    session.end()
            with contextlib.redirect_stdout(io.StringIO()):  # it says so
                server.stop()
