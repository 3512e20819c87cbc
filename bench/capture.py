"""What the shell scripts get: the files that the formula rendered, taken once from hosts that it has set up."""

import base64
import io
import json
import re
import shlex
import tarfile

from lab.topology import CLIENT, MIRROR, VIPS

BINARIES = ("consul", "vip-manager")
COMMON = ["etc/hosts", "etc/consul.d/config.json", "etc/systemd/system/consul.service"]
FILES = {
    "dcs": [*COMMON, "root/.consul-token", "etc/profile.d/pgha-consul.sh"],
    "db": [
        *COMMON,
        "etc/apt/sources.list.d/pgha-postgres.list",
        "etc/patroni/patroni.yml",
        "etc/patroni/pgpass.check",
        "etc/profile.d/pgha-patroni.sh",
        "etc/systemd/system/patroni.service",
        "etc/systemd/system/vip-manager.service",
        "etc/vip-manager/vip-manager.yml",
    ],
}
# Runs on a server of Consul: every policy and token there, as the payloads that would make them again.
ASK = """\
import json, sys, urllib.request
def ask(path):
    request = urllib.request.Request("http://127.0.0.1:8500/v1/acl/" + path, headers={"X-Consul-Token": sys.argv[1]})
    return json.load(urllib.request.urlopen(request))
policies = [ask("policy/" + one["ID"]) for one in ask("policies") if one["Name"] != "global-management"]
tokens = [ask("token/" + one["AccessorID"]) for one in ask("tokens")
          if one["Description"].startswith(("Consul agent on", "Patroni of", "Virtual IP of"))]
for one in tokens:
    one["Policies"] = [{"Name": policy["Name"]} for policy in one.get("Policies") or []]
print(json.dumps({
    "policy": [{key: one[key] for key in ("Name", "Description", "Rules")} for one in policies],
    "token": [{key: one[key] for key in ("AccessorID", "SecretID", "Description", "Policies", "NodeIdentities")
               if one.get(key)} for one in tokens]}))
"""


def capture(lab, place):
    """
    Write one archive for each host of ``lab``, HOST.tar (0600, it has secrets), to the directory ``place``.

    Args:
        lab: a lab in which the orchestration has succeeded.
        place: a pathlib.Path.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    hosts = [host for host in lab.hosts.values() if host.spec.role in FILES]
    servers = [host for host in hosts if host.spec.role == "dcs"]
    databases = [host for host in hosts if host.spec.role == "db"]
    management = servers[0].read("/root/.consul-token").strip()
    acl = json.loads(servers[0].run(["python3", "-c", ASK, management]).stdout)
    parts = json.loads((lab.state / "mirror/parts.json").read_text(encoding="utf-8"))
    shared = _shared(lab, databases[0], parts) | {
        "MANAGEMENT": management,
        "TOKENS": " ".join(token["SecretID"] for token in acl["token"]),
        "FIRST_SERVER": servers[0].name,
        "LEADER": databases[0].spec.address,
    }
    requirements = (lab.checkout / "salt/pgha/patroni/files/requirements.txt").read_text(encoding="utf-8")
    for host in hosts:
        contents = {f"files/{name}": host.read(f"/{name}") for name in FILES[host.spec.role]}
        own = {"NAME": host.name, "ADDRESS": host.spec.address}
        if host.spec.role == "dcs":
            own["AGENT"] = json.loads(host.read("/var/lib/consul/data/acl-tokens.json"))["agent"]
            contents["preset.json"] = json.dumps({"acl": {"tokens": {"master": management}}})
            for kind, payloads in acl.items():
                contents |= {f"acl/{kind}-{n:02}.json": json.dumps(payload) for n, payload in enumerate(payloads)}
        else:
            own["AGENT"] = json.loads(contents["files/etc/consul.d/config.json"])["acl"]["tokens"]["agent"]
            own["RESTAPI"] = _basic(contents["files/etc/patroni/patroni.yml"])
            contents["requirements.txt"] = requirements
            contents["setuptools.txt"] = re.search(r"(?ms)^setuptools==.*?[0-9a-f]{64}$", requirements)[0] + "\n"
        lines = [f"{key}={shlex.quote(value)}\n" for key, value in (shared | own).items()]
        contents["env"] = "".join(lines)
        _pack(place / f"{host.name}.tar", contents)


def _shared(lab, database, parts):
    """What all hosts' scripts are told; versions are those that the formula has installed."""
    consul, vip = (database.run(["readlink", f"/usr/bin/{name}"]).stdout.split("/")[3] for name in BINARIES)
    return {
        "CONSUL_VERSION": consul,
        "CONSUL_URL": f"{MIRROR}/consul/consul_{consul}_linux_amd64.zip",
        "CONSUL_HASH": parts["consul"][consul],
        "VIP_VERSION": vip,
        "VIP_URL": f"{MIRROR}/vip-manager/vip-manager_{vip}_Linux_x86_64.tar.gz",
        "VIP_HASH": parts["vip-manager"][vip],
        "KEY_URL": f"{MIRROR}/pgpro/1c/1c-18/keys/GPG-KEY-POSTGRESPRO",
        "WHEELS": f"{MIRROR}/wheels/",
        "MIRROR_HOST": CLIENT,
        "POSTGRES_VERSION": "18",
        "BIN_DIR": "/opt/pgpro/1c-18/bin",
        "DATA_DIR": "/pgdata/test",
        "VIP": VIPS["test"],
    }


def _basic(document):
    """The credentials of Patroni's REST API as an Authorization header has them."""
    found = re.search(r"(?m)^restapi:.*?password: (\S+)$", document, re.DOTALL)
    return base64.b64encode(b"patroni:" + found[1].strip("'\"").encode()).decode()


def _pack(path, contents):
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    with tarfile.open(path, "w") as packed:
        for name, text in contents.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(text.encode()), 0o600
            packed.addfile(about, io.BytesIO(text.encode()))
