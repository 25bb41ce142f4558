"""What a job may say, and what becomes of the rest. Single forgeries stand in ``tests/remote/redteam``."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remote.protocol import FailureKind, JobEvent, JobEventType
from remote.sandbox import vetting
from remote.sandbox.vetting import Vetting

T = "2026-11-20T10:00:00.000+00:00"
NOW = "2026-11-24T10:00:00.000+00:00"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(
    ["step", "total", "metrics", "epoch", "kind", "detail", "path", "sha256", "data", "pid"]
)


def said(type_: JobEventType, stage: str = "train", t: str = T, **fields: Any) -> JobEvent:
    return JobEvent(0, t, type_, stage, fields)


def vet(*programs: str) -> Vetting:
    return Vetting(programs or ("train",), lambda: NOW)


def test_honest_events_pass_unchanged() -> None:
    vetting_ = vet("train", "judge")
    sha256 = "a" * 64
    for event in (
        said(JobEventType.STARTED, pid=7),
        said(JobEventType.STARTED, stage=vetting.RUNNER, pid=7),
        said(JobEventType.PROGRESS, step=1, total=2, metrics={"loss": 0.5, "lost": None}),
        said(JobEventType.EPOCH, epoch=1.5, metrics={"macro_f1": 1}),
        said(JobEventType.WARNING, kind="slow", detail="It takes long."),
        said(JobEventType.ARTIFACT, path="model/größe.json", sha256=sha256),
        said(JobEventType.RESULT, data={"labels": ["a", "b"], "deep": {"er": [1, [2, [3]]]}}),
        said(JobEventType.RESULT, stage="judge", data={}),
        said(JobEventType.FAILED, kind="nan_loss", detail="The loss is not a number."),
    ):
        assert vetting_.event(event) == event


def test_results_come_in_the_order_of_the_chain() -> None:
    first, second = said(JobEventType.RESULT, data={}), said(JobEventType.RESULT, stage="judge", data={})
    vetting_ = vet("train", "judge")
    assert vetting_.event(second) is None
    assert vetting_.event(first) == first
    assert vetting_.event(second) == second


def test_a_job_names_its_own_failures_and_nobody_elses() -> None:
    kinds = {}
    for kind in FailureKind:
        event = vet().event(said(JobEventType.FAILED, kind=kind.value, detail="x"))
        assert event is not None
        kinds[kind] = event.fields["kind"]
    changed = {kind for kind, heard in kinds.items() if heard != kind}
    assert changed == {
        FailureKind.NOT_ISOLATED,
        FailureKind.NO_CREDIT,
        FailureKind.NO_CAPACITY,
        FailureKind.NO_TOKEN,
    }
    assert {kinds[kind] for kind in changed} == {"script_error"}


def test_artifacts_are_counted() -> None:
    vetting_ = vet()
    one = said(JobEventType.ARTIFACT, path="a", sha256="0" * 64)
    heard = [vetting_.event(one) is not None for _ in range(vetting.MAX_ARTIFACTS + 5)]
    assert sum(heard) == vetting.MAX_ARTIFACTS
    assert not any(heard[-5:])


@given(st.sampled_from(list(JobEventType)), st.dictionaries(names, values, max_size=4), st.text(max_size=30))
def test_whatever_it_says_readers_get_what_they_rely_on(
    type_: JobEventType, fields: dict[str, Any], t: str
) -> None:
    event = vet().event(JobEvent(0, t, type_, "train", fields))
    if event is None:
        return
    if type_ in (JobEventType.PROGRESS, JobEventType.EPOCH):
        numbers = [event.fields.get(name, 0) for name in ("step", "total", "epoch")]
        numbers += [value for value in event.fields.get("metrics", {}).values() if value is not None]
        assert len([float(number) for number in numbers]) == len(numbers)  # none of them raises
    assert event.t == NOW or event.t == t
    if type_ is JobEventType.FAILED:
        FailureKind(event.fields["kind"])
        assert str(event.fields["detail"]).isprintable()
    if type_ is JobEventType.RESULT:
        assert isinstance(event.fields["data"], dict)
