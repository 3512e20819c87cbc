"""Network namespaces as hosts of a network."""

import json
import subprocess
import time
from pathlib import Path


class Place:
    """A network namespace that ends with its process."""

    def __init__(self, stack):
        self.process = stack.enter_context(subprocess.Popen(["unshare", "--net", "sleep", "120"]))
        stack.callback(self.process.kill)
        while Path(f"/proc/{self.process.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)

    def words(self, *words):
        return ["nsenter", f"--target={self.process.pid}", "--net", *words]

    def run(self, *words):
        return subprocess.run(self.words(*words), check=True, capture_output=True, text=True, timeout=30).stdout

    def ip(self, words):
        return json.loads(self.run("ip", "-j", *words.split()) or "[]")
