"""The scripted backend: what tests of the graph rely on beside the contract."""

from __future__ import annotations

import pytest

from remote.backend import BackendError, Health, JobSpec, Need, Offer, Program, Reason
from remote.backends.fake import Failure, FakeBackend, Hold, Refusal, Reply
from remote.protocol import FailureKind, JobEventType


def _spec(key: str, *names: str) -> JobSpec:
    return JobSpec(key, "run", tuple(Program(name, name) for name in names))


async def _types(backend: FakeBackend, spec: JobSpec) -> list[str]:
    ref = await backend.submit(spec)
    return [event.type.value async for event in backend.events(ref)]


async def test_a_list_answers_in_turn_and_its_last_answer_holds() -> None:
    backend = FakeBackend({"train": [Failure(FailureKind.OUT_OF_MEMORY, "x"), Reply({"n": 1})]})
    assert [await _types(backend, _spec(key, "train")) for key in "abb"] == [
        ["failed"],
        ["result"],
        ["result"],
    ]
    assert await _types(backend, _spec("c", "train")) == ["result"]
    assert [spec.key for spec in backend.jobs] == ["a", "b", "c"]


async def test_an_unscripted_program_fails() -> None:
    backend = FakeBackend({})
    assert await _types(backend, _spec("a", "audit")) == ["failed"]


async def test_a_refusal_is_raised_and_the_key_stays_free() -> None:
    backend = FakeBackend({"train": [Refusal(FailureKind.NO_CREDIT, "No credit.", "Add some."), Reply()]})
    with pytest.raises(BackendError) as caught:
        await backend.submit(_spec("a", "train"))
    assert (caught.value.kind, caught.value.hint) == (FailureKind.NO_CREDIT, "Add some.")
    assert backend.jobs == []
    assert await _types(backend, _spec("a", "train")) == ["result"]


async def test_a_held_job_goes_on_when_it_is_released() -> None:
    backend = FakeBackend({"train": Hold(Reply({"n": 1}), events=[(JobEventType.PROGRESS, {"step": 1})])})
    ref = await backend.submit(_spec("a", "train"))
    seen = []
    async for event in backend.events(ref):
        seen.append(event.type.value)
        if event.type is JobEventType.PROGRESS:
            backend.release("a")
    assert seen == ["progress", "result"]


async def test_a_machine_that_is_gone_ends_in_preempted() -> None:
    backend = FakeBackend({"a": Reply(), "b": Reply()}, kill_after={"job": 1})
    ref = await backend.submit(_spec("job", "a", "b"))
    events = [event async for event in backend.events(ref)]
    assert [event.type.value for event in events] == ["result", "failed"]
    assert events[-1].fields["kind"] == FailureKind.PREEMPTED


async def test_health_and_offer_are_the_scripted_ones() -> None:
    sick = Health(False, Reason.NO_CREDIT, "No credit.", "Add some.")
    offer = Offer("x", "T4", 0.6, 0, 0, "list", "2026-01-01")
    backend = FakeBackend({}, health=sick, offer=offer)
    assert await backend.probe() == sick
    (made,) = await backend.offers(Need(gpu="T4"), 1800.0)
    assert made.backend == "fake"
    assert made.estimated_usd == pytest.approx(0.3)
    assert await FakeBackend({}, offer=None).offers(Need(), 1.0) == []


async def test_an_event_that_no_job_could_say_is_refused() -> None:
    backend = FakeBackend({"a": Reply({"big": ["x" * 70_000]})})
    with pytest.raises(ValueError, match="artifact"):
        await backend.submit(_spec("a", "a"))
