"""How a refusal of a runner function reaches the person."""

import inspect

import pghalib.master.refusal
import pytest
from salt.exceptions import CommandExecutionError


@pghalib.master.refusal.told
def refuses(datacenter, step=None):
    """Says no, or whom to."""
    if step:
        raise CommandExecutionError(f"Not now, {datacenter}")
    return datacenter


def test_a_refusal_is_a_sentence_and_the_exit_code_says_it(capsys):
    assert refuses("dc", step="add") == {"data": {"retcode": 1}, "outputter": "txt"}
    assert capsys.readouterr() == ("", "Not now, dc\n")


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit("Exiting gracefully on Ctrl-c")])
def test_ctrl_c_is_no_fault_of_the_program(capsys, end):
    """Salt makes an exit of it, and would show that with its traceback."""

    @pghalib.master.refusal.told
    def interrupted():
        raise end

    assert interrupted() == {"data": {"retcode": 1}, "outputter": "txt"}
    assert capsys.readouterr() == ("", "Interrupted\n")


def test_everything_else_is_as_it_was():
    assert refuses("dc") == "dc"
    # Salt takes arguments and help from these.
    assert list(inspect.signature(refuses).parameters) == ["datacenter", "step"]
    assert (refuses.__name__, refuses.__doc__) == ("refuses", "Says no, or whom to.")


@pytest.mark.parametrize(("given", "number"), [(1, 1), ("86400", 86400), ("007", 7)])
def test_a_number_may_come_as_a_text(given, number):
    assert pghalib.master.refusal.whole("timeout", given, 86400) == number


@pytest.mark.parametrize("given", ["abc", "", None, True, -1, 0, 86401, 1.5, "1e3", "\x1b[2J", [3], "9" * 5000])
def test_what_is_no_number_is_said(given):
    with pytest.raises(CommandExecutionError, match=r"^timeout=.* is no whole number from 1 to 86400$") as error:
        pghalib.master.refusal.whole("timeout", given, 86400)
    assert str(error.value).isprintable()


# As Salt makes them of the words of a command: 2026 and 1e3 are a number and a text there.
@pytest.mark.parametrize(("given", "word"), [("one", "one"), (2026, "2026"), ("2026", "2026"), ("1e3", "1e3")])
def test_a_word_is_known_as_salt_reads_it(given, word):
    found = pghalib.master.refusal.one_of("cluster", given, ["one", "2026", "1e3"])
    assert (found, type(found)) == (word, str)


@pytest.mark.parametrize("given", ["two", 7, True, None, 2026.0, ["one"], {}])
def test_another_word_is_refused_with_the_known_ones(given):
    with pytest.raises(CommandExecutionError, match="^There is no cluster .*; there is one, 2026, 1, True, None$"):
        pghalib.master.refusal.one_of("cluster", given, ["one", "2026", "1", "True", "None"])


def test_a_fault_of_the_program_keeps_its_traceback():
    @pghalib.master.refusal.told
    def broken():
        raise KeyError("what")

    with pytest.raises(KeyError):
        broken()
