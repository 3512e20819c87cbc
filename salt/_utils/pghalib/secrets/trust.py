"""
The authorities that the hosts of a datacenter trust while its authority changes, to the formula's or to the user's.

Until a ``drop`` authorities are only added: the next one is trusted before a service shows a certificate of it, and the
former one stays trusted when it no longer signs. So hosts can talk to each other after an interrupted run, and a host
that was off can talk to all others.

Pure functions of the stored content of a datacenter (``tls-NAME.json``):

    {"authorities": {"current", "next", "last"}  the formula's own, with their keys; next and last during a change,
     "ca"                                        the user's, when they sign,
     "next_ca"                                   the next ones, when the change is from or to the user's,
     "former"                                    those that no longer sign, until they are dropped,
     "revision"                                  how often one of these has changed: an older copy has a lower number}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.secrets.x509

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from pghalib.secrets.contents import Authorities, Tls
    from pghalib.secrets.x509 import Described

STEPS = ("add", "use", "drop", "back")
EXPLAINED = {
    "add": "everyone trusts the next authority, which signs nothing yet",
    "use": "the next authority signs, and all hosts show certificates of it",
    "drop": "nobody trusts the former authority any more",
    "back": "the change is taken back by one step",
}


class AuthorityChange(TypedDict):
    """How far a datacenter is in the change of its authority (``pghalib.secrets.pki.authority_change``)."""

    signs: list[Described]
    next: list[Described]
    former: list[Described]
    steps: list[str]
    brought: bool


def signing(stored: Tls) -> str | None:
    """Return the authorities that sign now, as PEM; None before there are any."""
    own = (stored.get("authorities") or {}).get("current")
    return stored.get("ca") or (own["certificate"] if own else None)


def bundle(stored: Tls) -> str:
    """Return all trusted authorities as PEM, each once, those that sign first. Empty when there is none."""
    own = _formulas(stored)
    text = signing(stored) or ""
    others = [own[use]["certificate"] for use in ("next", "last") if use in own]
    others += [stored[key] for key in ("next_ca", "former") if stored.get(key)]
    known = set(pghalib.secrets.x509.split(text)) if others else set()
    for one in (one for pem in others for one in pghalib.secrets.x509.split(pem)):
        if one not in known:
            known.add(one)
            text = text.rstrip("\n") + "\n" + one
    return text


def same(one: str | None, other: str | None) -> bool:
    """Return whether two PEM texts hold the same certificates."""
    return set(pghalib.secrets.x509.split(one or "")) == set(pghalib.secrets.x509.split(other or ""))


def trusts(stored: Tls, pem: str) -> bool:
    """Return whether all authorities of a PEM text are trusted already."""
    wanted = set(pghalib.secrets.x509.split(pem))
    return bool(wanted) and wanted <= set(pghalib.secrets.x509.split(bundle(stored)))


def revised(stored: Tls, before: Tls) -> None:
    """
    Count a change of the authorities. Changes ``stored``.

    before
        The content that is stored until now.
    """
    changed = not same(bundle(stored), bundle(before)) or not same(signing(stored), signing(before))
    stored["revision"] = before.get("revision", 0) + changed


def due(stored: Tls, target: str) -> list[str]:
    """
    Return the steps that may be taken now, the one forward first; [] when there is nothing to change.

    target
        The authorities that the pillar wants to sign, as PEM: the user's, else the formula's; empty when the formula's
        are yet to be made.
    """
    if not same(signing(stored), target):
        return ["use" if trusts(stored, target) else "add"]
    own = _formulas(stored)
    if "next" in own:
        return ["use", "back"]
    if "last" in own:
        return ["drop", "back"]
    if stored.get("former"):
        return ["drop"]
    return [] if stored.get("ca") else ["add"]


def expect(stored: Tls, target: str) -> bool:
    """
    Let all hosts trust the authorities that are to sign; the present ones go on signing. Returns whether that is a
    change.

    Changes ``stored``. Former candidates for the next authority are forgotten: no service shows a certificate of them.
    """
    if same(signing(stored), target):
        return bool(stored.pop("next_ca", None))
    if trusts(stored, target):
        return False
    stored["next_ca"] = target
    return True


def hand_over(stored: Tls, ca: str | None) -> None:
    """
    Let other authorities sign, and keep the former ones trusted. Changes ``stored``.

    ca
        The user's, as PEM; None for the formula's own.
    """
    before = pghalib.secrets.x509.split(bundle(stored))
    own = stored.get("authorities") or {}
    if ca:
        stored["ca"] = ca
        # The formula's stay trusted like all others. When they are to sign again, no change of theirs is half done.
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


def turn(own: Authorities, step: str) -> None:
    """Take a step from one authority of the formula's to the next; for ``add`` the caller makes the authority."""
    if step == "use":
        own["last"], own["current"] = own["current"], own.pop("next")
    elif step == "back" and "last" in own:
        own["next"], own["current"] = own["current"], own.pop("last")
    elif step == "back":
        del own["next"]


def unfinished(datacenter: str, steps: list[str]) -> str | None:
    """
    Return a sentence when a person has begun the change of an authority and not ended it, else None.

    steps
        The steps that may be taken now, from :py:func:`due`. ``add`` alone is no begun change: the main job itself adds
        an authority of the user's.
    """
    if steps[:1] not in (["use"], ["drop"]):
        return None
    return (
        f"{datacenter}: the change of its authority is not ended; the next step is {steps[0]}:"
        f" salt-run pgha.authority {datacenter} says what it needs"
    )


def text(datacenter: str, change: AuthorityChange, late: Sequence[str]) -> str:
    """
    Return a text for a person: how far the change of a datacenter's authority is, and the commands of the next steps.

    change
        The result of :py:func:`pghalib.secrets.pki.authority_change`.
    late
        Sentences that name what is not ready for the next step.
    """
    lines = [f"The authority of {datacenter}"]
    titles: dict[Literal["signs", "next", "former"], str] = {
        "signs": "signs",
        "next": "trusted, signs next",
        "former": "trusted, former",
    }
    for use, title in titles.items():
        lines += [f"  {title + ':':21} {one['subject']}, until {one['until'][:10]}" for one in change[use]]
    steps = change["steps"]
    changing = bool(change["next"] or change["former"])
    lines += ["", f"Next step: {steps[0]}." if changing and steps else "No change is under way."]
    if late:
        lines += ["Not ready for a step:", *(f"  - {one}" for one in late)]
    if changing and steps[:1] == ["use"]:
        lines += [f"Clients that verify need the new file first: salt-run pgha.authority {datacenter} form=pem"]
    if not steps:
        lines += ["To change it, set tls:ca, tls:certificate and tls:key to the next ones (docs/tls.md)."]
    else:
        lines += ["Commands, when all are ready:" if late else "Commands:"]
    commands = [f"salt-run pgha.authority {datacenter} step={step}" for step in steps]
    width = max(map(len, commands), default=0)
    lines += [f"  {command:{width}}  # {EXPLAINED[step]}" for command, step in zip(commands, steps, strict=True)]
    return "\n".join(lines)


def _formulas(stored: Tls) -> Authorities:
    """The formula's own authorities where they sign, {} where the user's do."""
    return {} if stored.get("ca") else (stored.get("authorities") or {})
