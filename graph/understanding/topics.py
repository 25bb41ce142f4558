"""Usual tasks: the words they are known by, and the words that data for them is found by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.understanding.text import Text


@dataclass(frozen=True, slots=True)
class Topic:
    """``aspect`` completes "sort … by"; ``two_sided``: the task asks yes or no by its nature."""

    name: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...]
    aspect: str
    subject: str
    two_sided: bool = False


def _topic(
    name: str, pattern: str, keywords: str, aspect: str, subject: str = "texts", *, two_sided: bool = False
) -> Topic:
    return Topic(name, re.compile(pattern), tuple(keywords.split(", ")), aspect, subject, two_sided)


TOPICS = (
    _topic(
        "prompt injection",
        r"\bprompt[- ]injections?\b|\bjailbreaks?\b",
        "prompt injection, jailbreak, safety",
        "prompt injection",
        "prompts",
        two_sided=True,
    ),
    _topic(
        "spam",
        r"\bspam\w*|\bham\b|\bjunk\b|\bphishing\b|\bscams?\b|\bno deseado\b|\bindésirables?\b",
        "spam, ham, sms spam, phishing",
        "spam",
        "messages",
        two_sided=True,
    ),
    _topic(
        "toxicity",
        r"\btoxi\w+|\bhate ?ful\w*|\bhate[- ]speech\b|\bhassrede\w*|\babus(?:e|ive)\b|\boffensive\b"
        r"|\binsult\w*"
        r"|\bharass\w*|\bcyberbully\w*|\bcontent moderation\b|\bmoderat(?:e|ion)\b|\bprofan\w+|\bodio\b",
        "toxicity, hate speech, offensive language, abuse, moderation",
        "toxicity",
        "comments",
        two_sided=True,
    ),
    _topic(
        "fake news",
        r"\bfakes?\b|\bmisinformation\b|\bdisinformation\b|\bsatir\w+",
        "fake, fake news, misinformation, satire",
        "fakes",
        "news",
        two_sided=True,
    ),
    _topic("clickbait", r"\bclick-?bait\b", "clickbait, headlines", "clickbait", "headlines", two_sided=True),
    _topic("sarcasm", r"\bsarcas\w+|\biron(?:y|ic)\b", "sarcasm, irony", "sarcasm", "posts", two_sided=True),
    _topic(
        "emotion",
        r"\bemoti\w+|\bmoods?\b|\bfeelings?\b|\bgefühle?\b|\bémotions?\b|\bemociones\b",
        "emotion, feelings, mood",
        "emotion",
    ),
    _topic(
        "language identification",
        r"\blanguage[- ](?:id|identification|detection|detector|identifier)\b|\b(?:which|what) language\b"
        r"|\b(?:detect|identify|recogni[sz]e|guess|predict)s? (?:the |its |their )?languages?\b"
        r"|\bby language\b",
        "language identification, multilingual",
        "language",
    ),
    _topic(
        "stars",
        r"\bstars?\b|\bstar[- ]ratings?\b|\bratings?\b|\bsterne\b|\bétoiles\b|\bestrellas\b",
        "rating, stars, reviews",
        "star rating",
        "reviews",
    ),
    _topic(
        "urgency",
        r"\burgen\w+|\bpriorit\w+|\bseverit\w+|\bescalat\w+|\bdringlich\w*|\bpriorität\w*",
        "urgency, priority, support tickets",
        "urgency",
        "tickets",
    ),
    _topic(
        "sentiment",
        r"\bsentim\w+|\bstimmung\w*|\bpolarity\b|\bpositi(?:ve|v|f|fs|ves|vo|vos|vas)\b|\bnegativ(?:e"
        r"|o|os|as)?\b"
        r"|\bnégati(?:f|fs|ve|ves)\b|\bopinion mining\b|\b(?:un)?happy\b",
        "sentiment, polarity, opinion, reviews",
        "sentiment",
        "reviews",
    ),
    _topic(
        "intent",
        r"\bintents?\b|\bintention\w*|\babsicht\w*|\banliegen\b|\bintenci\w+|\brout(?:e|es|ing)\b|\btriag\w+"
        r"|\bwhat (?:the |our )?(?:customers?|users?|people|clients?) wants?\b",
        "intent, intent classification, customer support, queries",
        "intent",
        "requests",
    ),
    _topic(
        "banking",
        r"\bbank(?:ing|s|kunden)?(?:77)?\b|\bcredit cards?\b",
        "banking, bank, customer queries",
        "",
        "banking queries",
    ),
    _topic(
        "support",
        r"\b(?:customer )?support (?:tickets?|requests?|emails?|messages?)\b|\bhelp ?desk\b"
        r"|\bsupport-?tickets?\b"
        r"|\bkundenanfragen\b|\btickets?\b",
        "support tickets, customer support, helpdesk",
        "",
        "support tickets",
    ),
    _topic(
        "news",
        r"\bnews\b|\bheadlines?\b|\bnewspaper\b|\bschlagzeilen\b|\bnoticias\b|\bnewsgroups?\b",
        "news, topic, articles, headlines",
        "",
        "news articles",
    ),
    _topic(
        "topic",
        r"\btopics?\b|\bsubject areas?\b|\bthemes?\b|\bthema\b|\bthemen\b|\bsujets?\b|\btemas?\b|\bthème\w*",
        "topic, category",
        "topic",
    ),
)


def topics_of(text: Text) -> list[tuple[Topic, str]]:
    """The usual tasks that the request speaks of, each with the words it was known by.

    Words within a path or an id do not count: "publish to acme/support-intents" says nothing about intents.
    """
    found: list[tuple[Topic, str]] = []
    for topic in TOPICS:
        match = next((m for m in text.all(topic.pattern) if not _in_path(text.low, m)), None)
        if match:
            found.append((topic, text.quote(match)))
    return found


def _in_path(low: str, match: re.Match[str]) -> bool:
    before = low[max(0, match.start() - 60) : match.start()].rsplit(None, 1)
    head = before[-1] if before and not low[match.start() - 1 : match.start()].isspace() else ""
    return bool(re.search(r"\w/[\w.-]*\Z", head)) or bool(
        re.match(r"[\w.-]{0,60}/\w", low[match.end() : match.end() + 62])
    )
