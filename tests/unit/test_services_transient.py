"""Programs in units that systemd makes for them: how they are started and ended."""

import pytest
from pghalib.services import transient
from salt.exceptions import CommandExecutionError


@pytest.fixture
def host():
    """A function in place of ``cmd.run_all``: ``ran`` is what it ran, ``fails`` what systemd-run says of a refusal."""

    def run_all(words, **options):
        assert options == {"python_shell": False, "ignore_retcode": True}
        run_all.ran.append(words)
        refused = run_all.fails and words[0] == "systemd-run"
        return {"retcode": int(bool(refused)), "stdout": "", "stderr": "", **(run_all.fails or {})}

    run_all.ran, run_all.fails = [], None
    return run_all


def test_what_follows_the_program_is_the_programs():
    words = transient.command("one", ["/bin/x", "--unit=y"], {"User": "postgres", "Nice": "10"}, "--collect")
    assert words == [
        *("systemd-run", "--quiet", "--unit=one", "--collect", "--property=User=postgres", "--property=Nice=10"),
        *("/bin/x", "--unit=y"),
    ]


def test_a_unit_goes_with_its_program(host):
    transient.start(host, "one", ["/bin/x"], {}, "--on-active=5")
    assert host.ran == [["systemd-run", "--quiet", "--unit=one", "--collect", "--on-active=5", "/bin/x"]]


def test_the_unit_of_work_is_kept_and_takes_the_place_of_the_former(host):
    transient.begin(host, "one", ["/bin/x"], {"User": "postgres"})
    assert host.ran == [
        ["systemctl", "stop", "one.service"],
        ["systemctl", "reset-failed", "one.service"],
        [
            *("systemd-run", "--quiet", "--unit=one", "--no-block", "--property=Type=oneshot"),
            *("--property=RemainAfterExit=yes", "--property=User=postgres", "/bin/x"),
        ],
    ]


def test_a_program_is_ended_by_the_name_of_its_unit(host):
    transient.stop(host, "one")
    assert host.ran == [["systemctl", "stop", "one.service"]]


@pytest.mark.parametrize("how", [transient.start, transient.begin])
@pytest.mark.parametrize("said", [{"stderr": "no\nroom", "stdout": "x"}, {"stdout": "no room\n"}])
def test_a_program_that_systemd_does_not_start_is_named_with_systemds_words(host, how, said):
    host.fails = said
    with pytest.raises(CommandExecutionError, match="^systemd does not start one: no room$"):
        how(host, "one", ["/bin/x"], {})
