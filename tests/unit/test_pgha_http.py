"""How the formula asks by HTTP: only the one that it means, and what it does with answers of any kind."""

import logging
import socket
import threading

import listeners
import pytest
from salt.exceptions import CommandExecutionError

SECRET = "11111111-aaaa-bbbb-cccc-222222222222"


@pytest.fixture
def util(loader_module):
    return loader_module("_utils/pghalib/http.py")


@pytest.fixture
def ask(util):
    def ask(url, method="GET", **kwargs):
        return util.request(method, url, **{"timeout": 2, "remedy": "start it", **kwargs})

    return ask


def test_answer_is_given_whatever_its_code_is(http_service, ask):
    http_service.answers = [(200, '{"a": 1}'), (404, " text "), (503, "")]
    assert ask(http_service.address) == {"status": 200, "body": {"a": 1}, "text": '{"a": 1}'}
    assert ask(http_service.address) == {"status": 404, "body": "text", "text": " text "}
    assert ask(http_service.address, "POST", payload={"b": 2}) == {"status": 503, "body": "", "text": ""}
    assert http_service.asked[2][3] == b'{"b": 2}'


@pytest.mark.root
def test_nothing_of_the_environment_is_heeded(http_service, ask, monkeypatch, tmp_path):
    with listeners.listening() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        ask(http_service.address, headers={"X-Consul-Token": SECRET})
        assert proxy.heard() == []
    (_, _, headers, _) = http_service.asked[0]
    assert headers["X-Consul-Token"] == SECRET
    assert "Authorization" not in headers


def test_redirect_is_not_followed(http_service, ask):
    http_service.answers = [(302, "")]
    assert ask(f"{http_service.address}/x", auth=("patroni", SECRET))["status"] == 302
    assert [path for _, path, _, _ in http_service.asked] == ["/x"]


def test_nobody_there_is_an_error_with_the_address_and_the_remedy(ask):
    with pytest.raises(CommandExecutionError) as caught:
        ask("http://127.0.0.1:1/x", headers={"X-Consul-Token": SECRET}, auth=("patroni", SECRET))
    assert str(caught.value) == "http://127.0.0.1:1/x does not answer GET (ConnectionError, 2 s): start it"


def test_silence_ends(ask):
    said = r"does not answer GET \(ReadTimeout, 0\.2 s\): start it"
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CommandExecutionError, match=said):
        ask(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


@pytest.mark.parametrize("given", [{"verify": "/nonexistent/ca.pem"}, {"cert": "/nonexistent/own.pem"}])
def test_missing_file_of_tls_is_an_error(ask, given):
    with pytest.raises(CommandExecutionError, match="does not answer GET"):
        ask("https://127.0.0.1:1", **given)


def test_answer_without_end_is_an_error(ask, util):
    util.LIMIT = 100000
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pour():
            connection = server.accept()[0]
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    try:
                        connection.sendall(b"x" * 65536)
                    except OSError:
                        return

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        with pytest.raises(CommandExecutionError, match="with more than 100000 bytes"):
            ask(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("text", ["[" * 100000, "\x00\xff", '{"a":'])
def test_odd_answer_is_text(http_service, ask, text):
    http_service.answers = [(200, text)]
    assert ask(http_service.address)["body"] == text


def test_each_request_is_one_line_of_the_log_without_a_secret(http_service, ask, caplog):
    http_service.answers = [(403, "")]
    with caplog.at_level(logging.DEBUG):
        ask(f"{http_service.address}/x", "PUT", headers={"X-Consul-Token": SECRET}, payload={"SecretID": SECRET})
        with pytest.raises(CommandExecutionError):
            ask("http://127.0.0.1:1/y", auth=("patroni", SECRET))
    lines = [record.getMessage() for record in caplog.records if "pgha" in record.name]
    assert [line.rpartition(",")[0] for line in lines] == [
        f"PUT {http_service.address}/x: 403",
        "GET http://127.0.0.1:1/y: no answer",
    ]
    assert all(line.endswith(" ms") for line in lines)
    assert SECRET not in caplog.text


@pytest.mark.root
def test_listener_of_another_user_is_sent_nothing(ask):
    with listeners.listening() as thief:
        with pytest.raises(CommandExecutionError, match="nobody"):
            ask(thief.url, "POST", user="root", auth=("patroni", SECRET), payload={})
        assert thief.heard() == []


@pytest.mark.root
def test_listener_of_the_right_user_is_asked(ask):
    with listeners.listening(user="daemon") as service:
        assert ask(service.url, user="daemon")["status"] == 200
        assert len(service.heard()) == 1
