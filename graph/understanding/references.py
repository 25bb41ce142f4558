"""What the request points at: data, columns, a base model, a place to publish to.

Files and Hub ids are found word by word, so a path of any length costs one look. What an ``owner/name`` is
follows from the words before it ("publish to", "fine-tune", "data set").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.research.papers.reference import is_bare_number, reference
from graph.understanding.text import Found, Text, plain_line
from graph.understanding.vocabulary import LABEL_WORDS, words

MAX_WORD = 300
_FILE = re.compile(r"\.(?:csv|tsv|jsonl|ndjson|json|parquet|xlsx?|txt)(?:\.gz)?\Z", re.IGNORECASE)
_QUOTED_FILE = re.compile(
    r"\"([^\"\n]{1,200}\.(?:csv|tsv|jsonl|ndjson|json|parquet|xlsx?|txt)(?:\.gz)?)\"", re.IGNORECASE
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}\Z")
_HUB_DATA_URL = re.compile(r"https?://[^/\s]{1,100}/datasets/([\w.-]{1,96}(?:/[\w.-]{1,96})?)")
_HUB_MODEL_URL = re.compile(r"https?://huggingface\.co/(?!datasets/|spaces/)([\w.-]{1,96}/[\w.-]{1,96})")
_NOT_IDS = words(
    "and/or or/and he/she she/he his/her n/a w/o i/o 24/7 yes/no true/false km/h ci/cd a/b q/a tcp/ip "
    "input/output"
    " pass/fail either/or ham/spam text/label train/test"
)
_DATA_CUE = re.compile(
    r"\b(?:on|from|using|use|with|data ?sets?|data|corpus|hub|daten|datensatz|auf|avec|sur|con|sobre"
    r"|in)\W*(?:the |den |le |el )?\Z"
)
_DATA_CUE_AFTER = re.compile(r"\A\W{0,3}(?:data ?set|corpus|data|datensatz|from the hub|on the hub)\b")
_PUBLISH_CUE = re.compile(
    r"\b(?:publish|push|upload|release|share|deploy|veröffentlich|publi|comparte"
    r"|sube)\w*\b[^.;!?\n]{0,50}\b(?:to|as|under|at|on|unter|sur|en|sous|als)\b"
    r"[^.;!?\n]{0,30}\Z"
)
_SAVE_CUE = re.compile(
    r"\b(?:save|store|write|export|put|copy|publish|deliver)\w*\b[^.;!?\n]{0,40}\b(?:to|in|into|at"
    r"|under)\b(?: (?:the|a))?(?: (?:folder|directory|dir))? ?\Z"
)
_MODEL_CUE = re.compile(
    r"\b(?:fine-?tun\w+|base model|start(?:ing)? from|based on|checkpoint|backbone|encoder"
    r"|model)\W*(?:the |with |is |on |called )?\Z"
)
_PAPER_CUE = re.compile(r"\b(?:arxiv|papers?|preprint)\b[^;!?\n]{0,30}\Z")
_DATASETS = (
    ("PolyAI/banking77", r"banking[- ]?77"),
    ("stanfordnlp/imdb", r"imdb"),
    ("stanfordnlp/sst2", r"sst-?2"),
    ("fancyzhx/ag_news", r"ag[- _]?news"),
    ("google-research-datasets/go_emotions", r"go[- _]?emotions"),
    ("dair-ai/emotion", r"dair[- ]?emotions?"),
    ("cornell-movie-review-data/rotten_tomatoes", r"rotten[- _]tomatoes"),
    ("Yelp/yelp_review_full", r"yelp(?:[- _]reviews?(?:[- _]full)?)?"),
    ("SetFit/20_newsgroups", r"(?:20|twenty)[- _]?newsgroups"),
    ("clinc/clinc_oos", r"clinc(?:[- _]?(?:150|oos))?"),
    ("ucirvine/sms_spam", r"sms[- _]spam(?: collection)?"),
    ("cardiffnlp/tweet_eval", r"tweet[- _]?eval"),
    ("CogComp/trec", r"trec"),
    ("fancyzhx/dbpedia_14", r"dbpedia(?:[- _]?14)?"),
    ("fancyzhx/amazon_polarity", r"amazon[- _]polarity"),
)
_DATASET = re.compile(
    r"(?<![\w/.-])(?:" + "|".join(f"(?P<d{i}>{p})" for i, (_, p) in enumerate(_DATASETS)) + r")(?![\w/-])"
)
_UNAMBIGUOUS = re.compile(
    r"banking[- ]?77|sst-?2|ag[- _]?news|go[- _]emotions|goemotions|clinc[- _]?\w+|tweet[- _]?eval"
    r"|dbpedia.*|(?:20|twenty).*|amazon[- _]polarity"
)
_POINTS_AT = re.compile(r"\b(?:on|using) (?:the )?\Z")
_NAMED_DATA = re.compile(
    r"\b(?:on|with|using|use|from) (?:the )?(?P<name>[\w-]{2,80}) (?:data ?set|corpus)\b"
)
_MODELS = (
    ("distilbert/distilbert-base-uncased", r"distil-?bert"),
    ("distilbert/distilroberta-base", r"distil-?roberta"),
    ("FacebookAI/xlm-roberta-base", r"xlm-?r(?:oberta)?"),
    ("answerdotai/ModernBERT-base", r"modern-?bert"),
    ("microsoft/deberta-v3-small", r"deberta(?:-?v3)?"),
    ("FacebookAI/roberta-base", r"roberta"),
    ("google-bert/bert-base-uncased", r"bert"),
    ("google/electra-small-discriminator", r"electra"),
    ("sentence-transformers/all-MiniLM-L6-v2", r"(?:all-)?mini-?lm"),
    ("sentence-transformers/all-mpnet-base-v2", r"mpnet"),
)
_NICKNAME = re.compile(
    r"(?<![\w/.-])(?:" + "|".join(f"(?P<m{i}>{p})" for i, (_, p) in enumerate(_MODELS)) + r")(?![\w/.-]*[\w])"
)
_FULL_MODEL = re.compile(
    r"(?:[\w-]{1,40}/)?[\w.]{0,20}-?(?:bert|roberta|deberta|electra|minilm|mpnet|e5|bge"
    r"|gte)(?:[.-][\w.-]{1,60})?",
    re.IGNORECASE,
)
_COLUMN = re.compile(
    r"\b(?P<role>text|target|label|input|class|message|answer)?(?:[ -](?:column|field)|(?:^"
    r"|(?<=\s))(?:column|field|spalte|colonne|columna))"
    r"(?: (?:is|called|named|heißt|=))?[ :=]{1,3}(?:the )?[\"']?(?P<name>\w[\w.-]{0,60})"
    r"|\b(?P<role2>text|label|target)s? (?:is |are )?(?:in|from) (?:the )?(?:column |field "
    r")?[\"'](?P<name2>\w[\w. -]{0,60})[\"']"
    r"|[\"'](?P<name3>\w[\w. -]{0,60})[\"'] (?:column|field|spalte)\b|\b(?:the|my) (?!text|label"
    r"|target|input|previous|last|first|next|other|same|right|left)(?P<name4>\w[\w.-]{0,60}) column\b"
    r"|\b(?P<role6>ziel|text)spalte(?: (?:ist|heißt))?[ :=]{1,3}[\"']?(?P<name6>\w[\w.-]{0,60})"
    r"|(?<!\w)(?P<role5>target|text|label) ?[=:] ?[\"']?(?P<name5>\w[\w.-]{0,60})"
)
_TEXT_CUE = re.compile(
    r"\b(?:text|texts|input|message|messages|read|reads|from|content|texte|texto)\b[^.;\n]{0,20}\Z"
)
_TARGET_CUE = re.compile(
    r"\b(?:predict|target|label|labels|learn|class|answer|vorhersag\w*|sagt?|prédi\w*|predec\w*"
    r"|predic\w*)\b[^.;\n]{0,25}\Z"
)
_NOT_COLUMNS = words("is as the a an of for in and that which with text target label each this from to")
_FILLER_WORDS = frozenset({"is", "the", "a", "an", "in", "column"})
_NO_PUBLISH = re.compile(
    r"\b(?:do not|don'?t|never|without|no) (?:\w+ )?(?:publish\w*|upload\w*|push\w*|releas\w*)\b(?: "
    r"(?:it|anything|the model))?"
    r"(?! (?:it )?(?:publicly|without))"
)
_PUBLIC = re.compile(
    r"\bpublicly\b|\bmake (?:it|the model|this|everything) public\b|\bpublic (?:model|repo"
    r"|repository)\b|\bas public\b"
    r"|\bopen[- ]sourc\w+|\böffentlich\b|\bpubliquement\b|\bpúblicamente\b"
)
_PRIVATE = re.compile(
    r"\b(?:keep|make|leave|stay\w*|remain\w*)\b(?: \w+){0,3} private\b|\bprivately\b|\bprivate "
    r"(?:model|repo|repository)\b"
    r"|\bas private\b|\bnot (?:be )?public\b|\bdon'?t make (?:it|the model) public\b|\bnever public\b"
)


@dataclass(frozen=True, slots=True)
class References:
    data: tuple[Found[str], ...] = ()  # more than one is a question
    web_address: str = ""  # data behind an address that is no data set of the Hub
    base_model: Found[str] | None = None
    publish_to: Found[str] | None = None
    no_publish: str = ""
    public: str = ""
    private: str = ""
    target: Found[str] | None = None
    text_column: Found[str] | None = None
    paper: Found[str] | None = None


def read_references(text: Text) -> References:
    data: list[Found[str]] = [Found(m[1].strip(), m[1]) for m in _QUOTED_FILE.finditer(text.raw)]
    raw = _QUOTED_FILE.sub(" ", text.raw)
    address, model, publish, paper = "", None, None, None
    for match in re.finditer(r"\S+", raw):
        word = match[0].strip("\"'()[]{}<>,;:!?").rstrip(".")
        if not 2 < len(word) <= MAX_WORD or not ("/" in word or "." in word or "-" in word or "\\" in word):
            continue
        before = raw[max(0, match.start() - 80) : match.start()].lower()
        before = re.split(r"[;!?\n]|\.\s", before)[-1]
        if _is_paper(word, before):
            paper = paper or Found(word, plain_line(word))
            continue
        kind, value = _kind(word, before, raw[match.end() : match.end() + 24].lower())
        found = Found(value, plain_line(word))
        if kind == "data":
            data.append(found)
        elif kind == "url":
            address = address or plain_line(word)
        elif kind == "model":
            model = model or found
        elif kind == "publish":
            publish = publish or found
    data += _named_data(text) if not data else []
    text_column, target = _columns(text)
    no_publish, public, private = (text.search(p) for p in (_NO_PUBLISH, _PUBLIC, _PRIVATE))
    return References(
        data=tuple({found.value: found for found in reversed(data)}.values())[::-1],
        web_address=address,
        base_model=model or _nickname(text),
        publish_to=publish,
        no_publish=text.quote(no_publish) if no_publish else "",
        public=text.quote(public) if public and not (private and _overlap(public, private)) else "",
        private=text.quote(private) if private else "",
        target=target,
        text_column=text_column,
        paper=paper,
    )


def _is_paper(word: str, before: str) -> bool:
    if reference(word) is None or _SAVE_CUE.search(before):
        return False
    return not is_bare_number(word) or _PAPER_CUE.search(before) is not None


def _kind(word: str, before: str, after: str) -> tuple[str, str]:
    """What a word that looks like a path, address or id stands for: data, url, model, publish or nothing."""
    if re.match(r"https?://", word):
        dataset, model = _HUB_DATA_URL.match(word), _HUB_MODEL_URL.match(word)
        if dataset:
            return "data", dataset[1]
        if model:
            return ("publish", f"hub:{model[1]}") if _PUBLISH_CUE.search(before) else ("model", model[1])
        return ("url", word) if _FILE.search(word) or _DATA_CUE.search(before) else ("", "")
    if _FILE.search(word):
        return ("", "") if _SAVE_CUE.search(before) else ("data", word)
    if _SAVE_CUE.search(before) and re.match(r"(?:~|\.{1,2})?/", word):
        return "publish", f"folder:{word}"
    if (
        _HUB_ID.match(word)
        and word.lower() not in _NOT_IDS
        and not set(word.lower().split("/")) <= LABEL_WORDS
    ):
        if _PUBLISH_CUE.search(before):
            return "publish", f"hub:{word}"
        if _FULL_MODEL.fullmatch(word) or _MODEL_CUE.search(before):
            return "model", word
        if _DATA_CUE.search(before) or _DATA_CUE_AFTER.match(after):
            return "data", word
    if re.search(r"\w-\w", word) and "/" not in word and _FULL_MODEL.fullmatch(word):
        return "model", word
    return "", ""


def _named_data(text: Text) -> list[Found[str]]:
    """Well-known data sets by name, and names that look like one ("the foo77 data set")."""
    for match in text.all(_DATASET):
        pointed_at = _POINTS_AT.search(text.before(match.start())) and " " not in match[0]
        if pointed_at or _UNAMBIGUOUS.fullmatch(match[0]) or _DATA_CUE_AFTER.match(text.after(match.end())):
            hub_id = _DATASETS[int((match.lastgroup or "d0")[1:])][0]
            return [Found(hub_id, text.quote(match), "the Hub's id of that data set")]
    named = text.search(_NAMED_DATA)
    if named and re.search(r"[\d_]|\w-\w", named["name"]):
        return [Found(text.raw_between(*named.span("name")), text.quote(named))]
    return []


def _nickname(text: Text) -> Found[str] | None:
    match = text.search(_NICKNAME)
    if not match:
        return None
    return Found(
        _MODELS[int((match.lastgroup or "m0")[1:])][0], text.quote(match), "its usual checkpoint on the Hub"
    )


def _columns(text: Text) -> tuple[Found[str] | None, Found[str] | None]:
    """``(text column, target)``."""
    text_column: Found[str] | None = None
    target: Found[str] | None = None
    for match in text.all(_COLUMN):
        group = next(g for g in ("name", "name2", "name3", "name4", "name5", "name6") if match[g])
        if match[group] in (_NOT_COLUMNS if group != "name5" else _FILLER_WORDS):
            continue
        found = Found(text.raw_between(*match.span(group)).strip().rstrip("."), text.quote(match))
        role = match["role"] or match["role2"] or match["role5"] or match["role6"]
        before = text.before(match.start())
        reads = role in ("text", "input", "message") or (
            not role and not _TARGET_CUE.search(before) and _TEXT_CUE.search(before)
        )
        if reads:
            text_column = text_column or found
        else:
            target = target or found
    return text_column, target


def _overlap(one: re.Match[str], other: re.Match[str]) -> bool:
    return one.start() < other.end() and other.start() < one.end()


def publish_place(place: str) -> str:
    """``acme/name`` as ``hub:acme/name``, a path as ``folder:path``; what already says which stays."""
    if place.startswith(("hub:", "folder:")):
        return place
    return f"hub:{place}" if _HUB_ID.match(place) else f"folder:{place}"


def same_data(one: str, other: str) -> bool:
    """Whether two mentions may mean one data set: the same file or name, or one's name within the other's
    path."""
    names = [re.sub(r"[^a-z0-9]", "", re.split(r"[/\\]", x.lower())[-1].split(".")[0]) for x in (one, other)]
    squeezed = [re.sub(r"[^a-z0-9]", "", x.lower()) for x in (one, other)]
    return bool(names[0] and names[1]) and (names[0] in squeezed[1] or names[1] in squeezed[0])
