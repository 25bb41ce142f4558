"""The surfaces' one exception tree; each message is a sentence for the person who asked."""

from __future__ import annotations


class BotError(Exception):
    """``str(error)`` is what the person reads."""


class UsageError(BotError):
    """What was asked cannot be done as it was put (exit code 2)."""


class NotWaiting(UsageError):
    """The run has no open question."""


class NotAChoice(UsageError):
    """The answer fits none of the question's choices."""


class StalePlan(BotError):
    """The button belongs to a plan that has changed since."""


class AlreadyDecided(BotError):
    """Somebody else was first."""


class NotAllowed(BotError):
    """This person may not decide this."""
