from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import uploads
from bot.chat.forms import field_problems, request_fields, sentence_of
from bot.chat.incoming import Attachment, Incoming, Kind, Person
from bot.chat.uploads import checked_name, save
from bot.errors import UsageError


def test_fields_become_the_request() -> None:
    said = {"data": " owner/name ", "budget": "$5", "minutes": "2,5 min", "target": "label", "text": ""}
    assert request_fields(said) == {
        "data": "owner/name",
        "budget_usd": 5.0,
        "minutes": 2.5,
        "target": "label",
    }


@pytest.mark.parametrize("said", ["a lot", "-1", "1e99", "5; drop table", "nan"])
def test_what_is_no_number_is_told(said: str) -> None:
    assert "number of US dollars" in field_problems({"budget": said})["budget"]
    with pytest.raises(UsageError):
        request_fields({"budget": said})


def test_the_metric_joins_the_sentence() -> None:
    assert sentence_of("Sort tickets", "macro_f1") == "Sort tickets. I care about macro-F1."
    assert sentence_of("Sort tickets.", "") == "Sort tickets."


@given(st.text(max_size=80))
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    safe = checked_name(Attachment(f"{name}.csv", "u"))
    assert Path(safe).name == safe
    assert not safe.startswith(".")
    assert safe.casefold().endswith(".csv")


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("cat.png", 1, "cannot read"),
        ("a.csv", 0, "empty"),
        ("a.csv", 10**12, "at most"),
        ("a.csv.exe", 5, "cannot"),
        ("paper.pdf", 10**12, "at most"),
    ],
)
def test_what_is_no_data_is_refused(name: str, count: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        checked_name(Attachment(name, "u", count))


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_download_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into = tmp_path / "a.csv"
    with pytest.raises(UsageError, match="only in part"):
        await save(_chunks(b"ab"), into, 3)
    monkeypatch.setattr(uploads, "MAX_BYTES", 3)
    with pytest.raises(UsageError, match="has over"):
        await save(_chunks(b"ab", b"cd"), into, None)
    assert list(tmp_path.iterdir()) == []
    await save(_chunks(b"a", b"bc"), into, 3)
    assert into.read_bytes() == b"abc"


def test_what_came_in_is_kept_as_it_was() -> None:
    incoming = Incoming(
        "k", Kind.START, Person("U1", "ann"), "T/C/1", "text", attachments=(Attachment("a.csv", "u", 3),),
        fields={"data": "x"}, new_id="r1",
    )  # fmt: skip
    assert Incoming.load(incoming.dump()) == incoming
    assert (incoming.workspace, incoming.channel) == ("T", "T/C")
