"""The audit over small data of each kind: what it finds, what it does about it, what it refuses."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.jobs import audit
from remote.jobs.audit_page import escape, plot, printable
from remote.jobs.language import guess_language, languages
from remote.jobs.privacy import personal_data
from remote.jobs.rows import Row, read_rows
from remote.jobs.splits import SPLITS
from remote.protocol import MAX_LINE_BYTES, Emitter, FailureKind, JobError, decode, sha256_file

BANKING = Path(__file__).parents[4] / "shared" / "data" / "banking77"

Run = Callable[..., Mapping[str, Any]]


def sentence(seed: int, words: int = 9) -> str:
    chance = random.Random(seed)
    return " ".join(
        "".join(chance.choices("abcdefghiklmnoprstu", k=chance.randint(3, 8))) for _ in range(words)
    )


def table(rows: int = 60, classes: int = 2, **columns: Any) -> pd.DataFrame:
    frame = {
        "text": [sentence(i) for i in range(rows)],
        "label": [f"class {i % classes}" for i in range(rows)],
    }
    return pd.DataFrame(frame | columns)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Audit frames (one a split) in a folder of their own; returns the result."""
    monkeypatch.chdir(tmp_path)

    def run(frames: pd.DataFrame | Mapping[str, pd.DataFrame], **config: Any) -> Mapping[str, Any]:
        frames = {"train": frames} if isinstance(frames, pd.DataFrame) else frames
        files = {}
        for split, frame in frames.items():
            files[split] = f"{split}.csv"
            frame.to_csv(files[split], index=False)
        base = {
            "text_column": "text",
            "target": "label",
            "title": "Test data",
            "source": "file",
            "licence": "MIT",
        }
        out = io.StringIO()
        result = audit.run({"files": files, **base, **config}, Emitter("audit", out))
        events = [event for line in out.getvalue().splitlines() if (event := decode(line))]
        announced = {e.fields["path"]: e.fields["sha256"] for e in events if "path" in e.fields}
        assert announced == {name: sha256_file(Path("out") / name) for name in announced}
        assert set(announced) >= {"train.jsonl", "validation.jsonl", "test.jsonl", "audit.json", "audit.md"}
        return result

    return run


def blocked(run: Run, frame: pd.DataFrame | Mapping[str, pd.DataFrame], **config: Any) -> str:
    """The sentence of a refusal, which must also stand in the audit's files."""
    with pytest.raises(JobError) as caught:
        run(frame, **config)
    assert caught.value.kind is FailureKind.DATA_ERROR
    written = json.loads(Path("out/audit.json").read_text(encoding="utf-8"))
    assert written["findings"][-1] == {
        "kind": written["findings"][-1]["kind"],
        "severity": "blocking",
        "detail": caught.value.detail,
        "done": "Stopped here; nothing was trained.",
        "examples": [],
    }
    assert "cannot be used" in Path("out/audit.md").read_text(encoding="utf-8")
    assert not Path("out/train.jsonl").exists()
    return caught.value.detail


def rows(split: str) -> list[Row]:
    return read_rows(Path("out") / f"{split}.jsonl")


def found(result: Mapping[str, Any], kind: str) -> dict[str, str]:
    (finding,) = [f for f in result["findings"] if f["kind"] == kind]
    return dict(finding)


def kinds(result: Mapping[str, Any]) -> set[str]:
    return {finding["kind"] for finding in result["findings"]}


def test_a_clean_table(run: Run) -> None:
    result = run(table(200, 3))
    assert (result["family"], result["labels"]) == ("multiclass", ["class 0", "class 1", "class 2"])
    assert result["rows"] == {"train": 140, "validation": 20, "test": 40}
    assert result["split_sha256"] == {split: sha256_file(Path("out") / f"{split}.jsonl") for split in SPLITS}
    assert kinds(result) == {"class_balance", "licence"}
    assert sorted(row.row_id for split in SPLITS for row in rows(split)) == list(range(200))
    assert Path("out/plots/class_balance.png").read_bytes().startswith(b"\x89PNG")
    assert "The data can be used" in Path("out/audit.md").read_text(encoding="utf-8")


def test_parts_of_a_split_count_as_one(run: Run) -> None:
    whole = run(table(90))
    for name, part in (("a.csv", slice(0, 40)), ("b.csv", slice(40, 90))):
        table(90)[part].to_csv(name, index=False)
    parts = run({}, files={"train": ["a.csv", "b.csv"]})
    assert parts["split_sha256"] == whole["split_sha256"]
    assert parts["findings"] == whole["findings"]


def test_a_share_that_was_read_is_said(run: Run) -> None:
    finding = found(run(table(), left_out={"train": "2 of 3 files, 67 % of the bytes"}), "partly_read")
    assert finding["severity"] == "warning"
    assert finding["detail"] == "Of the train split only a part was read: 2 of 3 files, 67 % of the bytes."
    assert finding["detail"] in Path("out/audit.md").read_text(encoding="utf-8")


def test_class_numbers_get_their_names(run: Run) -> None:
    frame = table(60)
    frame["label"] = [str(n % 2) for n in range(60)]
    result = run(frame, class_names={"label": ["bad", "good"], "elsewhere": ["x"]})
    assert result["labels"] == ["bad", "good"]


def test_the_seed_decides_everything(run: Run) -> None:
    first, again, other = run(table(), seed=1), run(table(), seed=1), run(table(), seed=2)
    assert first == again
    assert first["split_sha256"] != other["split_sha256"]


def test_dirty_text_is_cleaned_and_gaps_are_counted(run: Run) -> None:
    frame = table()
    frame.loc[0, "text"] = "  two\r\nlines\x07 "
    frame.loc[1, "text"] = "\x07 \x00"
    frame.loc[2, "label"] = "nan"
    result = run(frame)
    assert found(result, "missing")["done"] == "Left out 2 rows."
    texts = {row.row_id: row.text for split in SPLITS for row in rows(split)}
    assert texts[0] == "two\nlines"
    assert not {1, 2} & set(texts)


def test_duplicates_and_contradictions(run: Run) -> None:
    frame = table(100)
    extra = [("same text, clear majority", "class 0")] * 2 + [("same text, clear majority", "class 1")]
    extra += [("same text, no majority", "class 0"), ("same text, no majority", "class 1")]
    extra += [("just the same", "class 0")] * 3
    result = run(pd.concat([frame, pd.DataFrame(extra, columns=["text", "label"])]))
    kept = {row.text: row.label for split in SPLITS for row in rows(split)}
    assert kept["same text, clear majority"] == "class 0"
    assert "same text, no majority" not in kept
    assert sum(result["rows"].values()) == 102
    assert "2 texts" in found(result, "label_conflicts")["detail"]
    assert found(result, "duplicates")["detail"].startswith("2 rows")


def test_look_alikes_stay_in_one_split(run: Run) -> None:
    frame = table(120)
    frame["text"] = [f"{sentence(i // 2)}{'!' * (i % 2)}" for i in range(120)]
    frame["label"] = [f"class {i // 2 % 2}" for i in range(120)]
    result = run(frame)
    side = {row.row_id: split for split in SPLITS for row in rows(split)}
    assert all(side[i] == side[i + 1] for i in range(0, 120, 2))
    assert (
        found(result, "near_duplicates")["detail"]
        == "Texts that say nearly the same as another one: 60 of 120."
    )


def test_given_splits_are_kept_and_leaks_leave_train(run: Run) -> None:
    train, test = table(100), table(40, text=[sentence(1000 + i) for i in range(40)])
    test.loc[0, "text"] = sentence(5)
    test.loc[1, "text"] = sentence(6).upper() + " !"
    test.loc[2, "text"] = sentence(1003)  # the given test split may repeat itself
    test.loc[4, "label"] = "never seen"
    result = run({"train": train, "test": test})
    assert "2 rows" in found(result, "leakage")["detail"]
    assert "1 word for word" in found(result, "leakage")["detail"]
    assert result["rows"]["test"] == 39
    assert [row.row_id for row in rows("test")] == [i for i in range(100, 140) if i != 104]
    assert not {5, 6} & {row.row_id for split in ("train", "validation") for row in rows(split)}
    assert result["rows"]["validation"] == pytest.approx(98 / 8, abs=1)
    assert "never seen" in found(result, "unknown_classes")["detail"]
    assert result["labels"] == ["class 0", "class 1"]


def test_a_test_split_without_labels_is_put_aside(run: Run) -> None:
    hidden = table(40)[["text"]].map(lambda text: text + " hidden")
    result = run({"train": table(100), "test": hidden})
    assert "label" in found(result, "split_ignored")["detail"]
    assert sum(result["rows"].values()) == 100


def test_groups_stay_whole_without_being_asked(run: Run) -> None:
    result = run(table(200, review_id=[i // 4 for i in range(200)]))
    assert "review_id" in found(result, "groups")["detail"]
    sides: dict[str | None, set[str]] = {}
    for split in SPLITS:
        for row in rows(split):
            sides.setdefault(row.group, set()).add(split)
    assert len(sides) == 50
    assert all(len(found_in) == 1 for found_in in sides.values())


def test_other_columns_are_slices_or_said_to_be_useless(run: Run) -> None:
    frame = table(100, shop=["Köln", "Bonn"] * 50, copy=[f"c{i % 2}" for i in range(100)], empty=[""] * 100)
    frame["shop"] = random.Random(0).sample(list(frame["shop"]), 100)
    result = run(frame)
    assert "copy" in found(result, "target_copy")["detail"]
    assert "empty" in found(result, "constant_columns")["detail"]
    assert {key for row in rows("test") for key in row.slices} == {"shop"}
    assert {value for row in rows("test") for value in row.slices.values()} == {"Köln", "Bonn"}


def test_rare_and_small_classes(run: Run) -> None:
    frame = table(120, 3)
    frame.loc[:1, "label"] = "rare"
    frame.loc[2:5, "label"] = "small"
    result = run(frame)
    assert "rare" not in result["labels"]
    assert "2 rows" in found(result, "rare_classes")["done"]
    assert "small" in found(result, "small_classes")["detail"]
    assert {split for split in SPLITS for row in rows(split) if row.label == "small"} == set(SPLITS)


def test_labels_are_names_in_a_natural_order(run: Run) -> None:
    assert run(table(120, label=[(0, 1, 2, 10)[i % 4] for i in range(120)]))["labels"] == [
        "0",
        "1",
        "2",
        "10",
    ]
    gaps = [float("nan") if i < 5 else float(i % 2) for i in range(120)]
    result = run(table(120, label=gaps))
    assert (result["labels"], result["family"]) == (["0", "1"], "binary")


def test_spellings_of_a_class_are_one(run: Run) -> None:
    frame = table(100)
    frame.loc[0, "label"] = "CLASS 0 "
    result = run(frame)
    assert result["labels"] == ["class 0", "class 1"]
    assert "CLASS 0 → class 0" in found(result, "label_spelling")["detail"]


def test_regression(run: Run) -> None:
    prices = [f"{i},{i % 10}5" for i in range(200)]
    result = run(table(200, label=prices), target="label")
    assert (result["family"], result["labels"]) == ("regression", [])
    assert result["rows"] == {"train": 140, "validation": 20, "test": 40}
    assert {row.row_id: row.label for split in SPLITS for row in rows(split)}[13] == 13.35
    stars = run(table(200, label=[1 + i % 5 for i in range(200)]), family="regression")
    assert stars["family"] == "regression"


def test_multilabel(run: Run) -> None:
    tags = [("red|blue", "blue", "red", "green|red", "")[i % 5] for i in range(200)]
    result = run(table(200, label=tags))
    assert (result["family"], result["labels"]) == ("multilabel", ["blue", "green", "red"])
    assert sum(result["rows"].values()) == 160
    several = run(
        table(200, rude=[i % 2 for i in range(200)], mild=[i % 3 // 2 for i in range(200)]),
        target="rude + mild",
    )
    assert several["labels"] == ["mild", "rude"]
    labels = {row.row_id: row.label for split in SPLITS for row in rows(split)}
    assert (labels[0], labels[5]) == ([], ["mild", "rude"])


def test_a_wish_that_does_not_fit_is_said(run: Run) -> None:
    assert run(table(100, 3), family="binary")["family"] == "multiclass"
    assert run(table(100, 2), family="multiclass")["family"] == "binary"
    assert "numbers" in blocked_later(run, table(100), family="regression")


def blocked_later(run: Run, frame: pd.DataFrame, **config: Any) -> str:
    """As ``blocked``, where an earlier audit has left its files."""
    for path in Path("out").glob("*.jsonl"):
        path.unlink()
    return blocked(run, frame, **config)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table(3), "Only 3 rows"),
        (table(60, 1), "only one class"),
        (table(60, 60), "60 classes in 60 rows"),
        (table(60, text=[sentence(i) if i < 5 else "" for i in range(60)]), "92% of the text column text"),
        (table(60, label=["a" if i < 5 else "nan" for i in range(60)]), "92% of the target column label"),
        (table(60, text=[f"{sentence(i)} class {i % 2}" for i in range(60)]), "name of their own class"),
        (table(60, text=["all the same"] * 60), "0 rows can be used"),
        (table(60, label=[str(i % 2) + "ü" * 50_000 for i in range(60)]), "looks like text"),
    ],
    ids=["3 rows", "one class", "too many", "no text", "no target", "leak", "same text", "long names"],
)
def test_blocking_findings(run: Run, frame: pd.DataFrame, words: str) -> None:
    assert words in blocked(run, frame)


def test_one_thousand_classes_fit_a_line(run: Run) -> None:
    result = run(table(4000, 1000))
    assert len(result["labels"]) == 1000
    assert len(json.dumps(result, ensure_ascii=False).encode()) < MAX_LINE_BYTES - 1000
    assert Counter(row.label for row in rows("test")).most_common(1)[0][1] <= 2


def test_personal_data_is_counted_and_never_shown(run: Run) -> None:
    frame = table(60)
    secrets = [
        "anna.muster@example.org",
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "+49 170 1234567",
        "84.12.7.9",
    ]
    for i, secret in enumerate(secrets):
        frame.loc[i, "text"] = f"{sentence(i)} {secret} here"
    result = run(frame)
    details = " ".join(f["detail"] for f in result["findings"] if f["kind"] == "personal_data")
    for words in ("e-mail addresses", "IBANs", "credit-card numbers", "phone numbers", "IP addresses"):
        assert f"{words} stands in 1 row" in details
    written = Path("out/audit.md").read_text(encoding="utf-8") + Path("out/audit.json").read_text(
        encoding="utf-8"
    )
    examples = written[written.index("personal_data") :]
    assert not [secret for secret in secrets if secret in examples]
    assert "an••.••••••@•••••••.•••" in written


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112",
        "on 01.02.2024",
        "1.2.3 version 10.0.0",
        "0.123456",
        "999.999.999.999",
        "DE00 3704 1144 1532 1130 11",
    ],
)
def test_numbers_that_are_not_personal(text: str) -> None:
    assert personal_data([text]) == []


def test_a_word_that_gives_the_class_away_and_templates(run: Run) -> None:
    texts = [
        f"please book a {sentence(i, 2)} {('cheap', 'noble')[i % 2]} table for me now" for i in range(80)
    ]
    result = run(table(80, text=texts))
    assert "cheap → class 0" in found(result, "giveaway_word")["detail"]
    assert "100% of the texts" in found(result, "template_made")["detail"]


def test_languages(run: Run) -> None:
    german = "Ich habe das Gerät nicht bekommen und es ist sehr ärgerlich"
    english = "I have not received the device and it is very annoying for me"
    assert (guess_language(german), guess_language(english), guess_language("xyz 123")) == ("de", "en", None)
    assert languages([german] * 3 + [english]) == {"de": 0.75, "en": 0.25}
    texts = [f"{(german, english, english)[i % 3]} {sentence(i, 3)}" for i in range(90)]
    result = run(table(90, text=texts))
    assert result["language"] == "en"
    assert "de 33%" in found(result, "mixed_languages")["detail"]
    assert {row.slices["language"] for row in rows("train")} == {"de", "en"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Le produit est arrivé en retard et je ne suis pas content du tout", "fr"),
        ("El paquete no llegó y nadie me responde, es una vergüenza", "es"),
        ("Il prodotto non funziona e non sono soddisfatto della qualità", "it"),
        ("Het pakket is niet aangekomen en ik ben er niet blij mee", "nl"),
        ("O produto não chegou e eu não gostei do atendimento, muito ruim", "pt"),
        ("Paketet kom inte fram och jag är mycket besviken på det", "sv"),
    ],
)
def test_language_of_a_sentence(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_huge_texts_and_a_sample_of_train(run: Run) -> None:
    frame = table(200)
    frame.loc[0, "text"] = "word " * 30_000
    result = run(frame, max_train_rows=50)
    assert result["rows"]["train"] == 50
    assert found(result, "huge_texts")["done"] == "Cut them at 100,000 characters."
    assert Counter(row.label for row in rows("train")) == {"class 0": 25, "class 1": 25}


@pytest.mark.parametrize(
    ("licence", "severity"), [(None, "warning"), ("CC-BY-NC-4.0", "warning"), ("MIT", "info")]
)
def test_licence(run: Run, licence: str | None, severity: str) -> None:
    assert found(run(table(), licence=licence), "licence")["severity"] == severity


def test_hostile_names_are_shown_not_obeyed(run: Run) -> None:
    evil = "<script>|[x](http://evil)@everyone`*"
    frame = table(60, label=[(evil, "b")[i % 2] for i in range(60)])
    assert run(frame, title=evil)["labels"] == [evil, "b"]
    page = Path("out/audit.md").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "@everyone" not in page
    assert "](http" not in page.replace("\\]", "")
    table_lines = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") in (3, 4, 5) for line in table_lines)


@given(st.text())
def test_escaped_text_has_no_bare_markup(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    bare = escaped.replace("\\\\", "")
    assert not any(c in "|<`[]*_" and (i == 0 or bare[i - 1] != "\\") for i, c in enumerate(bare))


@pytest.mark.parametrize("classes", [2, 40, 41, 300])
def test_the_plot_is_drawn_for_few_and_many_classes(tmp_path: Path, classes: int) -> None:
    labels = [f"a class with quite a long name number {i}" if i else "类 $x_{1" for i in range(classes)]
    splits = {split: [Row(i, "t", label) for i, label in enumerate(labels)] for split in SPLITS}
    path = plot(tmp_path / "plots" / "class_balance.png", splits, labels)
    assert path.stat().st_size > 5000
    assert [entry.name for entry in path.parent.iterdir()] == ["class_balance.png"]


def test_long_names_take_two_lines() -> None:
    assert printable("direct_debit_payment_not_recognised") == "direct_debit_payment_not_\nrecognised"
    name = printable("x" * 100)
    assert all(len(line) <= 26 for line in name.split("\n"))
    assert printable("short") == "short"


CELLS = st.text(max_size=20) | st.sampled_from(
    ["", "nan", "0", "1", "1,5", "a|b", "['a']", "class", "ü\x00\ud7ff"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_rows_end_in_splits_or_a_sentence(run: Run, data: st.DataObject) -> None:
    texts = data.draw(st.lists(CELLS | st.builds(sentence, st.integers(0, 99)), min_size=25, max_size=60))
    names = data.draw(st.lists(CELLS, min_size=1, max_size=4))
    labels = data.draw(st.lists(st.sampled_from(names), min_size=len(texts), max_size=len(texts)))
    other = data.draw(st.lists(CELLS, min_size=len(texts), max_size=len(texts)))
    frame = pd.DataFrame({"text": texts, "label": labels, "other": other})
    try:
        result = run(frame)
    except JobError as error:
        assert error.kind is FailureKind.DATA_ERROR  # noqa: PT017 - either outcome is right
    else:
        written = [row for split in SPLITS for row in rows(split)]
        assert len({row.row_id for row in written}) == len(written) == sum(result["rows"].values())
        assert min(result["rows"].values()) > 0


@pytest.mark.skipif(not BANKING.is_dir(), reason="../shared/data/banking77 is not here")
def test_banking77(run: Run) -> None:
    frames = {split: pd.read_csv(BANKING / f"{split}.csv") for split in ("train", "test")}
    result = run(frames, target="category")
    assert (len(result["labels"]), result["language"]) == (77, "en")
    assert result["rows"]["test"] == 3080
    assert {row.text for row in rows("test")}.isdisjoint(row.text for row in rows("train"))
    assert "leakage" in kinds(result)
