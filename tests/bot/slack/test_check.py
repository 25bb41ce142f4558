"""What ``intern doctor`` finds out about Slack, asked of a local one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from slack_sdk.oauth.installation_store.models.bot import Bot

from bot.doctor import Check, Verdict
from bot.settings import Settings, database_path, load_settings
from bot.slack import check
from bot.slack.check import check_slack
from bot.slack.oauth import SCOPES, Installations
from bot.slack.serve import new_client
from bot.wiring import probes
from tests.slack.server import ALICE, APP, APP_TOKEN, BOB, BOT, BOT_TOKEN, ML, ROOT
from tests.slack.world import World

SECRET = "0123456789abcdef0123456789abcdef"
Env = dict[str, str]


@pytest.fixture
def env(slack: World, tmp_path: Path) -> Env:
    return {
        "INTERN_HOME": str(tmp_path),
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "INTERN_APPROVERS": f"slack:{BOB}",
    }


async def checks(env: Env, **more: str) -> dict[str, Check]:
    found = await check_slack(load_settings({k: v for k, v in (env | more).items() if v}))
    assert BOT_TOKEN not in str(found)
    assert APP_TOKEN not in str(found)
    assert SECRET not in str(found)
    return {c.name: c for c in found}


async def test_a_healthy_workspace(env: Env) -> None:
    found = await checks(env)
    assert {name: c.verdict for name, c in found.items()} == dict.fromkeys(
        ("Slack token", "Slack scopes", "Slack channels", "Slack approvers", "Slack socket"), Verdict.OK
    )
    assert found["Slack token"].what == "intern in Local (T0LOCAL)"
    assert found["Slack channels"].what == "#ml, #random, #private"
    assert "Bob" in found["Slack approvers"].what


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("token_revoked", "Install App"),
        ("invalid_auth", "OAuth & Permissions"),
        ("odd", "OAuth & Permissions"),
    ],
)
async def test_a_token_that_is_refused(slack: World, env: Env, code: str, mend: str) -> None:
    slack.proxy.invalid = code
    found = await checks(env)
    assert found["Slack token"].verdict is Verdict.BAD
    assert code in found["Slack token"].what
    assert mend in found["Slack token"].mend
    assert found["Slack socket"].verdict is Verdict.BAD
    assert "Slack channels" not in found  # all the rest would only say the same again


@pytest.mark.parametrize(
    ("scope", "verdict"),
    [("groups:history", Verdict.WARN), ("chat:write", Verdict.BAD), ("groups:read", Verdict.WARN)],
)
async def test_a_missing_scope_is_named(slack: World, env: Env, scope: str, verdict: Verdict) -> None:
    slack.proxy.scopes.remove(scope)
    found = await checks(env)
    assert found["Slack scopes"].verdict is verdict
    assert found["Slack scopes"].what == f"missing: {scope} ({SCOPES[scope]})"
    assert found["Slack channels"].verdict is Verdict.OK


async def test_no_network(slack: World, env: Env) -> None:
    async with slack.proxy.outage():
        found = await checks(env)
    assert {c.verdict for c in found.values()} == {Verdict.BAD}
    assert all(c.what == "Slack cannot be reached" and "SLACK_API_URL" in c.mend for c in found.values())


async def test_slack_that_says_nothing_is_given_up_within_the_doctors_limit(
    slack: World, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "CALL_TIMEOUT_S", 0.05)
    slow = slack.proxy.fault("slow", ".*", times=99)
    found = await checks(env)
    slow.release()
    assert found["Slack token"].what == "Slack cannot be reached"


async def test_in_no_channel(slack: World, env: Env) -> None:
    for members in slack.proxy.methods._members.values():
        members[:] = [m for m in members if m == ALICE]
    found = await checks(env)
    assert found["Slack channels"].verdict is Verdict.WARN
    assert "/invite @intern" in found["Slack channels"].mend


@pytest.mark.parametrize(
    ("approvers", "what"),
    [
        ("", "nobody in Slack"),
        ("console:anna", "nobody in Slack"),
        ("slack:U0NOBODY", "slack:U0NOBODY is nobody here"),
        (f"slack:{BOB},slack:T0OTHER/{BOB}", "another workspace"),
        ("slack-group:S0NONE", "is no user group here"),
        ("slack-group:S0EMPTY", "has no members"),
        ("slack-channel:C0NONE", "is no channel that I am in"),
    ],
)
async def test_approvers_who_cannot_approve(slack: World, env: Env, approvers: str, what: str) -> None:
    slack.proxy.methods.usergroups["S0EMPTY"] = []
    found = (await checks(env, INTERN_APPROVERS=approvers))["Slack approvers"]
    assert found.verdict is Verdict.WARN
    assert what in found.what
    assert "INTERN_APPROVERS" in found.mend


async def test_approvers_of_every_kind(slack: World, env: Env) -> None:
    slack.proxy.methods.usergroups["S0LEADS"] = [BOB]
    named = f"slack:T0LOCAL/{BOB},slack-group:S0LEADS,slack-channel:{ML},slack:*"
    found = (await checks(env, INTERN_APPROVERS=named))["Slack approvers"]
    assert found.verdict is Verdict.OK
    for part in ("Bob", "1 member of S0LEADS", "#ml", "everybody"):
        assert part in found.what


@pytest.mark.parametrize(
    ("variable", "value", "name", "mend"),
    [
        ("SLACK_BOT_TOKEN", "xapp-1-secret", "Slack token", "xoxb-"),
        ("SLACK_BOT_TOKEN", "xoxp-1-secret", "Slack token", "xoxb-"),
        ("SLACK_APP_TOKEN", "xoxb-1-secret", "Slack socket", "connections:write"),
        ("SLACK_BOT_TOKEN", "", "Slack settings", "docs/slack.md"),
        ("SLACK_APP_TOKEN", "", "Slack settings", "docs/slack.md"),
    ],
)
async def test_a_token_in_the_wrong_place(env: Env, variable: str, value: str, name: str, mend: str) -> None:
    found = (await checks(env, **{variable: value}))[name]
    assert found.verdict is Verdict.BAD
    assert mend in found.mend
    assert "secret" not in found.what


@pytest.mark.parametrize(("secret", "verdict"), [(SECRET, Verdict.OK), ("pasted wrongly", Verdict.WARN)])
async def test_by_http_the_signing_secret_is_looked_at(env: Env, secret: str, verdict: Verdict) -> None:
    found = await checks(env, SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=secret, PORT="8080")
    assert "Slack socket" not in found
    assert found["Slack address"].verdict is verdict
    assert secret not in found["Slack address"].what


# -- several workspaces ----------------------------------------------------------------------------------------------


@pytest.fixture
def many(slack: World, env: Env) -> Env:
    """Two workspaces; the second one's token works until a test says otherwise."""
    slack.proxy.teams["xoxb-other"] = "T0OTHER"
    return env | {
        "SLACK_CLIENT_ID": "1.2",
        "SLACK_CLIENT_SECRET": "s3cret",
        "SLACK_SIGNING_SECRET": SECRET,
        "SLACK_APP_TOKEN": "",
        "INTERN_APPROVERS": f"slack:T0LOCAL/{BOB},slack:T0OTHER/{ALICE}",
    }


async def install(env: Env, *tokens: tuple[str, str]) -> None:
    settings = load_settings({k: v for k, v in env.items() if v})
    store = Installations(database_path(settings), "1.2", lambda token: new_client(settings, None))
    for team, token in tokens:
        await store.async_save_bot(_bot(team, token))


def _bot(team: str, token: str) -> Bot:
    return Bot(
        app_id=APP,
        team_id=team,
        team_name=team,
        bot_token=token,
        bot_id="B0BOT",
        bot_user_id=BOT,
        installed_at=1.0,
    )


async def test_no_workspace_yet(many: Env) -> None:
    found = (await checks(many))["Slack workspaces"]
    assert found.verdict is Verdict.WARN
    assert "/slack/install" in found.mend


async def test_installations_that_cannot_be_read(many: Env, tmp_path: Path) -> None:
    found = (await checks(many, DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/intern.db"))["Slack workspaces"]
    assert found.verdict is Verdict.BAD
    assert "DATABASE_URL" in found.mend


async def test_each_workspace_is_asked_with_its_own_token(slack: World, many: Env) -> None:
    await install(many, ("T0LOCAL", BOT_TOKEN), ("T0OTHER", "xoxb-other"))
    found = await checks(many)
    assert found["Slack T0LOCAL"] == Check("Slack T0LOCAL", Verdict.OK, "intern in Local")
    assert found["Slack T0OTHER"] == Check("Slack T0OTHER", Verdict.OK, "intern in T0Other")
    assert {c.token for c in slack.calls("auth.test")} == {BOT_TOKEN, "xoxb-other"}


@pytest.mark.parametrize(
    ("approvers", "names"),
    [
        (f"slack:T0LOCAL/{BOB}", ["Slack T0LOCAL", "Slack T0OTHER: approvers"]),
        (f"slack:T0LOCAL/{BOB},slack-group:S0LEADS", ["Slack T0LOCAL", "Slack T0OTHER"]),
        (f"slack:T0LOCAL/{BOB},slack:T0OTHER/U0NOBODY", ["Slack T0LOCAL", "Slack T0OTHER: approvers"]),
    ],
)
async def test_each_workspace_has_approvers_of_its_own(many: Env, approvers: str, names: list[str]) -> None:
    await install(many, ("T0LOCAL", BOT_TOKEN), ("T0OTHER", "xoxb-other"))
    found = await checks(many, INTERN_APPROVERS=approvers)
    assert [name for name in found if name != "Slack address"] == names


async def test_only_what_is_wrong_with_a_workspace_is_said(many: Env) -> None:
    await install(many, ("T0LOCAL", BOT_TOKEN), ("T0GONE", "xoxb-gone"))
    found = await checks(many)
    assert found["Slack T0LOCAL"].verdict is Verdict.OK
    assert found["Slack T0GONE: token"].verdict is Verdict.BAD


# -- in the doctor, and beside the manifest --------------------------------------------------------------------------


def settings_of(env: Env) -> Settings:
    return load_settings({k: v for k, v in env.items() if v})


async def test_the_doctor_asks_slack_only_where_slack_is_set_up(env: Env, tmp_path: Path) -> None:
    asked = probes(settings_of(env)).surfaces
    assert list(asked) == ["slack"]
    assert "Slack token" in {c.name for c in await asked["slack"]()}
    assert probes(load_settings({"INTERN_HOME": str(tmp_path)})).surfaces == {}


def manifest() -> Any:
    return yaml.safe_load((ROOT / "manifest.yaml").read_text())


def test_the_manifest_asks_for_the_same_scopes_as_the_code() -> None:
    assert manifest()["oauth_config"]["scopes"] == {"bot": sorted(SCOPES)}


def test_each_scope_in_the_manifest_says_what_it_is_for() -> None:
    lines = [
        line
        for line in (ROOT / "manifest.yaml").read_text().splitlines()
        if line.strip().removeprefix("- ").split(" ")[0] in SCOPES
    ]
    assert len(lines) == len(SCOPES)
    assert all(" # " in line for line in lines)


def test_the_manifest_fits_slacks_limits() -> None:
    """https://docs.slack.dev/reference/app-manifest"""
    shown, features = manifest()["display_information"], manifest()["features"]
    (command,), (shortcut,) = features["slash_commands"], features["shortcuts"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert 174 <= len(shown["long_description"]) <= 4000
    assert len(command["usage_hint"]) <= 1000
    assert len(shortcut["name"]) <= 24
    assert len(shortcut["description"]) <= 150


def test_the_manifest_listens_to_what_the_code_handles() -> None:
    subscribed = {e.partition(".")[0] for e in manifest()["settings"]["event_subscriptions"]["bot_events"]}
    source = "".join(path.read_text() for path in (ROOT / "bot" / "slack").glob("*.py"))
    handled = set(re.findall(r'bolt\.event\("(\w+)"', source)) | {"app_uninstalled", "tokens_revoked"}
    assert subscribed == handled
    assert re.findall(r'bolt\.shortcut\("(\w+)"\)', source) == [
        s["callback_id"] for s in manifest()["features"]["shortcuts"]
    ]
