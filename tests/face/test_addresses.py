"""Addresses where no cluster is: refused in words, at once, by every command that takes one."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
import ray

from antiphon.deploy import address as addresses
from antiphon.deploy.finding import checked_name
from antiphon.errors import ClusterError, VersionError

ASKING = ["launch", "backprop"], ["status"], ["attach", "mine"], ["stop", "mine"]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch) -> None:
    for name in (*addresses.VARIABLES, "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")  # so that what a test sets does not last
        monkeypatch.delenv(name)
    # A Ray that other tests are connected to would be used, whatever the address; the command line's has none.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.fixture
def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def web(place) -> Iterator[str]:
    """An HTTP server that is no dashboard."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody who listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


NOBODY = (
    "error: nothing answers at {!r}: Connection refused. Expected the head of a Ray cluster; correct the address, "
    "start the cluster, or open the way to it (its dashboard listens on 127.0.0.1 alone, unless --dashboard-host says "
    "else).\n"
)


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_nobody_listens(antiphon, nowhere, command):
    for address in (f"http://{nowhere}", nowhere):
        told = antiphon(*command, "--address", address)
        assert (told.code, told.out, told.error) == (2, "", NOBODY.format(address))


def test_a_run_joins_nobody(antiphon, nowhere, place):
    told = antiphon("run", "backprop", "--address", nowhere)
    assert (told.code, told.error) == (2, NOBODY.format(nowhere))
    assert not (place / "runs").exists()


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_a_web_server_is_no_dashboard(antiphon, web, command):
    told = antiphon(*command, "--address", f"http://{web}")
    assert (told.code, told.error) == (
        2,
        f"error: what answers at 'http://{web}' is no dashboard of Ray: it answers 404. Expected the one of the "
        "cluster's head, which listens on port 8265 unless told otherwise. Correct the address.\n",
    )


def test_a_web_server_is_no_control_store(antiphon, web):
    told = antiphon("run", "backprop", "--address", web)
    assert (told.code, told.error) == (
        2,
        f"error: what answers at '{web}' is no head of a Ray cluster: it speaks another protocol. Expected its control "
        "store, which listens on port 6379 unless told otherwise. Correct the address.\n",
    )


class Open(Quiet):
    """A dashboard of Ray that asks for no token."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ray_version": "2.60.0"}')


def test_a_dashboard_that_asks_for_no_token_is_refused_unless_the_user_allows_it(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Open) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ClusterError, match=r"takes requests without a token.*ANTIPHON_WITHOUT_TOKEN=1"):
            addresses.dashboard(url)
        monkeypatch.setenv("ANTIPHON_WITHOUT_TOKEN", "1")
        assert addresses.dashboard(url) == url
        server.shutdown()


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_a_token_mode_that_is_turned_off_does_not_pass_silently(antiphon, nowhere, monkeypatch, command):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for address in (nowhere, f"http://{nowhere}"):
        told = antiphon(*command, "--address", address)
        assert told.code == 2
        assert f"the cluster at {address!r} was to be used without a token" in told.error
        assert "RAY_AUTH_MODE=disabled; expected token. Unset RAY_AUTH_MODE" in told.error


def test_silence_is_not_waited_for(silent, monkeypatch):
    monkeypatch.setattr(addresses, "_SECONDS", 0.2)
    for address in (silent, f"http://{silent}"):
        with pytest.raises(ClusterError, match=f"nothing answers at '{address}': timed out. Expected the head"):
            addresses.dashboard(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001", "127.0.0.1", "127.0.0.1:port"])
def test_what_can_be_joined_is_told(antiphon, address):
    told = antiphon("run", "backprop", "--address", address)
    assert (told.code, told.error) == (
        2,
        f"error: address {address!r} is none of a cluster to join; expected HEAD:6379 or 'auto', on one of its nodes. "
        "Correct it; `antiphon launch` takes http://HEAD:8265.\n",
    )


def test_what_takes_jobs_is_told(antiphon):
    told = antiphon("status", "--address", "ray://127.0.0.1:10001")
    assert (told.code, told.error) == (
        2,
        "error: address 'ray://127.0.0.1:10001' is none that takes jobs; expected http://HEAD:8265, HEAD:6379 or "
        "'auto'. Correct it.\n",
    )


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_an_address_is_needed(antiphon, command):
    told = antiphon(*command)
    assert (told.code, told.error) == (
        2,
        "error: no address of a cluster was given; expected --address, or the variable RAY_API_SERVER_ADDRESS or "
        "RAY_ADDRESS. Give it like --address http://HEAD:8265.\n",
    )


def test_the_environment_tells_the_address(antiphon, nowhere, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"http://{nowhere}")
    assert antiphon("status").error == NOBODY.format(f"http://{nowhere}")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", nowhere)
    assert antiphon("status").error == NOBODY.format(nowhere)


def test_a_dashboard_of_another_machine_is_not_looked_for_on_this_one(monkeypatch):
    monkeypatch.setattr(addresses, "_ask", lambda *_: b"127.0.0.1:8265")
    assert addresses._dashboard_of("127.0.0.1:6379") == "http://127.0.0.1:8265"
    with pytest.raises(ClusterError) as caught:
        addresses._dashboard_of("198.51.100.7:6379")
    assert str(caught.value) == (
        "the dashboard of the cluster at '198.51.100.7:6379' listens on its head alone, at 127.0.0.1:8265; expected "
        "one that can be reached from here. Start the head with --dashboard-host, or ask from there."
    )


def test_another_version_of_ray_is_refused():
    addresses.check_ray(ray.__version__, "http://head:8265")
    with pytest.raises(VersionError) as caught:
        addresses.check_ray("2.0.0", "http://head:8265")
    assert str(caught.value) == (
        f"the cluster at 'http://head:8265' runs Ray 2.0.0, and here is Ray {ray.__version__}; expected the same on "
        f"both. Install ray==2.0.0 here, or ray=={ray.__version__} on every node."
    )


def test_experiments_and_names_are_refused_before_anybody_is_asked(antiphon):
    assert antiphon("launch", "dca", "--address", "http://127.0.0.1:1").error.startswith("error: grammar 'dca' is not")
    told = antiphon("launch", "backprop", "--name", "a b", "--address", "http://127.0.0.1:1")
    assert (told.code, told.error) == (
        2,
        "error: a run cannot be called 'a b'; expected up to 80 letters, digits, '-', '_' and '.', a letter or digit "
        "first. Choose another --name.\n",
    )
    assert checked_name("dac-1.a_b") == "dac-1.a_b"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--name=mine"], "run was given --name mine; expected --address with it. Leave it out here."),
        (
            ["--address=auto", "--executor=inline"],
            "run was given --address and --executor inline; expected ray. Leave one of them out.",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(antiphon, options, text):
    told = antiphon("run", "backprop", *options)
    assert (told.code, told.error) == (2, f"error: {text}\n")
