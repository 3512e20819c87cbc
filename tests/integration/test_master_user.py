"""A master that runs as the user salt, as in the vendor's packages: the store is that user's, or it is said how."""

import re

import pytest
from integration import formula

CONFIG = "/etc/salt/master.d/user.conf"
# What the vendor's package gives to the user.
OWNED = "/etc/salt/pki/master /var/cache/salt/master /var/log/salt /run/salt"


def run_by(lab, user):
    """Have the master run as a user; what it writes elsewhere than in the store is his."""
    script = f"chown -R {user}: {OWNED} && systemctl restart salt-master"
    lab.master.run(["sh", "-c", script])
    lab.wait_ready()


@pytest.fixture
def unprivileged(cluster):
    lab = cluster.lab
    lab.master.run(["sh", "-c", "id salt || useradd --system --no-create-home salt"])
    lab.master.write(CONFIG, "user: salt\n")
    run_by(lab, "salt")
    yield lab
    lab.master.run(["sh", "-c", f"rm {CONFIG} && chown -R root: {formula.STORE}"])
    run_by(lab, "root")
    assert formula.run(lab, "test=True").code == 0


def test_the_store_is_given_to_the_masters_user_by_the_command_that_is_named(cluster, unprivileged):
    before = cluster.services()
    refused = formula.run(unprivileged)
    assert refused.code == 1
    command = re.search(r"install -d -m 0700 -o salt -g salt \S+ && chown -R salt:salt [\w/]+", refused.text)
    assert command, refused.text
    unprivileged.master.run(["sh", "-c", command[0]])
    formula.changes_nothing(unprivileged)
    assert cluster.services() == before
    owners = unprivileged.master.run(
        ["sh", "-c", f"stat -c %U:%a {formula.STORE} {formula.STORE}/*.json"]
    ).stdout.split()
    assert set(owners) == {"salt:700", "salt:600"}


def test_salt_keeps_no_copy_of_the_secrets_on_the_master(cluster):
    """As the README's configuration has it (minion_data_cache)."""
    secret = formula.store(cluster.lab, "cluster-test")["superuser"]
    # The word could begin with a dash.
    found = cluster.lab.master.run(["grep", "-rlsF", "-e", secret, "/var/cache/salt", "/var/log/salt"], check=False)
    assert found.stdout == ""
