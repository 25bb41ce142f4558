"""Requests that end at once with one friendly sentence: hostile, harmful, not learning, or out of reach.

The words alone are judged, never obeyed. A request *about* an attack ("detect phishing", "flag texts that say
'ignore previous instructions'") is ordinary work, so each hostile pattern looks at what stands before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.understanding.text import Text
from graph.understanding.topics import Topic
from graph.understanding.vocabulary import TEXT_NOUNS

EXAMPLE = 'Try for example: "Sort our support tickets by intent, the data is in tickets.csv".'
HOSTILE = (
    "I won't do that: a request can't change my rules, and I never read, show or send secrets or run "
    "commands from it. " + EXAMPLE
)
HARMFUL = (
    "I can't help build that, because it could hurt or expose people; I am glad to help detect such "
    "harm in text. " + EXAMPLE
)
NOT_ML = (
    "That is not something I can train a model for: I build models that sort, tag or score text. " + EXAMPLE
)

_INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b(?: (?:all|any|every|the|your|my|of|these"
    r"|those))* ?(?:previous|prior|above"
    r"|earlier|preceding|system|safety|existing|security)\b(?: \w+)? ?(?:instructions?|prompts?"
    r"|rules?|guidelines|directions"
    r"|checks?|policy|policies)\b"
    r"|\b(?:reveal|print|show|repeat|output)\b(?: me)? (?:your|the) (?:system |hidden |initial "
    r")?(?:prompts?|instructions)\b"
    r"|\byou are now (?:dan|root|admin|in developer mode|unrestricted)\b|\bdeveloper mode\b"
    r"|\bignorier\w* (?:alle|sämtliche) (?:\w+ )?(?:anweisungen|regeln)\b|\bignore[sz]? (?:toutes "
    r")?les instructions\b"
    r"|\bignora (?:todas )?las instrucciones\b"
)
_SECRETS = re.compile(
    r"\b(?:upload|send|post|print|show|dump|leak|exfiltrate|reveal|cat|read|steal|e?mail|copy|give"
    r"|list|echo)\b[^.;!?\n]{0,40}"
    r"(?:\bsecrets?\b|\bapi[ _-]?keys?\b|\b(?:access|api|auth|bot|hf|slack|discord|your)[ "
    r"_-]?tokens?\b|\bpasswords?\b"
    r"|\bcredentials?\b|\benv(?:ironment)? var\w*|(?<!\w)\.env\b|\bid_rsa\b|\bssh keys?\b"
    r"|/etc/(?:passwd|shadow)|\bprivate keys?\b)"
)
_SHELL = re.compile(
    r"\brm -[rf]{1,2}\b|\b(?:curl|wget) [^\n|;]{1,200}\| ?(?:ba|z)?sh\b|;\s*drop table\b|\breverse "
    r"shell\b|\bos\.system\b"
    r"|\bsubprocess\.\w+|\b__import__\b|\bsudo \w+|:\(\)\s?\{|\$\((?:\w+)|\bpowershell -|\bnc -[le]\b"
    r"|\bchmod \+?[0-7x]"
    r"|\bdelete (?:all|every|the) (?:\w+ )?(?:files?|databases?|runs?)\b|\broot access\b"
)
_QUOTED_BEFORE = re.compile(
    r"\b(?:detect|flag|classif|spot|recogni|filter|catch|block|identif|find|moderat)\w*\b[^.;!?\n]{0,100}"
    r"(?:\b(?:that|which|who)(?: \w+)?(?: to)?|\blike|\bsuch as|\bsay(?:s|ing)?|\btr(?:y|ies|ying) to"
    r"|\battempt\w*(?: to)?|\bcontain\w*"
    r"|\bask\w*(?: \w+)?(?: to)?)[\s:]*[\"']?\Z"
)
_MAKING = (
    r"\b(?:write|writes|create|creates|build|builds|make|makes|generate|generates|train|develop|code"
    r"|produce|produces|help me)\b[^.;!?\n]{0,60}?"
)
_MALICIOUS = re.compile(
    _MAKING + r"\b(?:malware|ransomware|computer virus(?:es)?|keyloggers?|trojans?|exploits?|botnets?"
    r"|phishing (?:e-?mails?|messages?|pages?|sites?|texts?)|spam (?:bot|e-?mails|messages)"
    r"|deepfakes?|fake reviews?|disinformation|propaganda"
    r"|bombs?|weapons?|hate speech|insults|scams?)\b"
)
_DEFENCE = re.compile(
    r"\b(?:detect|classif|filter|flag|recogni|spot|identif|tell|distinguish|block|catch|triag|sort"
    r"|moderat|separat|categori|predict|label|protect)\w*"
)
_DEFENCE_AFTER = re.compile(r"\A[ -](?:\w+ ){0,2}(?:detect|classif|filter|scanner|detection|moderat)\w*")
_SURVEILLANCE = re.compile(
    r"\b(?:face|facial) recognition\b|\brecogni[sz]e (?:\w+ ){0,3}(?:faces|people by)\b|\b(?:identify"
    r"|recogni[sz]e|track|unmask|spy on|stalk|monitor|locate|find)"
    r" (?:\w+ ){0,2}(?:protesters|individuals|dissidents|whistleblowers?|my (?:ex|wife|husband"
    r"|girlfriend|boyfriend|neighbou?rs?))\b"
    r"|\bde-?anonymi[sz]\w*|\b(?:spy on|stalk)\b|\bsocial (?:credit|scoring)\b"
)
_TRAIT = (
    r"(?:sexual orientation|sexuality|religion|ethnicity|race|political (?:views?|leanings?"
    r"|affiliation|opinions?)|immigration status"
    r"|pregnan\w+|union members\w*|criminal\w*|gay|lesbian|muslims?|jewish|undocumented|disabilit\w+"
    r"|mental illness)"
)
_PEOPLE = (
    r"(?:people|persons?|users?|authors?|employees?|workers?|applicants?|customers?|candidates?"
    r"|writers?|citizens?|voters?|students?|someone)(?:'s|s')?"
)
_PROFILING = re.compile(
    rf"\b(?:predict|guess|infer|determine|identify|find|flag|detect|tell|reveal)\w*\b[^.;!?\n]{{0,40}}"
    rf"(?:\b{_PEOPLE}\b[^.;!?\n]{{0,30}}\b{_TRAIT}\b|\b{_TRAIT}\b (?:of|for) [^.;!?\n]{{0,24}}\b{_PEOPLE}\b)"
)
_NOT_ML = re.compile(
    r"\b(?:write|compose|draft|tell|give|make|sing)\b(?: me| us)? (?:an?|some|the|my)? ?(?:\w+ "
    r"){0,3}(?:poems?|essays?|jokes?|stor(?:y|ies)|songs?|haikus?"
    r"|limericks?|speech|letter|cover letter|recipes?|lyrics|novel|blog post)\b"
    r"|\b(?:what'?s|what is|how is|how's|wie (?:ist|wird)|quel(?:le)?|qué|check) (?:\w+ ){0,2}(?:the "
    r"|das |le |el )?(?:weather|wetter|temps|tiempo|time|date)\b"
    r"|\bweather (?:today|tomorrow|in \w+|forecast)\b|\b(?:book|order|reserve|buy)\b(?: me| us)? "
    r"(?:an?|the|some|my) (?:\w+ )?(?:flights?|table|pizza|hotel|taxi"
    r"|tickets? to|room|lunch|dinner|coffee)\b|\b(?:remind me|set (?:a|an) (?:alarm|timer|reminder)"
    r"|schedule a meeting|play (?:some )?music"
    r"|do my homework|translate (?:this|the following|it) |what is \d|solve (?:this|the) equation)\b"
    r"|\b(?:schreib|dichte)\w*(?: mir)? ein(?:en)? (?:gedicht|aufsatz|witz)\b"
    r"|\bécris(?:-moi)? un (?:poème|essai)\b|\bescrib\w*(?: un)? (?:poema|ensayo)\b|\b(?:fix|debug"
    r"|refactor) (?:this|my|the) (?:\w+ )?(?:code|bug|css|script|website)\b"
    r"|\b(?:write|build|make) (?:me )?a (?:web ?site|web ?page|shopping list|to-?do app|game)\b"
)
_KNOWLEDGE = re.compile(
    r"\A(?![^?.\n]{0,40}\byou\b)\W{0,3}(?:what|who|when|where|why|how) (?:is|are|was|were|does|do|did"
    r"|can|could|should|much is|old is|many) "
)
LEARNING = re.compile(
    r"\b(?:train\w*|classif\w*|categori[sz]\w*|labell?(?:ed|ing|s)?|tag(?:s|ged|ging)?|predict\w*"
    r"|detect\w*|recogni[sz]\w*|sort(?:s|ed|ing)?|separat\w*"
    r"|distinguish\w*|flag\w*|filter\w*|rout(?:e|es|ing)|triag\w*|moderat\w*|scor(?:e|es|ing)"
    r"|estimat\w*|fine-?tun\w*|models?|machine learning|ml"
    r"|regression|learn(?:s|ing)?|rate|identif\w*|assign\w*|group\w*|split\w*|spot\w*|modell\w*"
    r"|trainier\w*|klassifizier\w*|sortier\w*|erkenn\w*|unterscheid\w*"
    r"|vorhersag\w*|entra[iî]n\w*|class(?:er|ez|e)|modèle|trie[rz]?|prédi\w*|détect\w*|entren\w*"
    r"|clasific\w*|modelo|detecta\w*|predec\w*|predic\w*|tell\w* (?:\w+ ){1,3}from)\b"
)
STRONG = re.compile(
    r"\b(?:classif(?:y|ies|ied|ying|ier)|categori[sz]\w*|label(?:s|led)?|tag(?:s|ged)?|predict\w*"
    r"|detect\w*|recogni[sz]\w*|sort(?:s|ed|ing)?|separat\w*"
    r"|distinguish\w*|flag\w*|filter\w*|rout(?:e|es|ing)|triag\w*|moderat\w*|scor(?:e|es|ing)"
    r"|estimat\w*|rate|identif\w*|assign\w*|spot(?:s|ting)?|regression"
    r"|find|decides?|whether|which (?:of|one|tickets|emails|messages|reviews|texts)|(?:know|says?"
    r"|tells?) (?:if|whether|which)"
    r"|klassifizier\w*|sortier\w*|erkenn\w*|unterscheid\w*|vorhersag\w*|class(?:er|ez|e)|trie[rz]?"
    r"|prédi\w*|détect\w*|clasific\w*|detecta\w*|predec\w*)\b"
)


@dataclass(frozen=True, slots=True)
class Beyond:
    """A kind of task without a recipe. ``about_text``: a text task beside it may still be done."""

    name: str
    pattern: re.Pattern[str]
    nearest: str
    about_text: bool = True


def _beyond(name: str, pattern: str, nearest: str, *, about_text: bool = True) -> Beyond:
    return Beyond(name, re.compile(pattern), nearest, about_text)


BEYOND = (
    _beyond(
        "images or video",
        r"\b(?:images?|photos?|pictures?|videos?|paintings?|logos?|object detection|segmentation"
        r"|diffusion|x-?rays?|mri|ocr|bilder[n]?|handwrit\w+)\b",
        "sorting their captions or descriptions",
        about_text=False,
    ),
    _beyond(
        "speech or sound",
        r"\b(?:audio|speech[- ](?:to[- ]text|recognition|synthesis)|text[- ]to[- ]speech"
        r"|transcribe\w*|voices?|speaker|music|podcasts?|sound)\b",
        "sorting the transcripts",
        about_text=False,
    ),
    _beyond(
        "tables of numbers",
        r"\b(?:time[- ]series|forecast\w*|stock (?:prices?|market)|house prices?|housing prices?"
        r"|tabular|sensor (?:data|readings)|sales figures|demand"
        r" prediction|bitcoin|crypto prices?|square met(?:er|re)s|square feet)\b",
        "predicting a number from a text column",
        about_text=False,
    ),
    _beyond(
        "training a language model",
        r"\bpre-?train\w*\b|\b(?:large language models?|llms?|gpt(?:-?\d\w*)?|language model)\b"
        r"|\b(?:llama|mistral|qwen|gemma|deepseek|falcon)[\w.-]*",
        "sorting text with a small encoder",
    ),
    _beyond(
        "writing text",
        r"\bchat ?bots?\b|\b(?:generat|writ|compos|draft|rewrit|paraphras)(?:e|es|ing|or|er)\b(?: "
        r"\w+){0,3} ?(?:text|texts|repl(?:y|ies)|answers?|descriptions?|emails?|articles?|posts?"
        r"|stories|poems?|code|responses?|titles?|headlines?|ads?)\b|\btext generation\b|\bauto-?complet\w*",
        "sorting incoming messages by intent",
    ),
    _beyond(
        "finding names or values inside a text",
        r"\bnamed[- ]entit\w*|\bner\b|\bextract\w*\b(?: \w+){0,3} (?:names?|dates?|entities"
        r"|addresses|amounts?|keywords?|information|prices?)\b|\binformation extraction\b",
        "tagging whole texts",
    ),
    _beyond(
        "summaries",
        r"\bsummari[sz]\w*|\bsummar(?:y|ies) of\b|\bzusammenfass\w*|\brésum(?:er|e)\b",
        "sorting texts by topic",
    ),
    _beyond(
        "translation",
        r"\btranslat(?:e|es|ing|ion|or)\b|\bübersetz\w*|\btradui\w*|\btraduc\w*",
        "recognising a text's language",
    ),
    _beyond(
        "answering questions",
        r"\bquestion[- ]answering\b|\banswers? (?:\w+ ){0,2}questions\b|\brag\b|\bknowledge base\b|\bq&a\b",
        "sorting questions by topic",
    ),
    _beyond(
        "grouping without labels",
        r"\bcluster\w*|\bunsupervised\b|\btopic model(?:l?ing)?\b|\blda\b",
        "sorting texts into topics that you name",
    ),
    _beyond(
        "recommendations",
        r"\brecommend(?:er|ation|ations)? (?:system|engine|products?|movies?|items?)s?\b|\brecommender\b",
        "predicting a rating from a review",
    ),
    _beyond(
        "search or ranking",
        r"\brank(?:s|ing|ed)?\b|\bsemantic search\b|\bsearch engine\b|\bembedding model\b|\bre-?rank\w*",
        "sorting texts by topic",
    ),
    _beyond(
        "games or robots",
        r"\breinforcement learning\b|\bplays? (?:chess|go|atari|games)\b|\brobots?\b|\bself-driving\b",
        "sorting texts",
        about_text=False,
    ),
)
_ABOUT_SPEECH = re.compile(
    r"\b(?:hate speech|voice of the customer|music reviews?|podcast reviews?|(?:image|photo|picture"
    r"|video) (?:captions?|descriptions?|titles?|comments?|reviews?)|video game)\w*"
)


def refuse(text: Text, topics: list[Topic], *, sorts: bool, has_data: bool) -> str | None:
    """A sentence where the request ends here. ``sorts``: it names classes or a kind of text prediction."""
    if _hostile(text):
        return HOSTILE
    if _harmful(text):
        return HARMFUL
    learns = bool(text.search(LEARNING))
    if text.search(_NOT_ML) and not _really_learns(text):
        return NOT_ML
    beyond = out_of_reach(text)
    for kind in beyond:
        speaks_of_text = any(w in TEXT_NOUNS for w in re.findall(r"\w+", text.low)) or has_data
        if not (kind.about_text or speaks_of_text) or not (sorts or topics or _sorts_text(text)):
            return (
                f"There is no recipe for {kind.name} yet: I train models that give a text a class, "
                f"several tags or a number. "
                f"What comes closest is {kind.nearest}."
            )
    if not learns and not topics and text.search(_KNOWLEDGE):
        return NOT_ML
    if text.search(_KNOWLEDGE) and not learns and not sorts:
        return NOT_ML
    return None


def out_of_reach(text: Text) -> list[Beyond]:
    """Kinds of tasks without a recipe that the request asks for."""
    spared = [(m.start(), m.end()) for m in text.all(_ABOUT_SPEECH)]
    return [
        kind
        for kind in BEYOND
        if any(not any(a <= m.start() < b for a, b in spared) for m in text.all(kind.pattern))
    ]


def _sorts_text(text: Text) -> bool:
    return bool(re.search(r"\b(?:classif|categori|sort|triag|moderat|detect)\w*", text.low))


def _really_learns(text: Text) -> bool:
    return bool(
        re.search(
            r"\b(?:train\w*|classif\w*|predict\w*|detect\w*|categori\w*|fine-?tun\w*|sort(?:s|ing)?"
            r"|model\w*)\b",
            text.low,
        )
    )


def _hostile(text: Text) -> bool:
    for pattern in (_INJECTION, _SECRETS, _SHELL):
        for match in text.all(pattern):
            if not _QUOTED_BEFORE.search(text.before(match.start(), 160)):
                return True
    return False


def _harmful(text: Text) -> bool:
    for match in text.all(_MALICIOUS):
        if not (
            _DEFENCE.search(match[0])
            or _DEFENCE.search(text.before(match.start(), 120))
            or _DEFENCE_AFTER.match(text.after(match.end()))
        ):
            return True
    return bool(text.search(_SURVEILLANCE) or text.search(_PROFILING))
