"""The one exception that a user is meant to read."""


class UserError(ValueError):
    """What the user gave cannot be used.

    The message names the file, line or field and says what to do. The command line prints it
    without a traceback; the server turns it into a 4xx answer.
    """
