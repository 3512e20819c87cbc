"""What all tests share: loading a module of the formula the way Salt's loader does."""

import http.server
import importlib.util
import itertools
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
_serial = itertools.count()


def load(path, dunders):
    """Import the file ``path`` (relative to the repository) as a fresh module with the loader's names set."""
    spec = importlib.util.spec_from_file_location(f"pgha_under_test_{next(_serial)}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    for name, value in dunders.items():
        setattr(module, name, value)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def loader_module(monkeypatch):
    """
    A function ``(path, salt={}, utils={}, opts={}, pillar={}, grains={}, context={})``: returns a loaded module.
    ``utils`` takes the place of functions of the library, by their names (``pghalib.wait.until``), until the test ends.
    """

    def loader(path, salt=None, utils=None, opts=None, pillar=None, grains=None, context=None, **dunders):
        names = {
            "__salt__": salt if salt is not None else {},
            "__opts__": {"id": "a-host", "test": False, **(opts or {})},
            "__pillar__": pillar or {},
            "__grains__": grains or {},
            "__context__": context if context is not None else {},
            **{f"__{key}__": value for key, value in dunders.items()},
        }
        for name, value in (utils or {}).items():
            importlib.import_module(name.rpartition(".")[0])
            monkeypatch.setattr(name, value)
        return load(path, names)

    return loader


@pytest.fixture
def serving():
    """A function (server): returns a server of ``socketserver``, which answers until the test ends."""
    servers = []

    def start(server):
        servers.append(server)
        # The server looks this often (seconds) whether to end. Its end is waited for.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def http_service(serving):
    """A server that answers what ``answers`` says, (status, text) each, and keeps what it was ``asked``."""
    state = SimpleNamespace(answers=[], asked=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.asked.append((self.command, self.path, dict(self.headers), body))
            status, text = state.answers.pop(0) if state.answers else (200, "{}")
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{state.address}/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_CONNECT = answer

        def log_message(self, *_):
            pass

    state.server = serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    state.port = state.server.server_port
    state.address = f"http://127.0.0.1:{state.port}"
    return state
