"""What decides whether a model is good. Names are scikit-learn's, with underscores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.names import TaskFamily
from graph.understanding.text import Found, Text

CLASS_METRICS = (
    "macro_f1",
    "accuracy",
    "weighted_f1",
    "micro_f1",
    "balanced_accuracy",
    "subset_accuracy",
    "mcc",
    "precision",
    "recall",
    "auroc",
    "auprc",
    "kappa",
    "log_loss",
    "ece",
)
NUMBER_METRICS = ("rmse", "mae", "r2", "spearman", "pearson", "mse")
# Those the recipes can choose the best checkpoint by.
STEERING = {
    "macro_f1",
    "accuracy",
    "weighted_f1",
    "micro_f1",
    "balanced_accuracy",
    "subset_accuracy",
    "mcc",
    "rmse",
    "mae",
    "r2",
    "spearman",
}

_NAMES = (
    ("balanced_accuracy", r"balanced[- ]accuracy"),
    ("subset_accuracy", r"subset[- ]accuracy|exact[- ]match(?: ratio)?"),
    ("accuracy", r"accuracy|genauigkeit|exactitude|exactitud"),
    ("weighted_f1", r"weighted[- ](?:average )?f-?1(?:[- ]score)?"),
    ("micro_f1", r"micro[- ]?(?:average )?f-?1(?:[- ]score)?"),
    ("macro_f1", r"(?:macro[- ]?(?:averaged? )?)?(?:f-?1|f[- ]score|f-measure)(?:[- ](?:score|macro))?"),
    ("auprc", r"auprc|pr[- ]auc|average precision"),
    ("precision", r"precision|präzision|false positives?|false alarms?|fehlalarme?"),
    ("recall", r"recall|sensitivity|trefferquote|false negatives?"),
    ("auroc", r"au-?roc|roc[- ]?auc|auc|area under the (?:roc )?curve"),
    ("mcc", r"mcc|matthews(?: correlation(?: coefficient)?)?"),
    ("kappa", r"cohen'?s kappa|kappa"),
    ("log_loss", r"log[- ]?loss|cross[- ]entropy"),
    ("ece", r"ece|calibrat(?:ion|ed)|expected calibration error"),
    ("rmse", r"rmse|root[- ]mean[- ]squared?[- ]error"),
    ("mae", r"mae|mean absolute error"),
    ("mse", r"mse|mean squared error"),
    ("r2", r"r\^?2|r[- ]squared|coefficient of determination"),
    ("spearman", r"spearman(?:'s)?(?: (?:rho|correlation))?"),
    ("pearson", r"pearson(?:'s)?(?: (?:r|correlation))?"),
)
_METRIC = re.compile(r"(?<![\w/.-])(?:" + "|".join(f"(?P<{n}>{p})" for n, p in _NAMES) + r")(?![\w/])")
_CATCH_ALL = re.compile(
    r"\b(?:must(?:n'?t| not)|don'?t|do not|never|cannot|can'?t|should(?:n'?t| not)) (?:ever )?(?:miss"
    r"|overlook)\b"
    r"(?: (?:a|an|any|one|single|the|\w+)){0,4}"
    r"|\b(?:catch|find|detect) (?:every|all|each)(?: (?:single|one))?\b(?: \w+)?|\bmiss (?:as few"
    r"|nothing|none)\b"
    r"|\b(?:nichts|keine?n?) (?:\w+ )?(?:übersehen|verpassen)\b|\bne (?:rien )?(?:rater|manquer)\b"
)
_RECALL_NOTICE = re.compile(r"(?:product|vehicle|car|drug|food|safety|notices?|toy)s? \Z")
_NEGATED = re.compile(
    r"(?:\bnot|n't|\bnever mind|\bignor(?:e|ing)|\binstead of|\brather than|\bforget|\bno"
    r"|\bprefer\w* \w+ over|\bstatt"
    r"|\bnicht|\bpas|\bdon't care)"
    r"(?: (?:about|the|for|just|care|on|by|use|using|look|at|measure|want|optimi[sz]e|maximi[sz]e|so"
    r"|much|too))*\s*\Z"
)
_UNIMPORTANT = re.compile(
    r"\A,?(?: \w+)? (?:(?:does|do)(?:n'?t| not) matter|(?:is|are)(?:n'?t| not) (?:so )?(?:important"
    r"|relevant)|(?:is|are)"
    r" (?:irrelevant|secondary|unimportant))"
)
_ONLY_BEFORE = re.compile(
    r"\b(?:only|solely|nothing but|exclusively|nur)(?: (?:about|for|the|by|on|optimi[sz]e))*\s*\Z"
)
_ONLY_AFTER = re.compile(
    r"\A,?(?: and)? (?:only|alone|nothing else|is (?:all|everything|the only|what)\b|are all\b"
    r"|exclusively|is the one)"
)
_FIRST = re.compile(
    r"\b(?:car(?:e|ing) (?:\w+ )?(?:about|for)|optimi[sz](?:e|ed|ing)(?: for)?|maximi[sz](?:e|ing)"
    r"|minimi[sz](?:e|ing)"
    r"|judged? (?:it )?by|measured? (?:it )?(?:by|in|with)|focus on|metrics?(?: is| are|:)?"
    r"|evaluated? (?:by|on|with)"
    r"|best|highest|good|high|most|prefer)(?: (?:the|possible|on|mainly|mostly))*\s*\Z"
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """``named``: in order of weight. ``only``: those said to be the only one; two of them contradict each
    other."""

    named: tuple[Found[str], ...] = ()
    only: tuple[str, ...] = ()


def read_metrics(text: Text) -> Metrics:
    first: list[Found[str]] = []
    later: list[Found[str]] = []
    only: dict[str, None] = {}
    for match in text.all(_METRIC):
        name = match.lastgroup or ""
        before, after = text.before(match.start()), text.after(match.end())
        costly = match[0].startswith("false ")
        if not costly and _turned_down(before, after):
            continue
        if name == "macro_f1" and re.match(r" (?:rac\w+|drivers?|grand prix|teams?|cars?|season)\b", after):
            continue  # the sport
        if name == "recall" and (
            _RECALL_NOTICE.search(before) or re.match(r" (?:notices?|of products?)", after)
        ):
            continue
        found = Found(name, text.quote(match), _explain(name, match[0]))
        if _ONLY_BEFORE.search(before) or _ONLY_AFTER.match(after):
            only[name] = None
            first.insert(0, found)
        else:
            (first if _FIRST.search(before) else later).append(found)
    caught = text.search(_CATCH_ALL)
    if caught:
        why = "a missed one costs most, which recall measures"
        first.append(Found("recall", text.quote(caught), why))
    named = {found.value: found for found in reversed(first + later)}
    order = dict.fromkeys(found.value for found in first + later)
    return Metrics(tuple(named[name] for name in order), tuple(only))


def _turned_down(before: str, after: str) -> bool:
    said_no = _NEGATED.search(before) and not re.search(r"\bnot (?:only|just)\b[^,]{0,20}\Z", before)
    return bool(said_no or _UNIMPORTANT.match(after))


def _explain(name: str, said: str) -> str:
    if name == "macro_f1" and "macro" not in said:
        return "F1 read as macro-F1: every class counts the same, however rare"
    if said.startswith("false "):
        return f"{said} are what {name} counts"
    return ""


def fits(name: str, family: TaskFamily | None) -> bool:
    """Whether a metric measures what the family predicts; an open family takes any."""
    if family is None:
        return True
    return name in (NUMBER_METRICS if family is TaskFamily.REGRESSION else CLASS_METRICS)


def metric_answered(answer: str) -> str | None:
    """A metric given as an answer: its name, or words that hold exactly one."""
    word = answer.strip().lower().replace("-", "_").replace(" ", "_")
    if word in CLASS_METRICS + NUMBER_METRICS:
        return word
    named = read_metrics(Text(answer)).named
    return named[0].value if named else None
