"""``/intern …`` as a person types it: a subcommand, or a sentence that starts a run. Pure.

Only a first word that is a subcommand, with arguments that fit it, is one: "help me sort our tickets" is a sentence.
A single word that is no subcommand is answered with the list, as no run can be made of one word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.chat.incoming import Kind

RUN_ID = re.compile(r"r[2-9a-hjkmnp-z]{6}")
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
                Kind.HELP, problem=f"Which run? Write `/intern {low} RUN`; `/intern runs` lists them."
            )
        if re.fullmatch(r"[\w-]+", word):
            return Command(
                Kind.HELP, problem=f"“{word[:40]}” is no command of mine, and too short for a request."
            )
    first, _, words = rest.partition(" ")
    names_run = RUN_ID.fullmatch(first.strip("`")) is not None
    if low == "try" and names_run:
        if not words.strip():
            return Command(Kind.HELP, problem=f"Which text? Write `/intern try {first} some text`.")
        return Command(Kind.TRY, words.strip(), first.strip("`"))
    if low in _OF_A_RUN and names_run and not words.strip():
        return Command(_OF_A_RUN[low], run_id=first.strip("`"))
    if low in ("try", "cancel", "stop", "status", "show") and not names_run and len(rest.split()) == 1:
        return Command(Kind.HELP, problem=f"“{rest[:40]}” is no run's name; `/intern runs` lists the runs.")
    return Command(Kind.START, said)
