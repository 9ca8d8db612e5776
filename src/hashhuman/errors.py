"""The one exception that reaches the user as a sentence instead of a traceback."""


class UserError(Exception):
    """Bad input: the message is one sentence that names the file, what is wrong and what to do.

    Entry points (`train.py`, `eval.py`, `python -m preprocess`) print the message and exit with status 2.
    """
