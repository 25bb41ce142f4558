from __future__ import annotations

from pathlib import Path

import pytest

from bot import Intern
from bot.errors import NotAChoice, NotWaiting, UsageError
from bot.settings import load_settings
from bot.wiring import Parts
from graph.names import FailureKind, RunStatus
from graph.state import Question
from remote.backends.fake import Failure, FakeBackend, Reply
from tests.graph.world import SENTENCE, FakePublisher, FakeRecipes, FakeSource, good_script


@pytest.fixture
def script() -> dict[str, object]:
    return good_script() | {"predict": Reply({"predictions": [{"text": "hi", "label": "positive"}]})}


@pytest.fixture
def intern(tmp_path: Path, script: dict[str, object]) -> Intern:
    parts = Parts(
        backends=[FakeBackend(script, name="local")],  # type: ignore[arg-type]
        sources=[FakeSource(tmp_path)],
        publishers={"folder": FakePublisher()},
        recipes=FakeRecipes(tmp_path),
    )
    return Intern(tmp_path / "home", settings=load_settings({}), parts=parts)


def test_a_run_comes_back_with_its_files_and_metrics(intern: Intern) -> None:
    seen: list[str] = []
    run = intern.run(SENTENCE, yes=True, on_event=lambda e: seen.append(e.type))
    assert run.status is RunStatus.DONE
    assert run.files["report.md"].read_text() == "# Report"
    assert not any(name.startswith(("work/", "raw/")) for name in run.files)
    assert run.metrics == {}
    assert (seen[0], seen[-1]) == ("run_started", "ended")
    assert run.predict(["hi"])[0]["label"] == "positive"


def test_a_question_can_be_answered_in_place_or_later(intern: Intern) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> str | None:
        asked.append(question)
        return "the second one" if question.stage == "choose_dataset" else None

    run = intern.run(SENTENCE, answer=answer)
    assert run.status is RunStatus.WAITING
    assert [q.stage for q in asked] == ["choose_dataset", "approve_compute"]
    with pytest.raises(NotAChoice):
        Intern.decide(intern, run.id, "")
    run = run.decide("approve")
    assert run.question is not None
    run = run.decide("keep")
    assert run.status is RunStatus.DONE
    with pytest.raises(NotWaiting):
        run.decide("keep")


def test_a_failure_is_a_status_with_words(intern: Intern, script: dict[str, object]) -> None:
    script["audit"] = Failure(FailureKind.DATA_ERROR, "Only one class is left.")
    run = intern.run(SENTENCE, yes=True)
    assert (run.status, run.error) == (RunStatus.FAILED, "Only one class is left.")
    script["audit"] = good_script()["audit"]
    assert intern.resume(run.id).status is RunStatus.DONE


async def test_it_works_where_a_loop_already_runs(intern: Intern) -> None:
    assert intern.run(SENTENCE, yes=True).status is RunStatus.DONE


def test_what_no_run_should_be_made_of_is_refused(intern: Intern) -> None:
    with pytest.raises(UsageError, match="budget"):
        intern.run(SENTENCE, budget_usd=-1)
