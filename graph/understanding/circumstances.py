"""What surrounds the task: model size, hardware, the text's language, private data, what to hand over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.understanding.numbers import NUMBER, number
from graph.understanding.text import Found, Text
from graph.understanding.vocabulary import words

SMALL_MB = 100.0  # what "small" is taken as: a MiniLM in fp32 has 91 MB

_SIZE = re.compile(rf"(?<![\w.,])(?P<n>{NUMBER}) ?(?P<unit>kb|mb|mib|gb|gib|megabytes?|gigabytes?)\b")
_SIZE_CUE = re.compile(
    r"(?:\b(?:under|below|less than|smaller than|max|maximum|at most|up to|no more than|not more than"
    r"|within|limit|only"
    r"|fits? in(?:to)?|exceed|unter|höchstens|maximal|moins de|menos de)|[<≤])(?: (?:of|is|than|to|a"
    r"|about))*\s*\Z"
)
_NOT_MODEL_SIZE = re.compile(r"\A ?(?:of )?(?:ram|memory|vram|csv|file|data|text|download|disk)\b")
_PARAMETERS = re.compile(rf"(?<![\w.,])(?P<n>{NUMBER}) ?(?:m|mio|million) (?:parameters?|params?|weights)\b")
_SMALL = re.compile(
    r"\b(?:small|tiny|light-?weight|little|compact|klein(?:e[sn]?)?|petit|pequeño|leicht\w*)\b(?: "
    r"\w+){0,2}? (?:model|classifier"
    r"|network|modell|modèle|modelo)\b|\b(?:modèle léger|modelo (?:pequeño|ligero)|petit modèle)\b"
    r"|\bmake it (?:small|tiny)\b"
    r"|\bas small as possible\b|\b(?:model|it) (?:must|should|has to) be (?:small|tiny)\b"
)
_EDGE = re.compile(
    r"\b(?:raspberry ?pi|phones?|smartphones?|mobile|android|iphone|ios|edge devices?|microcontroller"
    r"|in the browser"
    r"|embedded|old laptop|laptop)\b"
)
_EDGE_CUE = re.compile(r"\b(?:run\w*|on|fits?|works?|deploy\w*|läuft|tourne\w*|funcion\w*)\b[^.;\n]{0,24}\Z")
_CPU = re.compile(
    r"\b(?:no|without(?: a| any)?|don'?t (?:use|have)(?: a| any)?) gpus?\b|\bcpu[- ]only\b|\b(?:on"
    r"|use|with) (?:a |the |my |only )*cpus?\b"
    r"|\bnur cpu\b|\bohne gpu\b|\bsans gpu\b|\bsin gpu\b"
)
_GPU = re.compile(
    r"\b(?:on|use|using|with|have|rent|need|auf|mit|sur|avec|con|en)(?: (?:a|an|the|my|our|all|one"
    r"|(?P<count>\d|two|three|four|eight|zwei|vier|acht|deux|quatre|huit|dos|cuatro|ocho)(?: ?[x×])?))? "
    r"?(?:nvidia )?(?P<name>gpus?|a100|h100|h200|b200|t4|l4|l40s?|a10g?|v100|rtx ?\d{4}|mps)s?\b"
)
_COUNTS = {
    **dict.fromkeys(("two", "zwei", "deux", "dos"), 2),
    **dict.fromkeys(("three",), 3),
    **dict.fromkeys(("four", "vier", "quatre", "cuatro"), 4),
    **dict.fromkeys(("eight", "acht", "huit", "ocho"), 8),
}
_LANGUAGES = {
    "en": "english|englisch\\w*|anglais\\w*|inglés",
    "de": "german|deutsch\\w*|allemand\\w*|alemán",
    "fr": "french|französisch\\w*|français\\w*|francés",
    "es": "spanish|spanisch\\w*|espagnol\\w*|español",
    "it": "italian|italienisch\\w*|italien(?:ne)?s?|italiano",
    "pt": "portuguese|portugiesisch\\w*|portugais\\w*|portugués",
    "nl": "dutch|niederländisch\\w*",
    "pl": "polish|polnisch\\w*",
    "ru": "russian|russisch\\w*",
    "uk": "ukrainian",
    "tr": "turkish|türkisch\\w*",
    "ar": "arabic|arabisch\\w*",
    "zh": "chinese|mandarin",
    "ja": "japanese|japanisch\\w*",
    "ko": "korean",
    "hi": "hindi",
    "sv": "swedish",
    "da": "danish",
    "fi": "finnish",
    "cs": "czech",
}
_LANGUAGE = re.compile("|".join(rf"(?P<{code}>\b(?:{p})\b)" for code, p in _LANGUAGES.items()))
_PRIVATE = re.compile(
    r"\b(?:must|may|should|can|does|do|darf|dürfen)(?: ?not|n't| never| nicht)?(?: \w+){0,2}? "
    r"(?:leave|verlassen)\b[^.;!?\n]{0,40}"
    r"|\bnothing (?:\w+ )?leaves?\b[^.;!?\n]{0,40}|\b(?:never|not) (?:leaves?"
    r"|leaving)\b[^.;!?\n]{0,40}|\b(?:data|it|everything) (?:has to|must) stay\w*\b[^.;!?\n]{0,40}"
    r"|\b(?:confidential|on-prem(?:ises)?|gdpr|dsgvo|hipaa|no cloud|not in the cloud|sensitive data"
    r"|private data|vertraulich\w*"
    r"|confidentiel\w*|confidencial\w*)\b|\b(?:do not|don'?t|never) (?:upload|send|share) (?:the "
    r"|our |my |any )*data\b"
)
_STAYS = re.compile(
    r"n't|not|nothing|never|nicht|stay|confid|prem|gdpr|dsgvo|hipaa|cloud|sensitive|private|vertraulich"
)
_NO_SPACE = re.compile(
    r"\b(?:no|without(?: a| the)?|skip the|don'?t (?:need|want|build|make)(?: a| the)?) (?:demo|space"
    r"|gradio)\b"
)
_ONLY_MODEL = re.compile(r"\b(?:only|just) (?:need |want |give me |send me )?the (?:model|weights)\b")
_NOT_MADE = re.compile(
    r"\b(?:onnx|rest api|api endpoint|docker(?: image)?|tflite|core ?ml|gguf|notebook|dashboard|web ?site)\b"
)
_APPROVE = re.compile(
    r"\b(?:approve (?:everything|all|it) (?:yourself|automatically)|without (?:any )?(?:approval"
    r"|asking me|confirmation)"
    r"|don'?t ask (?:me )?(?:anything|questions|for approval)|skip (?:the |all )?approvals?|auto-?approve)\b"
)
_WORDS_OF = {
    "de": words("""
        der die das und ein eine einen ich nicht mit für auf aus bitte unsere unseren nach von trainiere
        klassifiziere sortiere mir kein ob oder erkenne soll zwischen in ist
    """),
    "fr": words("""
        le la les des une et je pas avec pour nos mes selon entraîne entraine en sans du classe un ou qui par
        dans modèle entre reconnaître
    """),
    "es": words("""
        el la los las una y no con para mis nuestros nuestras por entrena en sin del que clasifica un modelo
        según o entre entrenar
    """),
    "en": words("the a an and i not with for on from please our by to of in is are my it that into or"),
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    max_model_mb: Found[float] | None = None
    hardware: Found[str] | None = None
    runs_on: str = ""  # words such as "runs on a Raspberry Pi"
    languages: tuple[Found[str], ...] = ()
    written_in: str | None = None  # the request's own language where it is not English
    private_data: str = ""
    deliverables: tuple[str, ...] = ("model", "model_card", "report", "space")
    deliverables_quote: str = ""
    not_made: tuple[str, ...] = ()
    approve_itself: str = ""


def read_circumstances(text: Text) -> Circumstances:
    edge = next((m for m in text.all(_EDGE) if _EDGE_CUE.search(text.before(m.start()))), None)
    cpu, gpu = text.search(_CPU), text.search(_GPU)
    private = text.search(_PRIVATE)
    only = text.search(_ONLY_MODEL)
    less = only or text.search(_NO_SPACE)
    approve = text.search(_APPROVE)
    hardware: Found[str] | None = None
    if gpu and not (cpu and cpu.start() <= gpu.start() < cpu.end()):
        name = "gpu" if gpu["name"] in ("gpu", "gpus", "mps") else gpu["name"].upper()
        count = _COUNTS.get(gpu["count"] or "1") or int(gpu["count"] or 1)
        hardware = Found(f"{name}:{count}" if count > 1 else name, text.quote(gpu))
    elif cpu:
        hardware = Found("cpu", text.quote(cpu))
    kept = ("model", "model_card") if only else ("model", "model_card", "report")
    return Circumstances(
        max_model_mb=_size(text, edge),
        hardware=hardware,
        runs_on=text.quote(edge) if edge else "",
        languages=_languages(text),
        written_in=written_in(text),
        private_data=text.quote(private) if private and _STAYS.search(private[0]) else "",
        deliverables=kept if less else Circumstances().deliverables,
        deliverables_quote=text.quote(less) if less else "",
        not_made=tuple(dict.fromkeys(text.quote(m) for m in text.all(_NOT_MADE))),
        approve_itself=text.quote(approve) if approve else "",
    )


def _size(text: Text, edge: re.Match[str] | None) -> Found[float] | None:
    for match in text.all(_SIZE):
        value = number(match["n"])
        limit = _SIZE_CUE.search(text.before(match.start())) or re.match(
            r" (?:max|at most|or less)\b", text.after(match.end())
        )
        if value and limit and not _NOT_MODEL_SIZE.match(text.after(match.end())):
            factor = {"k": 0.001, "m": 1.0, "g": 1000.0}[match["unit"][0]]
            return Found(value * factor, text.quote(match))
    parameters = text.search(_PARAMETERS)
    if parameters and _SIZE_CUE.search(text.before(parameters.start())):
        return Found(
            4 * (number(parameters["n"]) or 0), text.quote(parameters), "four bytes a parameter (fp32)"
        )
    small = text.search(_SMALL)
    if small:
        return Found(SMALL_MB, text.quote(small), f"small taken as at most {SMALL_MB:.0f} MB")
    if edge:
        return Found(SMALL_MB, text.quote(edge), f"it has to run there, so at most {SMALL_MB:.0f} MB")
    return None


def _languages(text: Text) -> tuple[Found[str], ...]:
    found: dict[str, Found[str]] = {}
    for match in text.all(_LANGUAGE):
        if match[0] == "polish" and not text.raw_between(match.start(), match.end()).startswith("P"):
            continue  # the verb
        code = match.lastgroup or ""
        found.setdefault(code, Found(code, text.quote(match)))
    return tuple(found.values())


def written_in(text: Text) -> str | None:
    """The request's own language: de, fr or es; ``None`` for English, or with too little to tell."""
    spoken = re.findall(r"[^\W\d_]+", text.low)
    counts = {code: sum(word in known for word in spoken) for code, known in _WORDS_OF.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if best != "en" and counts[best] >= 2 and counts[best] > counts["en"] else None
