"""``/intern …`` as a person types it: a subcommand, or a sentence that starts a run. Pure.

Only a first word that is a subcommand, with arguments that fit it, is one: "help me sort our tickets" is a sentence.
A single word that is no subcommand is answered with the list, as no run can be made of one word.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from bot.chat.incoming import Kind

RUN_ID = re.compile(r"r[2-9a-hjkmnp-z]{6}")
_SPACELESS_REQUEST = 5  # characters of a script without spaces that may be a request
_SMALL_TALK = re.compile(
    r"(?:(?:hi|hello|hey|hallo|hola|bonjour|good (?:morning|afternoon|evening)|there|intern"
    r"|thanks|thank you|thx|danke|merci|gracias|ok|okay|cool|nice|great|sorry|bye|a lot|so much|very much)\b ?)+"
    r"|(?:who|what) are you|what can (?:you|i) (?:do|say)(?: for me)?|how does (?:this|it) work"
    r"|can you help(?: me)?|(?:please )?help(?: me)?(?: please)?"
    r"|was kannst du|qué puedes hacer|que sais tu faire"
)
_SAY = "Say in a sentence what your texts are, and what a model should tell about them."
_ALONE = {"help": Kind.HELP, "?": Kind.HELP, "runs": Kind.RUNS, "list": Kind.RUNS, "status": Kind.STATUS}
_OF_A_RUN = {"status": Kind.STATUS, "show": Kind.STATUS, "cancel": Kind.CANCEL, "stop": Kind.CANCEL}

HELP = (
    ("/intern <sentence>", "start a run: what the texts are, and what the model should tell about them"),
    ("/intern", "the same, as a form"),
    ("/intern status [RUN]", "how far a run is"),
    ("/intern runs", "your runs"),
    ("/intern cancel RUN", "stop a run; what was made is kept"),
    ("/intern try RUN text", "ask a run's model"),
    (
        "In a run's thread",
        "answer its questions, or write: why? · status · cancel · make it smaller · try: a text",
    ),
)


@dataclass(frozen=True, slots=True)
class Command:
    """``problem``: a sentence for the person, where the command cannot be carried out."""

    kind: Kind
    text: str = ""
    run_id: str = ""
    problem: str = ""


def _says_nothing(said: str) -> bool:
    """Whether no request can be in it: no letters, or one word. Chinese and its like write no spaces."""
    if not any(char.isalpha() for char in said):
        return True
    spaceless = sum(unicodedata.east_asian_width(char) == "W" and char.isalpha() for char in said)
    return spaceless < _SPACELESS_REQUEST and " " not in _bare(said)


def _bare(said: str) -> str:
    """Its words alone."""
    return " ".join(re.findall(r"[\w'’-]+", said.casefold()))


def read_command(text: str) -> Command | None:
    """``None`` for no text at all: a form is what helps then."""
    said = text.strip()
    if not said:
        return None
    word, _, rest = said.partition(" ")
    low, rest = word.casefold(), rest.strip()
    if not rest:
        if low in _ALONE:
            return Command(_ALONE[low])
        if low in ("cancel", "stop", "try", "show"):
            return Command(
                Kind.HELP, problem=f"Which run? Write “/intern {low} RUN”; “/intern runs” lists them."
            )
    if _SMALL_TALK.fullmatch(_bare(said)):
        return Command(Kind.HELP)
    if _says_nothing(said):
        return Command(Kind.HELP, problem=f"I can make nothing of “{said[:40]}”. {_SAY}")
    first, _, words = rest.partition(" ")
    names_run = RUN_ID.fullmatch(first.strip("`")) is not None
    if low == "try" and names_run:
        if not words.strip():
            return Command(Kind.HELP, problem=f"Which text? Write “/intern try {first} some text”.")
        return Command(Kind.TRY, words.strip(), first.strip("`"))
    if low in _OF_A_RUN and names_run and not words.strip():
        return Command(_OF_A_RUN[low], run_id=first.strip("`"))
    if low in ("try", "cancel", "stop", "status", "show") and not names_run and len(rest.split()) == 1:
        return Command(Kind.HELP, problem=f"“{rest[:40]}” is no run's name; “/intern runs” lists the runs.")
    return Command(Kind.START, said)
