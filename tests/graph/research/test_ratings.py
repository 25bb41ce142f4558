"""Rated texts to rows, and the ceiling by human agreement, against values worked out by hand."""

from __future__ import annotations

import csv
import io

import pytest

from graph.errors import SourceError
from graph.research.orange import table_of_tab
from graph.research.ratings import Rated, Variant, human_ceiling, parse_rated, parse_ratings, table
from tests.graph.research.packs import GROUND_TRUTH, RATINGS


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_two_classes_leave_out_what_lies_between() -> None:
    made = table(parse_rated(GROUND_TRUTH.encode(), "x"), Variant.BINARY, grouped=True)
    rows = rows_of(made.csv)
    assert [(r["label"], r["group"]) for r in rows] == [
        ("positive", "1"),
        ("negative", "1"),
        ("negative", "2"),
        ("positive", "2"),
    ]
    assert rows[2]["text"] == 'Not good, "sadly".'
    assert (made.rows, made.classes) == (4, 2)


def test_three_classes_keep_them_and_the_threshold_itself_is_neutral() -> None:
    made = table(parse_rated(GROUND_TRUTH.encode(), "x"), Variant.NEUTRAL, grouped=False)
    rows = rows_of(made.csv)
    assert [r["text"] for r in rows if r["label"] == "neutral"] == ["It is a phone.", "It has a lid."]
    assert rows[0].keys() == {"text", "label"}
    assert (made.rows, made.classes) == (6, 3)


def test_a_regression_file_has_the_rating_and_no_label() -> None:
    made = table(parse_rated(GROUND_TRUTH.encode(), "x"), Variant.RATING, grouped=False)
    assert [float(r["rating"]) for r in rows_of(made.csv)] == [1.5, -2.0, 0.5, -0.75, 3.0, 0.1]
    assert "label" not in rows_of(made.csv)[0]


def test_a_byte_order_mark_is_no_part_of_the_first_id() -> None:
    assert parse_ratings(b"\xef\xbb\xbf" + RATINGS.encode(), "x")["1_1"] == [2, 1, 2, 1]


def test_ceiling_by_hand() -> None:
    """Two rows: everyone agrees on the first; on the second one of four answers 0 and one the opposite."""
    rows = [Rated("a", 2.0, "good"), Rated("b", -1.0, "bad")]
    people = {"a": [2.0, 2.0, 2.0, 2.0], "b": [-2.0, -2.0, 0.0, 1.0]}
    # b's negatives: 2 right; the 0 is half right, half wrong; the opposite is wrong (of others: mean -4/3).
    ceiling = human_ceiling(rows, people, Variant.BINARY)
    assert ceiling["accuracy"] == pytest.approx(6.5 / 8)
    positive, negative = 2 * 4 / (5.5 + 4), 2 * 2.5 / (2.5 + 4)
    assert ceiling["macro_f1"] == pytest.approx((positive + negative) / 2)


def test_ceiling_of_three_classes_takes_zero_for_neutral() -> None:
    ceiling = human_ceiling([Rated("a", 0.0, "x")], {"a": [0.0, 0.0, 0.0]}, Variant.NEUTRAL)
    assert ceiling == {"accuracy": 1.0, "macro_f1": 1.0}


def test_ceiling_of_ratings_compares_each_with_the_others() -> None:
    ceiling = human_ceiling([Rated("a", 1.0, "x")], {"a": [0.0, 2.0]}, Variant.RATING)
    assert ceiling == {"rmse": 2.0, "mae": 2.0}


def test_no_ceiling_without_people() -> None:
    assert human_ceiling([Rated("a", 1.0, "x")], {}, Variant.BINARY) == {}
    assert human_ceiling([Rated("a", 1.0, "x")], {"a": [1.0]}, Variant.RATING) == {}


@pytest.mark.parametrize("content", [b"one column\n", b"a\tmuch\ttext\n", b"a\t1.0\t\xff\n"])
def test_a_malformed_file_is_an_error_not_a_shorter_data_set(content: bytes) -> None:
    with pytest.raises(SourceError, match="expected columns"):
        parse_rated(content, "x.txt")


def test_ratings_are_read_as_data() -> None:
    with pytest.raises(SourceError):
        parse_ratings(b"a\t1\t1\t__import__('os').getcwd()\n", "x.txt")


def test_orange_table() -> None:
    content = (
        b"Category\tText\nd\tstring\nclass\t\n\t\nearn\tprofit rose\n\tno label\ntrade\t\nearn\tloss fell\n"
    )
    made = table_of_tab(content, "x.tab")
    assert rows_of(made.csv) == [
        {"text": "profit rose", "label": "earn"},
        {"text": "loss fell", "label": "earn"},
    ]
    assert (made.rows, made.classes) == (2, 1)
    with pytest.raises(SourceError, match="columns"):
        table_of_tab(b"A\tB\n", "x.tab")
