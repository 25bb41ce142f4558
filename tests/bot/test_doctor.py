from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest

from bot.doctor import Check, Probes, Verdict, asks_for_slack, examine, exit_code, render_checks
from bot.settings import Settings, load_settings
from graph.errors import SourceError, StoreError
from graph.llm.model import LlmError
from remote.backend import Health, Reason
from remote.backends.fake import FakeBackend


class Place:
    searchable = True

    def __init__(self, name: str, answers: bool) -> None:
        self.name = name
        self.answers = answers

    async def ready(self) -> bool:
        return self.answers


class Sick(FakeBackend):
    def __init__(self, health: Health) -> None:
        super().__init__({})
        self.health = health

    async def probe(self) -> Health:
        return self.health


async def three_runs() -> int:
    return 3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"INTERN_HOME": str(tmp_path / "home")})


GOOD = Probes(
    backends=[Sick(Health(True, isolation="bubblewrap"))],
    sources=[Place("hub", True), Place("catalogue", True)],
    open_database=three_runs,
    is_installed=lambda module: module not in ("slack_bolt", "discord"),
    free_bytes=lambda folder: 10**11,
    python=(3, 12, 1),
)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


async def test_a_healthy_machine(settings: Settings) -> None:
    checks = await examine(settings, GOOD)
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert exit_code(checks) == 0
    assert "bubblewrap" in by_name(checks)["Backend fake"].what


@pytest.mark.parametrize(
    ("probes", "name", "verdict", "mend"),
    [
        (replace(GOOD, python=(3, 10, 2)), "Python", Verdict.BAD, "Python 3.11"),
        (replace(GOOD, free_bytes=lambda folder: 10**8), "Home", Verdict.BAD, "disk space"),
        (replace(GOOD, free_bytes=lambda folder: 10**9), "Home", Verdict.WARN, "disk space"),
        (replace(GOOD, is_installed=lambda m: m != "torch"), "Training libraries", Verdict.BAD, "[train]"),
        (
            replace(GOOD, sources=[Place("hub", False), Place("catalogue", True)]),
            "Source hub",
            Verdict.WARN,
            "HF_END",
        ),
        (replace(GOOD, sources=[Place("hub", False)]), "Source hub", Verdict.BAD, "HF_ENDPOINT"),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    settings: Settings, probes: Probes, name: str, verdict: Verdict, mend: str
) -> None:
    check = by_name(await examine(settings, probes))[name]
    assert check.verdict is verdict
    assert mend in check.mend


@pytest.mark.parametrize(
    ("healths", "verdicts"),
    [
        ([Health(False, Reason.NOT_ISOLATED, "no bubblewrap", "apt install bubblewrap")], [Verdict.BAD]),
        (
            [Health(False, Reason.NO_TOKEN, "no token", "set it"), Health(True, isolation="bubblewrap")],
            [Verdict.WARN, Verdict.OK],
        ),
    ],
)
async def test_one_working_backend_is_enough(
    settings: Settings, healths: list[Health], verdicts: list[Verdict]
) -> None:
    checks = await examine(settings, replace(GOOD, backends=[Sick(health) for health in healths]))
    found = [check for check in checks if check.name.startswith("Backend")]
    assert [check.verdict for check in found] == verdicts
    assert found[0].mend == healths[0].hint


async def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    check = by_name(await examine(load_settings({"INTERN_HOME": str(blocked / "home")}), GOOD))["Home"]
    assert check.verdict is Verdict.BAD
    assert "INTERN_HOME" in check.mend


async def test_errors_come_with_the_hint_of_who_raised_them(tmp_path: Path) -> None:
    async def locked() -> int:
        raise StoreError("The database is locked.", "Stop the other process.")

    async def rejected() -> str:
        raise SourceError("The token was refused.")

    settings = load_settings({"INTERN_HOME": str(tmp_path), "HF_TOKEN": "hf_secret"})
    checks = by_name(await examine(settings, replace(GOOD, open_database=locked, whoami=rejected)))
    assert checks["Database"] == Check(
        "Database", Verdict.BAD, "The database is locked.", "Stop the other process."
    )
    assert checks["Hub account"].verdict is Verdict.WARN
    assert "HF_TOKEN" in checks["Hub account"].mend


async def test_a_language_model_that_cannot_be_set_up_is_no_reason_not_to_run(tmp_path: Path) -> None:
    async def broken() -> str:
        raise LlmError("It cannot be set up.", "Check the key.")

    settings = load_settings({"INTERN_HOME": str(tmp_path), "INTERN_LLM": "openai:gpt-5.4"})
    checks = by_name(await examine(settings, replace(GOOD, llm=broken)))
    assert checks["Language model"] == Check(
        "Language model", Verdict.WARN, "It cannot be set up.", "Check the key."
    )
    checks = by_name(await examine(load_settings({"INTERN_HOME": str(tmp_path)}), replace(GOOD, llm=broken)))
    assert checks["Language model"].what.startswith("none")


async def test_an_extra_that_the_settings_ask_for_has_to_be_installed(tmp_path: Path) -> None:
    settings = load_settings({"INTERN_HOME": str(tmp_path), "SLACK_BOT_TOKEN": "xoxb-secret"})
    check = by_name(await examine(settings, GOOD))["Extra slack"]
    assert check.verdict is Verdict.BAD
    assert "[slack]" in check.mend


async def test_the_page_holds_no_secret_and_no_control_sequence(tmp_path: Path) -> None:
    env = {"INTERN_HOME": str(tmp_path), "HF_TOKEN": "hf_secret", "DATABASE_URL": "postgresql://a:pw9@db/i"}
    checks = await examine(load_settings(env), GOOD)
    out = io.StringIO()
    code = render_checks([*checks, Check("X", Verdict.BAD, "bad \x1b[31mred", "mend it")], out, columns=80)
    page = out.getvalue()
    assert code == 1
    assert "hf_secret" not in page
    assert "pw9" not in page
    assert "\x1b" not in page
    assert "mend it" in page
    assert "1 thing to mend first." in page


async def test_a_surface_is_asked_for_its_own_checks(settings: Settings) -> None:
    async def slack() -> list[Check]:
        return [Check("Slack token", Verdict.BAD, "refused", "make a new one")]

    checks = await examine(settings, replace(GOOD, surfaces={"slack": slack}))
    assert by_name(checks)["Slack token"].mend == "make a new one"
    assert exit_code(checks) == 1


async def test_a_surface_that_says_nothing_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.doctor.TIMEOUT_S", 0.01)

    async def silent() -> list[Check]:
        await asyncio.Event().wait()
        return []

    checks = by_name(await examine(settings, replace(GOOD, surfaces={"slack": silent})))
    assert checks["Slack"].verdict is Verdict.BAD
    assert "no answer" in checks["Slack"].what


@pytest.mark.parametrize(
    "variable", ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_CLIENT_ID"]
)
def test_one_variable_of_slack_asks_for_slack(tmp_path: Path, variable: str) -> None:
    """So that the others which it needs are named."""
    assert asks_for_slack(load_settings({"INTERN_HOME": str(tmp_path), variable: "xoxb-1"}))
    assert not asks_for_slack(load_settings({"INTERN_HOME": str(tmp_path)}))


def test_warnings_alone_do_not_fail() -> None:
    assert render_checks([Check("X", Verdict.WARN, "slow", "wait")], io.StringIO(), columns=80) == 0
