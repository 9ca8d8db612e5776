"""What the viewer serves: its page, and nothing of this machine; the avatar to its own page alone."""

import http.client
import socket
import threading
import time
import urllib.parse

import pytest

from hashhuman.errors import UserError
from hashhuman.view import server as servers
from hashhuman.view.viewer import Viewer
from tests.hashhuman.view.conftest import progressive

viser = pytest.importorskip("viser")
msgspec = pytest.importorskip("msgspec")  # viser brings this one and the next
client = pytest.importorskip("websockets.sync.client")


@pytest.fixture
def place(subject, mesh):
    """Host and port where the toy is shown."""
    with Viewer("127.0.0.1", 0, [], progressive()).serving(subject, mesh) as address:
        yield urllib.parse.urlsplit(address).hostname, urllib.parse.urlsplit(address).port


def asked(place, path: str) -> tuple[int, bytes]:
    """Status and content of a path that is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", place[1], timeout=10)
    connection.putrequest("GET", path, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_page_is_there(place):
    status, content = asked(place, "/")
    assert status == 200 and b"<html" in content


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/../../__init__.py", "/%2e%2e/%2e%2e/__init__.py", "/..%2f..%2f__init__.py",
        "/..%5c..%5c__init__.py", "//etc/passwd", "/%2fetc%2fpasswd", "/./../../_viser.py", "/assets/", "/mesh.npz",
    ],
)  # fmt: skip
def test_no_path_leads_out(place, path):
    assert asked(place, path)[0] == 404


def test_it_listens_to_this_machine_alone(place):
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(3)
        other.connect((_own_address(), place[1]))


def _own_address() -> str:
    """An address of this machine that others can reach; if there is none, one that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found = probe.getsockname()[0]
        except OSError:
            return "192.0.2.1"
    return "192.0.2.1" if found.startswith("127.") else found


@pytest.mark.parametrize(
    "name, heard",
    [("example.org", False), ("192.0.2.7", True), ("[2001:db8::7]", True), ("lab.example.org", True), ("", False)],
)
def test_a_viewer_for_all_machines_knows_its_names(subject, mesh, capsys, name, heard):
    viewer = Viewer("0.0.0.0", 0, ["Lab.example.org"], progressive())  # noqa: S104 # nosec B104
    with viewer.serving(subject, mesh) as address:
        place = "127.0.0.1", urllib.parse.urlsplit(address).port
        host = f"{name}:{place[1]}"
        got = received(place, 1.0, Origin=f"http://{host}", Host=host) if name else received(place, 1.0, Origin="null")
    assert (got > 5000) == heard
    assert ("is no name" in capsys.readouterr().out) == (name == "example.org")


def test_names_of_this_machine():
    assert socket.gethostname().lower() in servers.own_names("0.0.0.0", [])  # noqa: S104 # nosec B104
    assert servers.own_names("127.0.0.1", ["Lab"]) == {"127.0.0.1", "localhost", "::1", "lab"}


def received(place, seconds: float = 2.0, **headers: str) -> int:
    """How many bytes a tab gets that a page of another origin opens."""
    host = headers.pop("Host", None)
    uri, sock = f"ws://127.0.0.1:{place[1]}/", None
    if host is not None:  # as a browser for which that name is this machine
        sock, uri = socket.create_connection(("127.0.0.1", place[1])), f"ws://{host}/"
    tab = client.connect(
        uri, sock=sock, origin=headers.get("Origin"), subprotocols=[f"viser-v{viser.__version__}"], max_size=None,
        compression=None,
    )  # type: ignore[arg-type]  # fmt: skip
    camera = {
        "type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, 1.0, 3.0), "fov": 0.8,
        "near": 0.01, "far": 1000.0, "image_height": 60, "image_width": 80, "look_at": (0.0, 1.0, 0.0),
        "up_direction": (0.0, 1.0, 0.0),
    }  # fmt: skip
    tab.send(msgspec.msgpack.encode(camera))
    count, end = 0, time.monotonic() + seconds
    with tab:
        while (left := end - time.monotonic()) > 0:
            try:
                count += len(tab.recv(timeout=left))
            except TimeoutError:
                break
    return count


def test_its_own_page_gets_the_avatar_and_others_nothing(place):
    own = received(place, Origin=f"http://127.0.0.1:{place[1]}")
    assert own > 5000
    assert received(place, Origin="http://example.org") < own / 5
    name = f"example.org:{place[1]}"  # a stranger's name for this machine
    assert received(place, Origin=f"http://{name}", Host=name) < own / 5


def test_no_page_can_open_a_tunnel(monkeypatch):
    opened = threading.Event()
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *_: opened.set())
    server = servers.open_server("127.0.0.1", 0)
    try:
        for handler in server._websock_server._incoming_handlers.get(viser._messages.ShareUrlRequest, []):
            handler(0, None)
        time.sleep(0.3)
        assert not opened.is_set() and server._websock_server._incoming_handlers
    finally:
        server.stop()


def test_a_port_in_use_is_one_sentence(place):
    with pytest.raises(UserError, match=rf"cannot listen at 127\.0\.0\.1:{place[1]} \(.*\): choose another port="):
        servers.open_server("127.0.0.1", place[1])


def test_a_host_that_is_not_ours_is_one_sentence():
    with pytest.raises(UserError, match=r"cannot listen at 192\.0\.2\.1:0"):
        servers.open_server("192.0.2.1", 0)
