"""
The names of the cluster's hosts in ``/etc/hosts``: one block of lines, everything else in the file left as it is.

A loopback line that names one of these hosts (Debian's installer writes ``127.0.1.1 OWN-NAME``) cannot stay: with
``multi on`` in ``/etc/host.conf``, Debian's default, getaddrinfo answers with every address of the file and sorts
127.0.1.1 first, wherever the lines stand, so Consul, Patroni and PostgreSQL would listen on or connect to the loopback.
Such a line is kept as a comment with the mark ``#pgha#``, and its other names go into the block. Taking the block away
brings the line back.
"""

import ipaddress
import os
from pathlib import Path

import pghalib.host.descriptors
import pghalib.text
from salt.exceptions import CommandExecutionError

BEGIN = "# pgha: begin (written by Salt; changes between these two lines are lost)"
END = "# pgha: end"
MARK = "#pgha# "


def entries():
    """
    Return the names that this host must know, as a list of ``{"address", "names"}`` in the order of the inventory: the
    servers of the datacenter; on a database host the hosts of its cluster and the virtual IP, on a server those of all
    clusters of the datacenter (so another cluster changes nothing on the hosts of this one). Each is NAME, and
    NAME.DOMAIN where ``hosts:domain`` is set.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.entries
    """
    settings = __salt__["pgha.settings"]()
    found = [*settings["datacenter"]["servers"]]
    clusters = [settings["cluster"]] if settings["cluster"] else settings["clusters"]
    for cluster in clusters:
        found += cluster["hosts"]
    found += [cluster["vip"] for cluster in clusters if cluster["vip"] and cluster["vip"]["name"]]
    domain = settings["hosts"]["domain"]
    rows = []
    for host in found:
        names = [host["name"], f"{host['name']}.{domain}"] if domain and "." not in host["name"] else [host["name"]]
        rows.append({"address": host["address"], "names": names})
    return rows


def rendered(path="/etc/hosts"):
    """
    Return what is and what should be: ``old`` and ``new`` text of the file, its ``user``, ``group`` and ``mode``, and
    ``warnings`` (a list of sentences).

    path
        The hosts file; a link is followed.

    Raises CommandExecutionError when lines of somebody else give one of our names another address: it names each line,
    and nothing can be written before a person has decided.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.rendered
    """
    real, old, info = _read(path)
    kept, position = _without_block(old, path)
    wanted = entries()
    conflicts, warnings = _compare(kept, wanted, path)
    if conflicts:
        raise CommandExecutionError("\n".join(conflicts))
    if "manage_etc_hosts" in old and "cloud" in old.lower():
        warnings.append(
            f"cloud-init writes {path} anew at every boot: set manage_etc_hosts: false in /etc/cloud/cloud.cfg.d/"
        )
    return {"path": real, "old": old, "new": _with_block(kept, position, wanted), "warnings": warnings, **info}


def cleaned(path="/etc/hosts"):
    """
    Return the same as ``rendered`` for a file without our block, with the lines that were commented out brought back.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.cleaned
    """
    real, old, info = _read(path)
    kept, _ = _without_block(old, path)
    return {"path": real, "old": old, "new": "".join(kept), "warnings": [], **info}


def fault(path, before):
    """
    Return None when a hosts file can take the place of another one, else why not, a sentence: our block can be read,
    and ``localhost`` has a loopback address when it had one before.

    path, before
        The new file and the old one, which need not be there.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.fault /etc/hosts /etc/hosts
    """
    lines, loopback = _read(path)[1].splitlines(), []
    inside = False
    for line in lines:
        if line in (BEGIN, END):
            inside = line == BEGIN
        elif inside and not _fields(line)[1]:
            return f"{pghalib.text.shown(line)} is no line of a hosts file"
    for text in (lines, _read(before)[1].splitlines()):
        rows = [_fields(line) for line in text]
        loopback.append(any(address and address.is_loopback and "localhost" in names for address, names in rows))
    return None if loopback[0] >= loopback[1] else "no line gives localhost a loopback address any more"


def _read(path):
    real = os.path.realpath(path)
    try:
        text = Path(real).read_text(encoding="utf-8")
        info = pghalib.host.descriptors.owner(real)
    except FileNotFoundError:
        return real, "", {"user": "root", "group": "root", "mode": "0644"}
    except UnicodeDecodeError as error:
        raise CommandExecutionError(f"{path} is not UTF-8 ({error}): correct that line by hand and run again")
    return real, text, info


def _without_block(text, path):
    """Return the lines of others as they were before us, and the place of our block among them (None: no block)."""
    lines = text.splitlines(keepends=True)
    begins = [number for number, line in enumerate(lines) if line.rstrip().startswith("# pgha: begin")]
    ends = [number for number, line in enumerate(lines) if line.rstrip() == END]
    if len(begins) != len(ends) or len(begins) > 1 or begins > ends:
        raise CommandExecutionError(
            f"{path} has {len(begins)} lines '# pgha: begin' and {len(ends)} lines '{END}': delete what is left of our"
            " block, these lines included, and run again"
        )
    position = None
    if begins:
        position = begins[0]
        lines = lines[:position] + lines[ends[0] + 1 :]
    return [line.removeprefix(MARK) for line in lines], position


def _with_block(kept, position, wanted):
    ours = {name.lower() for row in wanted for name in row["names"]}
    lines, moved = [], []
    for line in kept:
        address, names = _fields(line)
        if address is not None and address.is_loopback and ours & {name.lower() for name in names}:
            rest = [name for name in names if name.lower() not in ours]
            moved += [f"{address} {' '.join(rest)}"] if rest else []
            lines.append(MARK + line)
        else:
            lines.append(line)
    position = len(lines) if position is None else position
    if position == len(lines) and lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    block = [BEGIN, *moved, *(f"{row['address']} {' '.join(row['names'])}" for row in wanted), END]
    return "".join([*lines[:position], *(f"{line}\n" for line in block), *lines[position:]])


def _compare(kept, wanted, path):
    """Return the lines that contradict us and those that a person should know of."""
    ours = {name.lower(): row["address"] for row in wanted for name in row["names"]}
    conflicts, warnings = [], []
    for line in kept:
        address, names = _fields(line)
        if address is None or address.is_loopback:
            continue
        for name in names:
            right = ours.get(name.lower())
            if right is None or address == ipaddress.ip_address(right):
                continue
            if address.version == ipaddress.ip_address(right).version:
                conflicts.append(
                    f"{path} says '{line.strip()}', but the pillar gives {name} the address {right}: take {name} out of"
                    " that line, or correct the pillar"
                )
            else:
                warnings.append(f"{path} also gives {name} the address {address}")
    return conflicts, warnings


def _fields(line):
    """Return address and names of a line of a hosts file, ``(None, [])`` for a comment or what cannot be read."""
    words = line.split("#", 1)[0].split()
    try:
        return ipaddress.ip_address(words[0].split("%")[0]), words[1:]
    except (IndexError, ValueError):
        return None, []
