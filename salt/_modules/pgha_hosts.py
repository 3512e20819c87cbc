"""
The names of the cluster's hosts in ``/etc/hosts``: one block of lines. The rest of the file stays as it is.

A loopback line with the name of one of these hosts (Debian's installer writes ``127.0.1.1 OWN-NAME``) cannot stay. With
``multi on`` in ``/etc/host.conf`` (Debian's default), getaddrinfo returns every address of the file and sorts 127.0.1.1
first, whatever the order of the lines. Consul, Patroni and PostgreSQL would then listen on the loopback or connect to
it. The line becomes a comment with the mark ``#pgha#``, and its other names move into the block: longer and shorter
forms of the host's name to the host's address, in the order of that line, so that ``hostname -f`` says what it said
before. When the block is removed, the line comes back.
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
    servers and the repository hosts of the datacenter, and the hosts and the virtual IP of the cluster. A database host
    has only its own cluster, so another cluster changes nothing there; the others have all clusters of the datacenter.
    The names are NAME, and NAME.DOMAIN where ``hosts:domain`` is set.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.entries
    """
    settings = __salt__["pgha.settings"]()
    clusters = [settings["cluster"]] if settings["cluster"] else settings["clusters"]
    # All repository hosts: those of another cluster are asked when its backups are copied here.
    found = [*settings["datacenter"]["servers"], *settings["datacenter"]["repository_hosts"]]
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
    Return the ``old`` and ``new`` text of the file, its ``path``, ``user``, ``group`` and ``mode``, and ``warnings``
    (a list of sentences).

    path
        The hosts file; a link is followed.

    Raises CommandExecutionError when a line outside the block gives one of the cluster's names another address. The
    message names each such line; a person must decide before anything is written.

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
    Return the same as ``rendered`` for a file without the formula's block; the commented lines are restored.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_hosts.cleaned
    """
    real, old, info = _read(path)
    kept, _ = _without_block(old, path)
    return {"path": real, "old": old, "new": "".join(kept), "warnings": [], **info}


def fault(path, before):
    """
    Return None when a hosts file may replace another one, else a sentence with the reason. Two checks: the formula's
    block is readable, and ``localhost`` keeps its loopback address if it had one.

    path, before
        The new file and the old one; the old file need not exist.

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
    """Return the lines outside the formula's block, restored, and the position of the block (None: no block)."""
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
    rows = [list(row["names"]) for row in wanted]
    lines, moved = [], []
    ordered = []
    for line in kept:
        address, names = _fields(line)
        ours = [row for row in rows if address is not None and address.is_loopback and _common(row, names)]
        for row in ours:
            forms = [name for name in names if _form_of(name, row)]
            more = [name for name in row if not _common([name], forms)]
            # The first line that names a host has told its order.
            row[:] = row + [name for name in forms if not _common([name], row)] if row in ordered else forms + more
        ordered += ours
        others = [name for name in names if not any(_common([name], row) for row in ours)]
        moved += [f"{address} {' '.join(others)}"] if ours and others else []
        lines.append(MARK + line if ours else line)
    position = len(lines) if position is None else position
    if position == len(lines) and lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    own = [f"{row['address']} {' '.join(names)}" for row, names in zip(wanted, rows, strict=True)]
    block = [BEGIN, *moved, *own, END]
    return "".join([*lines[:position], *(f"{line}\n" for line in block), *lines[position:]])


def _common(names, others):
    return {name.lower() for name in names} & {name.lower() for name in others}


def _form_of(name, names):
    """Return True when a name is one of the names, or a longer or shorter form (with or without a domain) of one."""
    one, others = name.lower(), [other.lower() for other in names]
    return one in others or any(one.startswith(f"{other}.") or other.startswith(f"{one}.") for other in others)


def _compare(kept, wanted, path):
    """Return two lists of sentences: lines that contradict the pillar, and lines that only need a warning."""
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
    """Return address and names of a line of a hosts file, ``(None, [])`` for a comment or an unreadable line."""
    words = line.split("#", 1)[0].split()
    try:
        return ipaddress.ip_address(words[0].split("%")[0]), words[1:]
    except (IndexError, ValueError):
        return None, []
