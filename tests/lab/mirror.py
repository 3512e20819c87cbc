"""What the hosts download: the parts in their released forms, made from packages that a registry has."""

import json
import shutil
import tarfile
import zipfile

from . import archive, base, cache, machine, postgrespro
from .tools import CHECKOUT, run, write

# Debian's suite and package, the version that is in it, the file in the package, the released archive.
BINARIES = {
    "consul": [("bullseye", "consul", "1.8.7", "usr/bin/consul", "consul_{version}_linux_amd64.zip")],
    "vip-manager": [
        ("sid", "vip-manager2", "5.0.0", "usr/bin/vip-manager", "vip-manager_{version}_Linux_x86_64.tar.gz"),
        ("trixie", "vip-manager2", "3.0.0", "usr/bin/vip-manager", "vip-manager_{version}_Linux_x86_64.tar.gz"),
    ],
    "pgbackrest": [("sid", "pgbackrest", "2.60.0", "usr/bin/pgbackrest", "pgbackrest_{version}.tar.gz")],
}
# A library that a binary was linked with, and the one of Debian 12 that it works with as well.
RELINKED = {"pgbackrest": ("libxml2.so.16", "libxml2.so.2")}
# Debian's own packages that a formula may ask for and the base lacks; an air-gapped site mirrors them as well.
DEBIAN = ["postgresql-15", "gnupg", "chrony", "curl", "libxml2", "libpq5", "libssh2-1"]


def files():
    """Build or find everything the mirror serves: {directory of the mirror: directory of the cache}."""
    found = {name: released(name) for name in BINARIES}
    found["wheels"] = patroni()
    found["pgpro"] = postgrespro.repository()
    found["debian"] = debian()
    return found


def link(found, place):
    """Make ``place`` the mirror of what files() returned, with ``parts.json`` telling versions and hashes."""
    place.mkdir()
    parts = {}
    for name, directory in found.items():
        (place / name).symlink_to(directory)
        if (directory / "hashes.json").exists():
            parts[name] = json.loads((directory / "hashes.json").read_text(encoding="utf-8"))
    write(place / "parts.json", json.dumps(parts))


def released(name):
    """Directory of the cache with the released archives of a binary, and hashes.json: {version: SHA-256}."""

    def build(place):
        hashes = {}
        for suite, package, version, path, target in BINARIES[name]:
            scratch = archive.scratch(place)
            deb = archive.Apt(suite, scratch / "apt").download(package)
            binary = archive.unpack(deb, scratch / "files") / path
            if not binary.exists():
                binary = next(item for item in (scratch / "files/usr").rglob(f"*bin/{package}"))
            # Not asked of the binary: this machine need not have its libraries.
            if not run(["dpkg-deb", "-f", deb, "Version"]).stdout.startswith(version):
                raise archive.machine.LabError(f"{package} of {suite} is not {version}: change mirror.BINARIES")
            if name in RELINKED:
                run(["patchelf", "--replace-needed", *RELINKED[name], binary])
            result = place / target.format(version=version)
            pack(binary, name, result)
            hashes[version] = archive.sha256(result)
            shutil.rmtree(scratch)
        write(place / "hashes.json", json.dumps(hashes))

    return cache.entry(name, [BINARIES[name], RELINKED.get(name)], build, pack)


def pack(binary, name, target):
    """Pack ``binary`` as ``name`` into a .zip or .tar.gz that is the same, byte for byte, each time."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            about = zipfile.ZipInfo(name)
            about.external_attr, about.compress_type = 0o100755 << 16, zipfile.ZIP_DEFLATED
            packed.writestr(about, binary.read_bytes())
        return
    bare = target.with_suffix("")
    with tarfile.open(bare, "w", format=tarfile.GNU_FORMAT) as packed, open(binary, "rb") as content:
        about = tarfile.TarInfo(name)
        about.size, about.mode = binary.stat().st_size, 0o755
        packed.addfile(about, content)
    run(["gzip", "-n", "-1", bare])


def patroni():
    """Directory of the cache with the files of PyPI that the formula's requirements name; their hashes are in there."""
    requirements = CHECKOUT / "salt/pgha/patroni/files/requirements.txt"

    def build(place):
        venv = archive.scratch(place)
        run([machine.python311(), "-m", "venv", venv])
        pip = [venv / "bin/pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        run([*pip, "-d", place, "-r", requirements])
        shutil.rmtree(venv)

    return cache.entry("patroni", {"requirements": requirements.read_text(encoding="utf-8")}, build)


def debian():
    """Directory of the cache with a flat repository of Debian's own packages for the hosts, and its key."""
    tree = base.base()

    def build(place):
        scratch = archive.scratch(place)
        apt = archive.Apt("bookworm", scratch / "apt", status=tree / "var/lib/dpkg/status")
        with archive.Signer() as signer:
            archive.flat(place, apt.closure(DEBIAN), signer)
        shutil.rmtree(scratch)

    return cache.entry("debian", {"packages": DEBIAN, "base": tree.parent.name}, build, archive.flat, archive.release)
