"""Somebody who listens where he should not, and keeps what he is sent."""

import contextlib
import pwd
import subprocess
import sys

#: ``python3 -c SCRIPT ADDRESS PORT STATUS UID``: tries to have the port until it has it, says "listening on PORT", then
#: one line for every connection with all that came. He answers with the status and an empty mapping.
SCRIPT = """
import os, socket, sys, time
address, port, status, uid = sys.argv[1], *map(int, sys.argv[2:])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
while True:
    try:
        sock.bind((address, port))
        sock.listen(64)
        break
    except OSError:
        time.sleep(0.001)
print("listening on", sock.getsockname()[1], flush=True)
while True:
    connection = sock.accept()[0]
    connection.settimeout(0.1)
    came = b""
    try:
        while more := connection.recv(65536):
            came += more
    except OSError:
        pass
    print(came, flush=True)
    try:
        connection.sendall(b"HTTP/1.1 %d -\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}" % status)
    except OSError:
        pass
    connection.close()
"""


class Listener:
    """A process of another user that runs ``SCRIPT``: ``port``, ``url``, ``pid``, and ``heard``."""

    def __init__(self, address="127.0.0.1", port=0, status=200, user="nobody"):
        words = [address, str(port), str(status), str(pwd.getpwnam(user).pw_uid)]
        self.process = subprocess.Popen([sys.executable, "-c", SCRIPT, *words], stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.port = int(self.process.stdout.readline().split()[-1])
        self.url = f"http://{address}:{self.port}"

    def heard(self):
        """End it, and return what it was sent: one text for each connection."""
        self.process.kill()
        return self.process.communicate()[0].splitlines()


@contextlib.contextmanager
def listening(**kwargs):
    """A Listener for as long as it is needed."""
    one = Listener(**kwargs)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
