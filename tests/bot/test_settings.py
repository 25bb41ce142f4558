from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import Settings, SettingsError, database_path, default_home, load_settings

SECRETS = {
    "SLACK_BOT_TOKEN": "xoxb-secret-1",
    "SLACK_APP_TOKEN": "xapp-secret-2",
    "SLACK_SIGNING_SECRET": "secret-3",
    "DISCORD_TOKEN": "secret-4",
    "HF_TOKEN": "hf_secret-5",
    "DATABASE_URL": "postgresql://bob:secret-6@db.example/intern?sslkey=secret-7",
    "HF_ENDPOINT": "https://bob:secret-8@hub.example",
    "ANTHROPIC_API_KEY": "secret-9",
}


def test_nothing_set_gives_the_defaults() -> None:
    settings = load_settings({})
    assert settings.home == default_home()
    assert settings.hf_token is None
    assert database_path(settings) == default_home() / "intern.db"
    assert not any(described.is_set for described in settings.described({}))


def test_an_empty_or_blank_variable_counts_as_not_set() -> None:
    settings = load_settings({"HF_TOKEN": "", "INTERN_BUDGET_USD": "  ", "INTERN_HOME": ""})
    assert settings == load_settings({})


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERN_BUDGET_USD", "7")
    assert load_settings({}).budget_usd is None
    assert load_settings().budget_usd == 7


def test_a_dotenv_file_in_the_current_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("INTERN_BUDGET_USD=1000\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERN_BUDGET_USD", raising=False)
    assert load_settings().budget_usd is None


def test_the_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert load_settings({"INTERN_HOME": "~/runs"}).home == tmp_path / "runs"
    assert load_settings({"INTERN_HOME": "here"}).home == tmp_path / "here"


@pytest.mark.parametrize(
    ("env", "takes"),
    [
        ({"INTERN_BUDGET_USD": "lots"}, "a number of US dollars"),
        ({"INTERN_BUDGET_USD": "-1"}, "0 or more"),
        ({"INTERN_BUDGET_USD": "nan"}, "a number of US dollars"),
        ({"INTERN_TWO_PERSON_USD": "inf"}, "a number of US dollars"),
        ({"HF_ENDPOINT": "hub.example"}, "http(s) address"),
        ({"HF_ENDPOINT": "ftp://hub.example"}, "http(s) address"),
        ({"INTERN_ARXIV_URL": "arxiv.org"}, "http(s) address"),
        ({"INTERN_GITHUB_URL": "api.github.com"}, "http(s) address"),
        ({"DISCORD_GUILD_ID": "my guild"}, "a number"),
        ({"INTERN_LLM": "gpt"}, "provider:model"),
        ({"INTERN_LLM_USD": "-1"}, "0 or more"),
        ({"INTERN_LLM_PRICE": "cheap"}, "such as 0.25/2"),
        ({"INTERN_APPROVERS": "bob"}, "slack:U123"),
        ({"INTERN_PUBLISH_TO": "s3://bucket"}, "hub:OWNER/NAME"),
        ({"DATABASE_URL": "mysql://db"}, "postgresql://"),
    ],
)
def test_a_wrong_value_is_told_in_a_sentence_that_names_the_variable(env: dict[str, str], takes: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env)
    told = str(caught.value)
    assert told.startswith(f"{next(iter(env))} must be ")
    assert takes in told
    assert "\n" not in told


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": "mysql://bob:hunter2@db", "HF_ENDPOINT": "htp://bob:hunter3@hub"})
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_described_holds_no_secret() -> None:
    settings = load_settings(SECRETS)
    shown = repr(settings.described(SECRETS)) + repr(settings)
    assert {d.name for d in settings.described(SECRETS) if d.is_set} == set(SECRETS)
    assert "secret-" not in "".join(d.shown for d in settings.described(SECRETS))
    for name in ("secret-1", "secret-4", "secret-5", "secret-6"):
        assert name not in shown


def test_a_database_url_chooses_the_file(tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": f"sqlite:///{tmp_path}/x.db"})
    assert database_path(settings) == tmp_path / "x.db"
    assert not settings.shares_database


def test_a_database_of_another_kind_is_refused_in_a_sentence() -> None:
    settings = load_settings({"DATABASE_URL": "postgresql://bob:pw@db/intern"})
    assert settings.shares_database
    with pytest.raises(SettingsError, match="unset it") as caught:
        database_path(settings)
    assert "pw" not in str(caught.value)


def test_the_page_on_settings_names_each_of_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    for field in Settings.model_fields.values():
        assert f"| `{field.validation_alias}` | {field.description} |" in page
