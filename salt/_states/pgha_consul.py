"""
States of Consul on this host: configured, its servers in quorum, its ACLs set up, its agent joined.

The states are thin: the work is done in the execution modules ``pgha_consul`` and ``pgha_consul_acl``. The states take
only their ID; they read settings and secrets themselves. None of them restarts Consul.
"""

import functools
from pathlib import Path

import pghalib.consul.access
import pghalib.consul.client
import pghalib.consul.config
import pghalib.consul.drift
import pghalib.consul.quorum
import pghalib.consul.registration
import pghalib.host.files
import pghalib.parse
import pghalib.run
import pghalib.secrets.served
import pghalib.services.owed
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

PRESET = "acl-bootstrap.json"
# Note: config.json was replaced, or was about to be, and the running agent has not been told to read it yet.
RELOAD = "consul.reload-owed"


@pghalib.states.state
def configured(ret):
    """
    config.json follows the settings and is valid, and a running agent has been told to read it. If an earlier run could
    not tell the agent, this run does.

    Settings that a reload does not apply are named as pending a restart. A server without ACLs also gets the file that
    presets the management token; the file is removed when the token works.

    name
        State ID; not used.
    """
    settings, secrets = __salt__["pgha.settings"](), pghalib.secrets.served.own(__pillar__, __opts__)
    __salt__["pgha_tls.stays"]()
    directory = Path(settings["consul"]["config_dir"])
    path = directory / "config.json"
    old, new = _json(path), pghalib.consul.config.config(settings, secrets)
    validate = __salt__["pgha_consul.validate"]
    pending = pghalib.consul.config.restart_keys(old, new)
    _write(ret, path, new, functools.partial(_owing, validate, pending))
    if ret.changes and not ret.test and __salt__["pgha_consul.pid"]():
        # Also when only the owner changed: the agent may have been unable to read the file.
        pghalib.services.owed.owe(RELOAD)
    _told(ret)
    if __salt__["pgha_consul_acl.preset_wanted"]():
        preset = pghalib.consul.config.preset(settings, secrets)
        _write(ret, directory / PRESET, preset, functools.partial(validate, str(path)))
    else:
        _remove_preset(ret)
    ret.say(*(f"Restart pending: {pending}." for pending in __salt__["pgha_consul.restart_pending"]()))


@pghalib.states.state
def quorum_formed(ret):
    """
    The raft configuration has exactly the servers of the inventory, they have a leader, and all of them vote (the vote
    is checked as soon as the management token works).

    The state waits for a missing server, unless this run leaves it out. A server that is not in the inventory is an
    error at once: every server has all tokens, so the run must not give it more.

    name
        State ID; not used.
    """
    settings = __salt__["pgha.settings"]()
    present = pghalib.run.present(settings["datacenter"]["servers"], settings["without"])
    wanted = {one["address"] for one in present}

    def formed():
        peers, leader = __salt__["pgha_consul.raft_peers"](), __salt__["pgha_consul.leader"]
        return pghalib.consul.quorum.verdict(peers, settings["datacenter"]["servers"], wanted, leader)

    found = _gate(ret, formed, f"{len(wanted)} servers with a vote, one of them the leader")
    if "foreign" in found:
        raise CommandExecutionError("; ".join(map(pghalib.consul.drift.server_sentence, found["foreign"])))
    return f"{len(wanted)} servers, led by {found['leader']}."


@pghalib.states.state
def acl_bootstrapped(ret):
    """
    The management token that the master chose works on this server, and no configuration file holds it any more.

    The first server of the inventory bootstraps the ACLs; the other servers wait until they know the token.

    name
        State ID; not used.
    """
    if not pghalib.wait.now(lambda: __salt__["pgha_consul_acl.token_works"]("management")):
        ret.plan({"management token": {"old": None, "new": "works"}})
        if ret.test:
            return "The ACLs would be bootstrapped."
        __salt__["pgha_consul_acl.bootstrap"]()
    _remove_preset(ret)
    return "The management token works."


@pghalib.states.state
def policies_and_tokens(ret):
    """
    The policies and tokens of the datacenter are registered as the inventory wants them, and the anonymous token has no
    rights. Other policies and tokens are left alone. The comment warns of other tokens that have all rights, or look
    like the formula's tokens.

    The first server of the inventory does this; on the other servers there is nothing to do.

    name
        State ID; not used.
    """
    if not __salt__["pgha_consul_acl.registrar"]():
        return "The first server of the inventory registers the policies and tokens."
    if ret.test and not pghalib.wait.now(lambda: __salt__["pgha_consul_acl.token_works"]("management")):
        ret.plan({"policies and tokens": {"old": None, "new": "registered"}})
        return "The policies and tokens would be registered as soon as the ACLs are bootstrapped."
    if ret.test:
        ret.changes = __salt__["pgha_consul_acl.differences"]()
    else:
        apply, note = __salt__["pgha_consul_acl.apply"], __salt__["pgha_consul_registrar.note"]
        ret.changes = pghalib.consul.registration.register(apply, note)
    foreign = __salt__["pgha_consul_acl.foreign_tokens"]()
    return " ".join(pghalib.consul.registration.sentences(ret.changes, foreign, ret.test))


@pghalib.states.state
def tokens_visible(ret):
    """
    This server knows every token of the datacenter, so no agent gets the answer that its token is unknown.

    An agent caches the answer "ACL not found" for 30 s.

    name
        State ID; not used.
    """
    # The registered tokens. The store may hold more: tokens of a host that is gone.
    names = sorted(pghalib.consul.config.tokens(__salt__["pgha.settings"]()))
    unseen, seen = list(names), {}
    works = __salt__["pgha_consul_acl.token_works"]
    failed = None if ret.test else __salt__["pgha_consul_registrar.failed"]
    visible = functools.partial(pghalib.consul.registration.visible, unseen, works, seen, failed)
    found = _gate(ret, visible, "all tokens of the datacenter on this server")
    if "why" in found:
        raise CommandExecutionError(f"{found['why']}. Not known to this server: {', '.join(unseen)}")
    return f"{len(names)} tokens are known."


@pghalib.states.state
def agent_token_set(ret):
    """
    This server has its agent token and keeps it after a restart.

    name
        State ID; not used.
    """
    if __salt__["pgha_consul_acl.agent_token_known"]():
        return "This server has its agent token."
    ret.plan({"agent token": {"old": None, "new": "set"}})
    if ret.test:
        return "The agent token would be set."
    __salt__["pgha_consul_acl.agent_token_set"]()
    return "The agent token was set."


@pghalib.states.state
def joined(ret):
    """
    This host is a node of the datacenter that can hold a session: registered, alive, under a leader.

    name
        State ID; not used.
    """
    _gate(ret, __salt__["pgha_consul.registered"], "this node in the catalog, passing serfHealth")
    return "This node is registered and alive."


@pghalib.states.state
def admin_access(ret):
    """
    The management token is in a file that only root can read, and `consul` uses it in every new shell of root.

    name
        State ID; not used.
    """
    secret = pghalib.secrets.served.own(__pillar__, __opts__)["management"]["secret"]
    api = pghalib.consul.client.api(__salt__["pgha.settings"]())
    _manage(ret, pghalib.consul.access.TOKEN_FILE, secret + "\n", "root", "0600", None)
    _manage(ret, pghalib.consul.access.PROFILE, pghalib.consul.access.profile(api), "root", "0644", None)


def _owing(validate, pending, path):
    """Check a draft. If it is valid, note the reload and the pending restart before the draft replaces the file."""
    error = validate(path)
    if not error and __salt__["pgha_consul.pid"]():
        __salt__["pgha_consul.note"](*pending)
        pghalib.services.owed.owe(RELOAD)
    return error


def _told(ret):
    """Reload a running agent when a reload is owed. A stopped agent reads its configuration at its start."""
    if not pghalib.services.owed.owed(RELOAD):
        return
    if __salt__["pgha_consul.pid"]():
        if not ret.changes:
            # The file was changed by an earlier run: only the reload is done here.
            ret.plan({"reload": {"old": "owed", "new": "done"}})
        if not ret.test:
            __salt__["pgha_consul.reload"]()
        told = "would be told to read" if ret.test else "has read"
        ret.say(f"The running agent {told} its configuration.")
    if not ret.test:
        pghalib.services.owed.paid(RELOAD)


def _write(ret, path, mapping, check):
    group = __salt__["pgha.settings"]()["consul"]["group"]
    _manage(ret, str(path), pghalib.consul.config.render(mapping), group, "0640", check)


def _manage(ret, path, content, group, mode, check):
    """Write a file of root and add the result to ``ret``."""
    done = pghalib.host.files.manage(
        path,
        content,
        user="root",
        group=group,
        mode=mode,
        test=ret.test,
        check=check,
        secrets=pghalib.secrets.served.strings(pghalib.secrets.served.own(__pillar__, __opts__)),
    )
    ret.say(ret.add(done, path))


def _remove_preset(ret):
    path = str(Path(__salt__["pgha.settings"]()["consul"]["config_dir"]) / PRESET)
    if pghalib.host.files.remove(path, test=ret.test):
        ret.changes[path] = {"old": "there", "new": "removed"}


def _gate(ret, condition, what):
    """Wait for a condition and return its value. In a dry run it is asked once."""
    if not ret.test:
        return pghalib.wait.until(condition, __salt__["pgha.settings"]()["consul"]["startup_timeout"], what)
    if not (found := pghalib.wait.now(condition)):
        raise pghalib.states.Later(f"Would wait for {what}.")
    return found


def _json(path):
    try:
        found = pghalib.parse.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
