"""The one exception that reaches the user as a sentence instead of a traceback."""

import re

LONGEST = 300  # characters of a sentence: what a file says, such as the name of an entry, may be of any length
_CUT = " ... "
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UserError(Exception):
    """Bad input: the message is one sentence that names the file, what is wrong and what to do.

    Entry points (`train.py`, `eval.py`, `python -m preprocess`) print the message and exit with status 2. The message
    is made one line by `one_sentence`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_sentence(message))


def one_sentence(message: str) -> str:
    """The message on one line, without control characters, of at most `LONGEST` characters.

    Names that come from files are quoted in messages, and must not move the cursor of a terminal or fill the screen.
    The middle of a long message is left out, since its beginning names the file and its end says what to do.
    """
    line = _CONTROLS.sub("?", message)
    if len(line) <= LONGEST:
        return line
    tail = LONGEST // 3
    return line[: LONGEST - tail - len(_CUT)] + _CUT + line[-tail:]
