"""Names that papers on text models use: data sets, architectures, optimisers, losses, tasks, metrics. Patterns are
matched on one-line text (``remote.quotes.normal``), whatever their case, but for those that are words or names of
people too."""

from __future__ import annotations

import re
from collections.abc import Mapping

Patterns = Mapping[str, re.Pattern[str]]


def _compiled(names: Mapping[str, str], flags: int = re.IGNORECASE) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"(?<![\w-])(?:{pattern})(?![\w])", flags) for name, pattern in names.items()}


DATA_SETS = _compiled(
    {
        "BANKING77": r"banking[ -]?77",
        "CLINC150": r"clinc[ -]?(?:150|oos)?",
        "HWU64": r"hwu[ -]?64",
        "SNIPS": r"(?-i:SNIPS|Snips)",
        "ATIS": r"(?-i:ATIS)",
        "MASSIVE": r"(?-i:MASSIVE)",
        "SST-2": r"sst-?2",
        "SST-5": r"sst-?5",
        "IMDb": r"imdb",
        "Rotten Tomatoes": r"rotten tomatoes",
        "Yelp": r"yelp(?:-?[25]|[ -]polarity|[ -]full)?",
        "Amazon Polarity": r"amazon[ -]polarity",
        "AG News": r"ag[ '’]*s?[ -]?news",
        "DBpedia": r"dbpedia(?:-?14)?",
        "20 Newsgroups": r"(?:20|twenty)[ -]?news ?groups",
        "Reuters-21578": r"reuters(?:-?21578)?",
        "R8": r"(?-i:R8)",
        "R52": r"(?-i:R52)",
        "TREC": r"(?-i:TREC)(?:-?(?:6|50))?",
        "GoEmotions": r"go ?emotions",
        "TweetEval": r"tweet ?eval",
        "SMS Spam": r"sms spam(?: collection)?",
        "CoLA": r"(?-i:CoLA|COLA)",
        "MRPC": r"mrpc",
        "QQP": r"qqp",
        "MNLI": r"(?:multinli|mnli)",
        "QNLI": r"qnli",
        "RTE": r"(?-i:RTE)",
        "STS-B": r"sts-?b(?:enchmark)?",
        "GLUE": r"(?-i:GLUE)",
        "MTEB": r"mteb",
        "CoNLL-2003": r"conll[ -]?(?:20)?03",
        "SQuAD": r"squad(?: v?[12]\.[01])?",
    }
)
ARCHITECTURES = _compiled(
    {
        "DistilBERT": r"distil-?bert",
        "DistilRoBERTa": r"distil-?roberta",
        "XLM-RoBERTa": r"xlm-?r(?:oberta)?(?:[- ](?:base|large))?",
        "RoBERTa": r"roberta(?:[- ](?:base|large))?",
        "DeBERTa": r"deberta(?:-?v[23])?(?:[- ](?:small|base|large))?",
        "ALBERT": r"(?-i:ALBERT)",
        "ELECTRA": r"electra(?:[- ](?:small|base|large))?",
        "ModernBERT": r"modern-?bert(?:[- ](?:base|large))?",
        "TinyBERT": r"tiny-?bert",
        "MobileBERT": r"mobile-?bert",
        "BERT": r"m?bert(?:[- ](?:tiny|mini|small|base|large))?(?:[- ](?:un)?cased)?",
        "MiniLM": r"mini-?lm[\w-]*",
        "MPNet": r"(?:all-)?mpnet[\w-]*",
        "SBERT": r"sbert|sentence-?bert",
        "SetFit": r"setfit",
        "USE": r"universal sentence encoder",
        "ConveRT": r"(?-i:ConveRT)",
        "XLNet": r"xlnet",
        "T5": r"(?:flan-)?t5(?:[- ](?:small|base|large|xl|xxl))?",
        "GPT": r"gpt(?:-?[234](?:\.5|o)?)?",
        "LLaMA": r"llama(?:[- ]?[23])?",
        "BiLSTM": r"bi-?(?:directional )?lstm",
        "LSTM": r"lstm",
        "GRU": r"(?-i:GRU)",
        "CNN": r"cnn|convolutional neural networks?",
        "fastText": r"fast-?text",
        "TF-IDF": r"tf-?idf",
        "SVM": r"svm|support vector machines?",
        "logistic regression": r"logistic regression",
    }
)
OPTIMISERS = _compiled(
    {
        "AdamW": r"adam-?w",
        "Adam": r"adam(?! ?w\b)",
        "Adafactor": r"adafactor",
        "Adagrad": r"adagrad",
        "Adadelta": r"adadelta",
        "RMSprop": r"rms-?prop",
        "LAMB": r"(?-i:LAMB)",
        "Lion": r"lion optimi[sz]er",
        "SGD": r"sgd|stochastic gradient descent",
    }
)
LOSSES = _compiled(
    {
        "binary cross-entropy": r"binary cross[- ]entropy",
        "cross-entropy": r"(?<!binary )cross[- ]entropy|negative log[- ]likelihood",
        "focal loss": r"focal loss",
        "contrastive loss": r"(?:supervised )?contrastive (?:loss|learning objective)|infonce|nt-xent",
        "triplet loss": r"triplet loss",
        "hinge loss": r"hinge loss",
        "mean squared error": r"mean squared error|mse loss|squared error loss",
        "KL divergence": r"kl[- ]divergence|kullback[- ]leibler",
    }
)
TASKS = _compiled(
    {
        "intent classification": r"intent (?:classification|detection|recognition)",
        "sentiment analysis": r"sentiment (?:analysis|classification|detection)",
        "emotion classification": r"emotion (?:classification|detection|recognition)",
        "topic classification": r"topic (?:classification|categori[sz]ation)",
        "spam detection": r"spam (?:detection|filtering|classification)",
        "toxicity detection": r"(?:toxicity|hate[- ]speech|offensive language) (?:detection|classification)",
        "news classification": r"news (?:classification|categori[sz]ation)",
        "document classification": r"document (?:classification|categori[sz]ation)",
        "text classification": r"text (?:classification|categori[sz]ation)",
        "natural language inference": r"natural language inference|textual entailment",
        "semantic textual similarity": r"semantic textual similarity",
        "named entity recognition": r"named entity recognition",
        "question answering": r"question answering",
        "summarisation": r"summari[sz]ation",
        "machine translation": r"machine translation",
        "regression of ratings": r"(?:rating|score) (?:prediction|regression)",
    }
)
# The order decides: "macro-averaged F1" before "F1".
METRICS = _compiled(
    {
        "macro_f1": r"macro[- ]?(?:averaged?[- ])?f(?:1|-?score|-?measure)(?:[- ]score)?|f1[- ]?\(?macro\)?|ma-?f1",
        "micro_f1": r"micro[- ]?(?:averaged?[- ])?f(?:1|-?score|-?measure)(?:[- ]score)?|f1[- ]?\(?micro\)?|mi-?f1",
        "weighted_f1": r"weighted[- ]?(?:averaged?[- ])?f(?:1|-?score)(?:[- ]score)?|f1[- ]?\(?weighted\)?",
        "balanced_accuracy": r"balanced accuracy",
        "accuracy": r"accuracy|accuracies|acc\.?",
        "f1": r"f1(?:[- ]?(?:score|measure))?|f-?score|f-?measure",
        "mcc": r"mcc|matthews correlation(?: coefficient)?",
        "auc": r"(?:roc-?)?auc|auroc",
        "precision": r"precision",
        "recall": r"recall",
        "rmse": r"rmse",
        "mae": r"mae|mean absolute error",
        "r2": r"r2|r\^2",
        "spearman": r"spearman(?:'s)?(?: correlation)?",
    }
)
UNBOUNDED = frozenset(("rmse", "mae"))  # all others are shares, often written in percent


def first(patterns: Patterns, text: str) -> str | None:
    """The first name of ``patterns`` that ``text`` holds."""
    return next((name for name, pattern in patterns.items() if pattern.search(text)), None)
