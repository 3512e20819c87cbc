"""
Whom the hosts of a datacenter trust while its authority changes, whoever the next one is: the formula's or the user's.

What is trusted only grows until a ``drop``: the next authority is added before anything shows a certificate of it, and
the one before stays when it no longer signs. So an interrupted run, and a host that was off, can talk to all others.

Pure functions of what the store holds of a datacenter (``tls-NAME.json``):

    {"authorities": {"current", "next", "last"}  the formula's own, with their keys; next and last while they change,
     "ca"                                        the user's, when they sign,
     "next_ca"                                   whoever signs next, when the change is from or to the user's,
     "former"                                    those that do not sign any more, until they are dropped}
"""

import pghalib.secrets.x509

STEPS = ("add", "use", "drop", "back")
EXPLAINED = {
    "add": "everyone trusts the next authority, which signs nothing yet",
    "use": "the next authority signs, and all hosts show certificates of it",
    "drop": "nobody trusts the former authority any more",
    "back": "the change is taken back by one step",
}


def signing(stored):
    """Return the authorities that sign now, as PEM; None before there are any."""
    own = (stored.get("authorities") or {}).get("current") or {}
    return stored.get("ca") or own.get("certificate")


def bundle(stored):
    """Return all that is trusted, as PEM, each once: first who signs. Empty when there is nothing."""
    own = {} if stored.get("ca") else stored.get("authorities") or {}
    text = signing(stored) or ""
    others = [own[use]["certificate"] for use in ("next", "last") if use in own]
    others += [stored[key] for key in ("next_ca", "former") if stored.get(key)]
    known = set(pghalib.secrets.x509.split(text)) if others else set()
    for one in (one for pem in others for one in pghalib.secrets.x509.split(pem)):
        if one not in known:
            known.add(one)
            text = text.rstrip("\n") + "\n" + one
    return text


def same(one, other):
    """Return whether two PEM texts hold the same certificates."""
    return set(pghalib.secrets.x509.split(one or "")) == set(pghalib.secrets.x509.split(other or ""))


def trusts(stored, pem):
    """Return whether all authorities of a PEM text are trusted already."""
    wanted = set(pghalib.secrets.x509.split(pem))
    return bool(wanted) and wanted <= set(pghalib.secrets.x509.split(bundle(stored)))


def due(stored, target):
    """
    Return the steps that may be taken now, first the one that goes on; [] when there is nothing to change.

    target
        The authorities that are to sign by the pillar, as PEM: the user's, else the formula's; empty when these are yet
        to be made.
    """
    if not same(signing(stored), target):
        return ["use" if trusts(stored, target) else "add"]
    own = {} if stored.get("ca") else stored.get("authorities") or {}
    if "next" in own:
        return ["use", "back"]
    if "last" in own:
        return ["drop", "back"]
    if stored.get("former"):
        return ["drop"]
    return [] if stored.get("ca") else ["add"]


def expect(stored, target):
    """
    Have everyone trust the authorities that are to sign; whoever signs now goes on. Returns whether that is new.

    Changes ``stored``. Authorities that were to sign next, and are not any more, are forgotten: nothing shows a
    certificate of them.
    """
    if same(signing(stored), target):
        return bool(stored.pop("next_ca", None))
    if trusts(stored, target):
        return False
    stored["next_ca"] = target
    return True


def hand_over(stored, ca):
    """
    Have other authorities sign, and keep those before among the trusted. Changes ``stored``.

    ca
        The user's, as PEM; None for the formula's own.
    """
    before = pghalib.secrets.x509.split(bundle(stored))
    own = stored.get("authorities") or {}
    if ca:
        stored["ca"] = ca
        # Trusted as all others are, and not in the middle of a change when they are to sign again.
        own.pop("next", None)
        own.pop("last", None)
    else:
        stored.pop("ca", None)
    stored.pop("next_ca", None)
    signs = set(pghalib.secrets.x509.split(signing(stored)))
    stored.pop("former", None)
    former = [one for one in before if one not in signs]
    if former:
        stored["former"] = "".join(former)


def turn(own, step):
    """Take a step from one authority of the formula's to the next; ``add`` is the caller's, who makes it."""
    if step == "use":
        own["last"], own["current"] = own["current"], own.pop("next")
    elif step == "back" and "last" in own:
        own["next"], own["current"] = own["current"], own.pop("last")
    elif step == "back":
        del own["next"]


def unfinished(datacenter, steps):
    """
    Return a sentence when a person has begun to change an authority and not ended it, else None.

    steps
        Those that may be taken now, as :py:func:`due` has them; the main job itself adds an authority of the user's.
    """
    if steps[:1] not in (["use"], ["drop"]):
        return None
    return (
        f"{datacenter}: the change of its authority is not ended; the next step is {steps[0]}:"
        f" salt-run pgha.authority {datacenter} says what it needs"
    )


def text(datacenter, standing, late):
    """
    Return for a person where a datacenter is in the change of its authority, and the commands that go on.

    standing
        The result of :py:func:`pghalib.secrets.pki.standing`.
    late
        Sentences: what is not ready for the next step.
    """
    lines = [f"The authority of {datacenter}"]
    titles = {"signs": "signs", "next": "trusted, signs next", "former": "trusted, former"}
    for use, title in titles.items():
        lines += [f"  {title + ':':21} {one['subject']}, until {one['until'][:10]}" for one in standing[use]]
    steps = standing["steps"]
    changing = bool(standing["next"] or standing["former"])
    lines += ["", f"Next step: {steps[0]}." if changing else "No change is under way."]
    if late:
        lines += ["Not ready for a step:", *(f"  - {one}" for one in late)]
    if changing and steps[0] == "use":
        lines += [f"Clients that verify need the new file first: salt-run pgha.authority {datacenter} form=pem"]
    if not steps:
        lines += ["To change it, set tls:ca, tls:certificate and tls:key to the next ones (docs/tls.md)."]
    else:
        lines += ["Commands, when all are ready:" if late else "Commands:"]
    commands = [f"salt-run pgha.authority {datacenter} step={step}" for step in steps]
    width = max(map(len, commands), default=0)
    lines += [f"  {command:{width}}  # {EXPLAINED[step]}" for command, step in zip(commands, steps, strict=True)]
    return "\n".join(lines)
