"""The pure parts of the HF Jobs backend: errors into kinds, events into log lines, folders into archives."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import JobInfo
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from hypothesis import given
from hypothesis import strategies as st

from remote.backend import ArtifactError, Need, Reason
from remote.backends import hf_jobs_errors as errors
from remote.backends import hf_jobs_lines as lines
from remote.backends import hf_jobs_offers as offers
from remote.backends import hf_jobs_pack as archives
from remote.backends.hf_jobs_client import ATTEMPTS, _Feed, pause_s
from remote.backends.hf_jobs_inside import Inside, Settings, environment, missing
from remote.backends.hf_jobs_speaker import TOGETHER_S, Speaker
from remote.backends.hf_jobs_store import build_bundle
from remote.protocol import FailureKind, JobEvent, JobEventType, decode_all
from remote.sandbox.pump import Lines
from tests.remote.sandbox.jobs import job

AT = "2026-01-01T00:00:00.000+00:00"


def refusal(status: int, message: str = "", headers: dict[str, str] | None = None) -> HfHubHTTPError:
    request = httpx2.Request("POST", "https://huggingface.co/api/jobs/ada?secret=hf_token")
    response = httpx2.Response(status, request=request, headers=headers)
    return HfHubHTTPError("a client's own words", response=response, server_message=message)


@pytest.mark.parametrize(
    ("error", "reason", "answered", "again"),
    [
        (refusal(401), Reason.BAD_TOKEN, True, False),
        (refusal(402), Reason.NO_CREDIT, True, False),
        (refusal(402, "Pre-paid credit balance is insufficient"), Reason.NO_CREDIT, True, False),
        (refusal(403), Reason.DENIED, True, False),
        (refusal(403, "Upgrade billing"), Reason.NO_CREDIT, True, False),
        (refusal(404), Reason.UNREACHABLE, True, False),
        (refusal(400, "bad flavor"), Reason.UNKNOWN, True, False),
        (refusal(409, "No capacity for this flavor"), Reason.NO_CAPACITY, True, False),
        (refusal(503, "no GPUs available"), Reason.NO_CAPACITY, True, False),
        (refusal(429), Reason.UNREACHABLE, True, True),
        (refusal(500), Reason.UNREACHABLE, True, True),
        (httpx2.ConnectError("refused"), Reason.UNREACHABLE, False, True),
        (httpx2.ReadTimeout("slow"), Reason.UNREACHABLE, False, True),
        (httpx2.ConnectError("CERTIFICATE_VERIFY_FAILED: not yet valid"), Reason.UNREACHABLE, True, False),
        (TimeoutError(), Reason.UNREACHABLE, False, True),
        (json.JSONDecodeError("x", "<html>", 0), Reason.UNREACHABLE, False, True),
        (KeyError("id"), Reason.UNREACHABLE, False, True),
        (RuntimeError("xet: broken"), Reason.UNREACHABLE, False, True),
        (PermissionError("xet token"), Reason.DENIED, True, False),
        (OfflineModeIsEnabled("offline"), Reason.UNREACHABLE, True, False),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, BaseException) else "",
)
def test_every_error_has_a_reason_and_words_for_people(
    error: BaseException, reason: Reason, answered: bool, again: bool
) -> None:
    fault = errors.explain(error)
    assert (fault.reason, fault.answered, fault.retry_after_s is not None) == (reason, answered, again)
    assert fault.detail.endswith(".")
    assert fault.hint.endswith(".")
    assert "own words" not in fault.detail
    assert "hf_token" not in fault.detail + fault.hint
    assert fault.error().kind in set(FailureKind)
    assert fault.health().reason is reason


def test_a_certificate_from_the_future_speaks_of_the_clock() -> None:
    assert "clock" in errors.explain(httpx2.ConnectError("CERTIFICATE_VERIFY_FAILED")).hint


def test_what_a_server_says_is_shown_without_control_characters_and_cut() -> None:
    detail = errors.explain(refusal(403, "no\x1b[31m\nrights" + "x" * 900)).detail
    assert "no [31m rights" in detail
    assert detail.isprintable()
    assert len(detail) < 300


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 2.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=9;t=55'}, 2.0),
        ({}, 2.0),
    ],
)
def test_the_pause_of_a_429(headers: dict[str, str], wait_s: float) -> None:
    assert errors.retry_after_s(headers) == wait_s


def test_waits_grow_end_and_are_never_long() -> None:
    broken, busy = errors.explain(refusal(500)), errors.explain(refusal(429, headers={"Retry-After": "600"}))
    waits = [pause_s(broken, attempt) for attempt in range(1, ATTEMPTS + 1)]
    assert waits[-1] is None
    assert [w for w in waits if w is not None] == [1.0, 2.0, 4.0]
    assert pause_s(busy, 1) is None
    assert pause_s(errors.explain(refusal(403)), 1) is None


def record(stage: str, message: str | None, **times: str) -> JobInfo:
    status = {"stage": stage, "message": message}
    owner = {"id": "1", "name": "ada", "type": "user"}
    return JobInfo(id="1", owner=owner, status=status, **times)


@pytest.mark.parametrize(
    ("stage", "message", "kind"),
    [
        ("CANCELED", None, FailureKind.PREEMPTED),
        ("CANCELED", "Job timed out", FailureKind.TIMEOUT),
        ("DELETED", None, FailureKind.PREEMPTED),
        ("COMPLETED", None, FailureKind.SCRIPT_ERROR),
        ("ERROR", "Job failed with exit code: 137. Reason: OOMKilled", FailureKind.OUT_OF_MEMORY),
        ("ERROR", "Job failed with exit code: 137", FailureKind.OUT_OF_MEMORY),
        ("ERROR", "Reason: OOMKilled", FailureKind.OUT_OF_MEMORY),
        ("ERROR", "Job failed with exit code: 143", FailureKind.PREEMPTED),
        ("ERROR", "Job failed with exit code: 1", FailureKind.SCRIPT_ERROR),
        ("ERROR", "Job timeout", FailureKind.TIMEOUT),
        ("ERROR", "Stopped: not enough credits", FailureKind.NO_CREDIT),
        ("ERROR", "No capacity left", FailureKind.NO_CAPACITY),
        ("ERROR", None, FailureKind.UNKNOWN),
    ],
)
def test_how_a_job_ended(stage: str, message: str | None, kind: FailureKind) -> None:
    found, detail = errors.ended(record(stage, message))
    assert found is kind
    assert detail[0].isupper()


def test_a_job_that_waited_in_vain_was_not_cancelled_on_request() -> None:
    times = {"createdAt": "2026-01-01T00:00:00.000Z", "finishedAt": "2026-01-01T01:00:00.000Z"}
    assert errors.ended(record("CANCELED", None, **times))[0] is FailureKind.NO_CAPACITY
    ran = times | {"startedAt": "2026-01-01T00:30:00.000Z"}
    assert errors.ended(record("CANCELED", None, **ran))[0] is FailureKind.PREEMPTED
    now = datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert errors.waits_too_long(record("SCHEDULING", None, createdAt=times["createdAt"]), now)
    assert not errors.waits_too_long(record("RUNNING", None, createdAt=times["createdAt"]), now)


# -- lines ---------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=60) | st.integers(0, 15_000).map(lambda n: "ä\n" * n)


@contextmanager
def speaking(clock_s: Callable[[], float] = lambda: 0.0) -> Iterator[tuple[Speaker, Callable[[], list[str]]]]:
    """A speaker, and what it has written since the last look."""
    with tempfile.TemporaryFile() as log:
        seen = 0

        def written() -> list[str]:
            nonlocal seen
            log.seek(seen)
            data = log.read()
            seen += len(data)
            return data.decode().splitlines()

        yield Speaker(log.fileno(), ("x",), clock_s), written


def spoken(events: Iterable[JobEvent]) -> list[str]:
    with speaking() as (speaker, written):
        for event in events:
            speaker.take(event.encode().encode(), speaks=True, whole=True)
        speaker.flush()
        return written()


@given(st.lists(TEXTS, max_size=6))
def test_events_survive_the_log(texts: list[str]) -> None:
    said = [JobEvent(i, AT, JobEventType.RESULT, "x", {"data": {"t": t}}) for i, t in enumerate(texts)]
    log = spoken(said)
    assert all(len(line.encode()) < 16 * 1024 for line in log)
    reader = lines.LogReader()
    found = [event for line in log for event in reader.take(line)]
    assert found == said
    reader.restart()
    assert [reader.take(line) for line in log] == [[]] * len(log)


@given(st.binary(max_size=40_000))
def test_no_word_of_a_job_is_taken_for_ours(word: bytes) -> None:
    reader = lines.LogReader()
    for line in lines.log_lines(word):
        for piece in line.decode("utf-8", "replace").splitlines()[:1]:
            assert reader.take(piece) == []
    assert (reader.last, reader.saved, reader.ended, reader.gap) == (None, None, False, False)


@given(st.text())
def test_reading_never_raises(line: str) -> None:
    reader = lines.LogReader()
    for each in (line, "{" + line, "intern-part 0 0 1 " + line, "intern-end " + line):
        reader.take(each)


def test_an_event_that_follows_a_hole_waits() -> None:
    one, two, three, four = (JobEvent(i, AT, JobEventType.STARTED, "x", {}) for i in range(4))
    first, second, third = one.encode(), two.encode(), f"[{three.encode()},{four.encode()}]"
    reader = lines.LogReader()
    assert reader.take(first) == [one]
    assert reader.take(third) == []
    assert reader.gap
    reader.restart()
    assert [reader.take(line) for line in (first, second, third)] == [[], [two], [three, four]]


def test_an_event_that_comes_alone_is_written_at_once_and_a_stream_of_them_in_few_lines() -> None:
    now_s = 100.0
    step = b'{"v":1,"seq":0,"t":"%s","type":"progress","stage":"x","step":1}' % AT.encode()
    with speaking(lambda: now_s) as (speaker, written):

        def says(count: int) -> list[int]:
            """How many events each written line holds."""
            for _ in range(count):
                speaker.take(step, speaks=True, whole=True)
            speaker.breathe()
            return [len(decode_all(line)) for line in written()]

        assert says(1) == [1]
        assert says(3) == says(2) == []
        assert speaker.patience_s == pytest.approx(TOGETHER_S)
        now_s += TOGETHER_S
        assert says(1) == [6]
        assert speaker.patience_s is None
        now_s += TOGETHER_S
        assert says(1) == [1]
        assert says(1) == []
        speaker.take(b"a word", speaks=True, whole=True)  # is not written before what came before it
        assert [line[:2] for line in written()] == ['{"', "| "]


@given(st.lists(st.sampled_from(["ä", "🙂", "\\n", "x" * 13_000]), max_size=8), st.integers(5, 200))
def test_a_burst_survives_however_it_is_cut(details: list[str], size: int) -> None:
    said = [JobEvent(i, AT, JobEventType.RESULT, "x", {"data": {"t": t}}) for i, t in enumerate(details)]
    stream = b"".join(event.encode().encode() + b"\n" + "größer\n".encode() for event in said)
    cutter, reader = Lines(), lines.LogReader()
    with speaking() as (speaker, written):
        for at in range(0, len(stream), size):
            for line, whole in cutter.feed(stream[at : at + size]):
                speaker.take(line, speaks=True, whole=whole)
        speaker.flush()
        log = written()
    assert [event for line in log for event in reader.take(line)] == said
    assert log.count("| größer") == len(said)


# -- archives ------------------------------------------------------------------------------------------------


def test_an_archive_gives_back_what_was_packed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "größe.bin").write_bytes(b"\0" * 100)
    (out / "empty").write_bytes(b"")
    archives.pack_out(out, tmp_path / "a.zip")
    archives.unpack_out(tmp_path / "a.zip", tmp_path / "back")
    assert (tmp_path / "back" / "deep" / "er" / "größe.bin").read_bytes() == b"\0" * 100
    assert (tmp_path / "back" / "empty").read_bytes() == b""
    archives.pack_out(out, tmp_path / "b.zip")
    assert archives.sha256_of(tmp_path / "a.zip") == archives.sha256_of(tmp_path / "b.zip")


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def evil(*entries: zipfile.ZipInfo, compress: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for info in entries:
                archive.writestr(info, b"x" * 1000, compress)

    return write


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (evil(entry("../up")), "leads out"),
        (evil(entry("a/../../up")), "leads out"),
        (evil(entry("/etc/passwd")), "leads out"),
        (evil(entry("a\\..\\b")), "leads out"),
        (evil(entry("a//b")), "leads out"),
        (evil(entry("a\nb")), "control characters"),
        (evil(entry("link", stat.S_IFLNK | 0o777)), "link or a special file"),
        (evil(entry("device", stat.S_IFCHR | 0o666)), "link or a special file"),
        (evil(entry("pipe", stat.S_IFIFO | 0o666)), "link or a special file"),
        (evil(entry("bomb"), compress=zipfile.ZIP_DEFLATED), "unfolds|compressed"),
        (evil(entry("a"), entry("a/b")), "twice"),
        (lambda path: path.write_bytes(b"no archive"), "no archive"),
        (lambda path: path.write_bytes(b""), "no archive"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_that_means_harm_is_refused(
    tmp_path: Path, write: Callable[[Path], None], why: str
) -> None:
    write(tmp_path / "a.zip")
    with pytest.raises(ArtifactError, match=why):
        archives.unpack_out(tmp_path / "a.zip", tmp_path / "into")
    outside = [path.name for path in tmp_path.rglob("*") if path.is_file() and "into" not in path.parts]
    assert outside == ["a.zip"]


@pytest.mark.parametrize("cut", [1, 30, 500, 1050])
def test_a_part_of_an_archive_is_refused(tmp_path: Path, cut: int) -> None:
    evil(entry("model.txt"))(tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[:-cut])
    with pytest.raises(ArtifactError):
        archives.unpack_out(tmp_path / "a.zip", tmp_path / "into")


def test_links_are_named_and_never_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "secret").write_text("a secret")
    (out / "link").symlink_to(tmp_path / "secret")
    (out / "folder").symlink_to(tmp_path)
    archives.pack_out(out, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert sorted(archive.namelist()) == ["folder", "link"]
        assert all(archive.read(name) == b"" for name in archive.namelist())


def test_a_picture_stays_when_files_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "checkpoint").mkdir(parents=True)
    (out / "checkpoint" / "step").write_text("1")
    before = archives.signature(out)
    archives.link_tree(out, tmp_path / "picture")
    (out / "next").write_text("2")
    (out / "next").replace(out / "checkpoint" / "step")
    assert (tmp_path / "picture" / "checkpoint" / "step").read_text() == "1"
    assert archives.signature(out) != before


# -- what a job is given -------------------------------------------------------------------------------------


def test_settings_survive_the_command_line() -> None:
    settings = Settings(Need(timeout_s=5, gpu="T4"), ("a", "b"), "/out", ("torch==2.13.0",), 1.5)
    assert Settings.decode(settings.encode()) == settings


def test_a_job_gets_no_variable_that_is_not_named(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "HF_TOKEN": "s", "CUDA_VISIBLE_DEVICES": "0", "PATHOLOGY": "x", "AWS_KEY": "s"}
    made = environment(given, tmp_path, Need(cpus=3))
    assert made["PATH"] == "/bin"
    assert made["CUDA_VISIBLE_DEVICES"] == "0"
    assert made["OMP_NUM_THREADS"] == "3"
    assert not {"HF_TOKEN", "AWS_KEY", "PATHOLOGY"} & made.keys()


def test_what_is_missing_is_what_is_not_there_in_this_version() -> None:
    here = f"pytest=={pytest.__version__}"
    assert missing([here, "pytest==0.0.1", "no-such-literature==1", "pytest>=1"]) == [
        "pytest==0.0.1",
        "no-such-literature==1",
        "pytest>=1",
    ]


def test_a_snapshot_that_could_not_be_saved_is_saved_at_the_end(tmp_path: Path) -> None:
    code = """
        import time
        Path("out/model.txt").write_text("weights")
        while not Path(config["go"]).exists(): time.sleep(0.01)
        emit.result({})
    """
    go, mount = tmp_path / "go", tmp_path / "mount"
    (tmp_path / "scratch").mkdir()
    bundle = build_bundle(job(tmp_path, code, config={"go": str(go)}), tmp_path / "scratch")
    settings = Settings(Need(timeout_s=60), ("program",), str(mount), snapshot_every_s=0.05)
    read, write = os.pipe()
    inside = Inside(settings, bundle, tmp_path / "root", write)
    with ThreadPoolExecutor(1) as pool, os.fdopen(read, encoding="utf-8") as log:
        code_of_exit = pool.submit(inside.run)
        while "could not be saved" not in log.readline():
            pass
        mount.mkdir()
        go.touch()
        assert code_of_exit.result() == 0
        os.close(write)
        assert [line for line in log if line.startswith("intern-saved")]
    assert len(list(mount.iterdir())) == 1


# -- machines ------------------------------------------------------------------------------------------------


def machine_info(**changes: Any) -> Any:
    from huggingface_hub import JobHardwareInfo

    fields = {
        "name": "t4-small", "prettyName": "T4", "cpu": "4 vCPU", "ram": "15 GB", "accelerator": None,
        "unitCostMicroUSD": 6670, "unitCostUSD": 0.00667, "unitLabel": "minute",
    }  # fmt: skip
    return JobHardwareInfo(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "usd_per_hour"),
    [({}, 0.4002), ({"unitLabel": "hour"}, 0.00667), ({"unitLabel": "fortnight"}, None)],
)
def test_a_price_in_an_unknown_unit_is_unknown(changes: dict[str, str], usd_per_hour: float | None) -> None:
    catalogue = offers.live([machine_info(**changes)], "2026-01-01")
    (offer,) = offers.offers(catalogue, Need(), 600, reference_cores=2)
    assert offer.usd_per_hour == usd_per_hour
    assert (offer.estimated_usd is None) == (usd_per_hour is None)


def test_a_machine_without_numbers_is_an_answer_that_is_not_the_hubs() -> None:
    with pytest.raises(ValueError, match="no number"):
        offers.live([machine_info(ram="lots")], "2026-01-01")


def test_unknown_prices_come_last_and_unknown_gpus_are_slow() -> None:
    flavors = (
        offers.Flavor("mystery", 8, 64, None, "MX9000", 1, 16),
        offers.Flavor("t4-small", 4, 15, 0.4, "T4", 1, 16),
        offers.Flavor("h200", 4, 15, 5.0, "H200", 1, 141),
    )
    assert [f.name for f in offers.fitting(flavors, Need(memory_mb=1024))] == ["t4-small", "h200", "mystery"]
    mystery, t4, h200 = (offers.speed(flavor, 2) for flavor in flavors)
    assert h200 > t4 == mystery


def test_the_table_of_prices_is_readable() -> None:
    table = offers.table()
    assert table.source
    assert datetime.fromisoformat(table.as_of)
    assert {"cpu-basic", "t4-small", "l4x4"} <= {flavor.name for flavor in table.flavors}
    assert all(
        flavor.gpus == (4 if "x4" in flavor.name else int(bool(flavor.gpu))) for flavor in table.flavors
    )


# -- following -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def turns() -> AsyncIterator[list[int]]:
    """Counts how often another task had its turn."""
    count = [0]

    async def take_turns() -> None:
        while True:
            count[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(take_turns())
    try:
        yield count
    finally:
        task.cancel()


async def test_a_log_that_comes_at_once_leaves_others_their_turn() -> None:
    feed = _Feed(asyncio.get_running_loop(), silence_s=10.0)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: [feed.put(str(n)) for n in range(200)]).result()
    async with turns() as count:
        assert [await feed.get() for _ in range(200)] == [str(n) for n in range(200)]
        assert count[0] > 100
