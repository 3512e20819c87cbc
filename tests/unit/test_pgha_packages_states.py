"""An installation of packages that was cut off, as by a loss of power."""

import pghalib.host.packages
import pytest


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """A function (names in dpkg's directory of updates, results of dpkg) -> (return of the state, calls of dpkg)."""

    def build(names, results=(), test=False):
        for name in names:
            (tmp_path / name).touch()
        calls, left = [], list(results)

        def run_all(command, **how):
            calls.append((command, how["env"]["DEBIAN_FRONTEND"]))
            code = left.pop(0)
            if code == 0:
                for name in names:
                    (tmp_path / name).unlink()
            return {
                "retcode": code,
                "stdout": "",
                "stderr": "dpkg: error: the lock is held by process 7\n" if code else "",
            }

        module = loader_module("_states/pgha_packages.py", salt={"cmd.run_all": run_all}, opts={"test": test})
        monkeypatch.setattr(pghalib.host.packages, "UPDATES", str(tmp_path))
        monkeypatch.setattr(module, "PATIENCE", 0.1 if results[-1:] == [2] else 10)
        return module.settled("x"), calls

    return build


DPKG = ("dpkg", "--force-confdef", "--force-confold", "--configure", "-a")


def test_nothing_is_done_where_nothing_was_cut_off(host):
    ret, calls = host(["tmp.i"])
    assert (ret["result"], ret["changes"], calls) == (True, {}, [])


def test_what_was_cut_off_is_finished_without_a_question(host):
    ret, calls = host(["0001", "0002"], [0])
    assert (ret["result"], list(ret["changes"]), calls) == (True, ["packages"], [(DPKG, "noninteractive")])


def test_a_dpkg_that_works_is_waited_for(host):
    ret, calls = host(["0001"], [2, 0])
    assert (ret["result"], len(calls)) == (True, 2)


def test_a_dpkg_that_does_not_end_is_quoted(host):
    ret, _ = host(["0001"], [2, 2])
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "the lock is held by process 7" in ret["comment"]


def test_a_dry_run_finishes_nothing(host):
    ret, calls = host(["0001"], test=True)
    assert (ret["result"], list(ret["changes"]), calls) == (None, ["packages"], [])
