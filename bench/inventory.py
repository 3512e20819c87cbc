#!/usr/bin/env python3
"""
What a larger inventory costs one minion: its pillar (with the external pillar) and its states, compiled on the master.

    bench/inventory.py [--json]      with any Python that has Salt, e.g. that of tests/run

Database clusters of three hosts, each with three Consul servers of its own: 6, 60 and 600 hosts, in three layouts:

- files: as in pillar/top.sls, a file for each cluster, and a target in top.sls for each that only its hosts match;
- computed: the same files, and a top.sls with one target that works the name of the file out of the minion id;
- single: everything in one file that every minion gets.

Processor time, so that it can be told on a machine that has other work.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import salt.config
import salt.fileclient
import salt.loader
import salt.pillar
import salt.state
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "_utils"))

import pghalib.secrets.minted  # noqa: E402

SIZES = (6, 60, 600)
MINION = "c0-db1"
REPEAT = 9
LAYOUTS = ("files", "computed", "single")
COMPUTED = """\
base:
  '*':
    - common
    - {{ grains["id"].split("-")[0] }}
"""


def cluster(number):
    """The inventory of one cluster and its datacenter, as a pillar."""
    net = f"10.{number // 250}.{number % 250}"
    return {
        "datacenters": {f"dc{number}": {"servers": {f"c{number}-dcs{n}": f"{net}.{10 + n}" for n in (1, 2, 3)}}},
        "clusters": {
            f"c{number}": {
                "datacenter": f"dc{number}",
                "vip": f"{net}.40/24",
                "hosts": {f"c{number}-db{n}": f"{net}.{20 + n}" for n in (1, 2, 3)},
            }
        },
    }


def write(pillar, hosts, layout):
    """Write the pillar of an inventory of ``hosts`` hosts in one of the LAYOUTS."""
    pillar.mkdir(parents=True)
    clusters = [cluster(number) for number in range(hosts // 6)]
    common = {"pgha": {"vip": {"hashes": {"4.0.0": "0" * 64}}}}
    (pillar / "common.sls").write_text(yaml.safe_dump(common))
    if layout == "single":
        (pillar / "all.sls").write_text(yaml.safe_dump({"pgha": whole(hosts)}))
        top = {"*": ["common", "all"]}
    else:
        for number, one in enumerate(clusters):
            (pillar / f"c{number}.sls").write_text(yaml.safe_dump({"pgha": one}))
        top = {f"c{number}-*": ["common", f"c{number}"] for number in range(len(clusters))}
    text = COMPUTED if layout == "computed" else yaml.safe_dump({"base": top})
    (pillar / "top.sls").write_text(text)


def whole(hosts):
    """The inventory of all clusters as one pillar."""
    result = {"datacenters": {}, "clusters": {}}
    for number in range(hosts // 6):
        for key, value in cluster(number).items():
            result[key].update(value)
    return result


def master(place):
    """The options of a master on this inventory, nothing of it on the network."""
    opts = copy.deepcopy(dict(salt.config.DEFAULT_MASTER_OPTS)) | {
        "id": "bench_master",
        "__role": "master",
        "root_dir": str(place),
        "cachedir": str(place / "cache/master"),
        "extension_modules": str(place / "extmods"),
        "file_roots": {"base": [str(ROOT / "salt")]},
        "pillar_roots": {"base": [str(place / "pillar")]},
        "ext_pillar": [{"pgha": True}],
        "pgha_store": str(place / "store"),
        "file_client": "local",
        "pillar_cache": False,
    }
    opts["grains"] = {"id": MINION, "os": "Debian", "os_family": "Debian", "osrelease": "12", "oscodename": "bookworm"}
    return opts


def minion(place, grains):
    """The options of the minion whose states are compiled; its files are the formula's own."""
    opts = copy.deepcopy(dict(salt.config.DEFAULT_MINION_OPTS)) | {
        "id": MINION,
        "__role": "minion",
        "root_dir": str(place),
        "cachedir": str(place / "cache/minion"),
        "extension_modules": str(place / "extmods"),
        "file_roots": {"base": [str(ROOT / "salt")]},
        "file_client": "local",
        "pillar_roots": {"base": []},
        "master_tops": {},
    }
    opts["grains"] = grains
    return opts


def extensions(place):
    """The formula's own modules where saltutil.sync_all would put them."""
    (place / "extmods").mkdir()
    for kind in ("pillar", "utils", "modules", "states", "grains"):
        (place / "extmods" / kind).symlink_to(ROOT / f"_{kind}")


def compile_pillar(opts, grains):
    """The pillar that the master would send to the minion; raises RuntimeError when it does not render."""
    pillar = salt.pillar.Pillar(opts, grains, MINION, "base").compile_pillar()
    if pillar.get("_errors") or "pgha" not in pillar or "pgha_secrets" not in pillar:
        raise RuntimeError(f"the pillar of {MINION} is not as expected: {pillar.get('_errors') or list(pillar)}")
    return pillar


def compile_states(opts, pillar):
    """How many low chunks the role of a database host makes of ``pillar``."""
    opts = opts | {"pillar": pillar}
    with salt.state.HighState(opts, pillar_override=None, initial_pillar=pillar, loader="states") as high:
        matches = {"base": ["pgha.db"]}
        rendered, errors = high.render_highstate(matches)
        if errors:
            raise RuntimeError(f"the states do not render: {errors}")
        chunks, errors = high.state.compile_high_data(rendered), []
        if isinstance(chunks, tuple):
            chunks, errors = chunks
        if errors or not chunks:
            raise RuntimeError(f"the states do not compile: {errors}")
        return len(chunks)


def timed(function, *arguments):
    """The median processor seconds of REPEAT calls, and the last result; a first call, to load modules, is extra."""
    function(*arguments)
    times = []
    for _ in range(REPEAT):
        start = time.process_time()
        result = function(*arguments)
        times.append(time.process_time() - start)
    return statistics.median(times), result


def measure(hosts, layout):
    """``{"pillar": s, "states": s, "size": bytes of the pillar, "chunks": number of states}`` for one inventory."""
    with tempfile.TemporaryDirectory(prefix="pgha-inventory-") as directory:
        place = Path(directory)
        extensions(place)
        write(place / "pillar", hosts, layout)
        opts = master(place)
        grains = salt.loader.grains(minion(place, {})) | {"id": MINION}
        store(opts, whole(hosts))
        pillar_time, pillar = timed(compile_pillar, opts, grains)
        states_time, chunks = timed(compile_states, minion(place, grains), pillar)
        return {"pillar": pillar_time, "states": states_time, "size": len(json.dumps(pillar)), "chunks": chunks}


def store(opts, inventory):
    """Make the secrets of the whole inventory, as the main job would."""
    defaults = yaml.safe_load((ROOT / "salt/pgha/defaults.yaml").read_text(encoding="utf-8"))
    pghalib.secrets.minted.mint(Path(opts["pgha_store"]), inventory, defaults)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the numbers alone")
    arguments = parser.parse_args()
    found = {layout: {str(hosts): measure(hosts, layout) for hosts in SIZES} for layout in LAYOUTS}
    if arguments.json:
        print(json.dumps(found))
        return
    sys.path.insert(0, str(ROOT / "bench"))
    import report

    print(report.inventory(found))


if __name__ == "__main__":
    main()
