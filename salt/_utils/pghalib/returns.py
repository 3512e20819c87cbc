"""The return of a state that does several things: their changes, results and sentences put together. Pure functions."""


def say(ret, sentence):
    """Add a sentence to the comment of a state's return."""
    ret["comment"] = f"{ret['comment']} {sentence}".strip()


def would(ret, changes, sentence):
    """Make a state's return that of a dry run that has something to do, and add a sentence to its comment."""
    ret.update(result=None, changes=changes)
    say(ret, sentence)


def add(ret, what, done):
    """
    Add the result of one thing to a state's return: its changes, its comment, and its result.

    what
        The key of its changes, such as the path of a file.
    done
        ``{"result", "changes", "comment"}``, as ``pghalib.host.files.manage`` returns it.

    Returns False when the thing has failed, else True.
    """
    if done["changes"]:
        ret["changes"][what] = done["changes"]
        # The results are combined: False wins over None, and None over True.
        ret["result"] = ret["result"] and done["result"]
    if done["result"] is False:
        ret["result"] = False
    say(ret, done["comment"])
    return done["result"] is not False
