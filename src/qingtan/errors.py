"""The exceptions that a user is meant to read."""


class UserError(ValueError):
    """What the user gave cannot be used.

    The message names the file, line or field and says what to do. The command line prints it
    without a traceback; the server turns it into a 4xx answer.
    """


class NotFound(UserError):  # noqa: N818  (an answer rather than a fault)
    """What the user named is not there, or is not theirs; the server answers 404 to both."""
