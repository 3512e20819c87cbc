"""The lab's command line."""

import argparse
import os
import signal
import subprocess
import sys

from . import machine, s3, saltstack
from .core import Lab
from .tools import LabError, say


def parser():
    """The parser of all commands; each sets ``action``, a function of (lab, arguments) that returns an exit status."""
    top = argparse.ArgumentParser(
        prog="lab", description="A Salt master and six systemd hosts on this machine, in namespaces of their own."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, action, help_text, *arguments):
        sub = commands.add_parser(name, help=help_text, description=help_text)
        for argument, options in arguments:
            sub.add_argument(*argument.split(), **options)
        sub.set_defaults(action=action)

    host = ("host", {"metavar": "HOST"})
    hosts = ("hosts", {"metavar": "HOST", "nargs": "+"})
    command = ("words", {"metavar": "-- CMD", "nargs": argparse.REMAINDER})
    clusters = ("--clusters", {"type": int, "default": 1, "help": "1 (default) or 2 database clusters of three hosts"})
    attached = ("--attached", {"action": "store_true", "help": "stay in the foreground and end with this process"})
    add("deps", deps, "install the Debian packages that the lab needs and this machine lacks")
    add("up", up, "start the lab and leave it running", clusters, attached)
    add("down", down, "end the lab and remove everything of it")
    add("run", run, "run CMD in the place of an outside client, in a lab that ends with it (or the one that is up)",
        clusters, command)  # fmt: skip
    add("status", status, "list the hosts and how they are")
    add("exec", execute, "run CMD as root on HOST", host, command)
    add("shell", shell, "a root shell on HOST", host)
    add("client", client, "run CMD in the place of an outside client (198.51.100.1)", command)
    add("salt", salt, "run `salt …` on the master", command)
    add("salt-run", salt, "run `salt-run …` on the master", command)
    add("pillar", pillar, "write the pillar of tests/lab/pillar to the master again")
    add("cut", cut, "cut HOST off: from everything, or one way from the named hosts (`client` is the outside)", host,
        ("--to", {"action": "append", "default": [], "metavar": "OTHER", "help": "what HOST sends to OTHER is lost"}),
        ("--from", {"action": "append", "default": [], "dest": "frm", "metavar": "OTHER", "help": "and the other way"}),
        ("--port", {"type": int, "help": "only packets to this TCP or UDP port"}))  # fmt: skip
    add("repair", repair, "undo the cuts of HOST, or of all hosts (`all`)", host)
    add("poweroff", each("poweroff"), "cut the power of hosts; their disks stay", hosts)
    add("poweron", each("poweron"), "boot hosts that are off", hosts)
    add("reset", each("reset"), "replace hosts by new ones of the same name", hosts)
    add("freeze", each("freeze"), "pause hosts, as a hypervisor does", hosts)
    add("thaw", each("thaw"), "let paused hosts go on", hosts)
    return top


def words(arguments, default=None):
    """The command after ``--``."""
    found = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not found and default is None:
        raise LabError("no command given: put it after `--`")
    return found or default


def deps(_lab, _arguments):
    machine.install_packages()


def up(lab, arguments):
    lab.up(clusters=arguments.clusters, attached=arguments.attached)
    if arguments.attached:
        say("the lab is up until this process ends (Ctrl-C)")
        signal.pause()
    say("the lab is up: `tests/lab/lab salt-run state.orchestrate pgha`, `… status`, `… down`")


def down(lab, _arguments):
    say("the lab is down" if lab.down() else "there was no lab")


def run(lab, arguments):
    command = words(arguments)
    # What the command may start: inside of the lab nothing can be downloaded.
    s3.program()
    lab.up(clusters=arguments.clusters, attached=True)
    # Killed with the lab, as it lives in the lab's PID namespace.
    return subprocess.run(lab.enter(command), check=False).returncode


def status(lab, _arguments):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if not lab.running():
        print("the lab is down")
        return 3
    for name, address, role, state in lab.status():
        print(f"{name:10} {address:15} {role:6} {state:9} {' '.join(lab[name].addresses())}")
    return 0


def _replace(command):
    """Become ``command``, so that its terminal, signals and exit status are the caller's own."""
    sys.stdout.flush()
    os.execvp(command[0], command)


def execute(lab, arguments):
    _replace(lab[arguments.host].command(words(arguments)))


def shell(lab, arguments):
    _replace(lab[arguments.host].command(["bash", "-l"], env={"TERM": os.environ.get("TERM", "linux")}))


def client(lab, arguments):
    _replace(lab.enter(words(arguments, ["bash"])))


def salt(lab, arguments):
    _replace(lab.master.command([arguments.command, *words(arguments)]))


def pillar(lab, _arguments):
    saltstack.write_pillar(lab)


def cut(lab, arguments):
    lab[arguments.host].cut(arguments.to, arguments.frm, arguments.port)


def repair(lab, arguments):
    if arguments.host == "all":
        lab.repair()
    else:
        lab[arguments.host].repair()


def each(method):
    """A command that calls ``method`` of each named host."""

    def action(lab, arguments):
        for host in [lab[name] for name in arguments.hosts]:
            getattr(host, method)()
            say(f"{method}: {host.name}")

    return action


def main(argv=None):
    """Run the command line ``argv``; returns the exit status."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return arguments.action(Lab(), arguments) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; nothing is left running that this command started", file=sys.stderr)
        return 130
