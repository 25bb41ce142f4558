"""Every setting, from the environment alone. Nothing is read at import; ``load_settings`` reads when called.

An empty variable counts as not set. Secrets are ``SecretStr``: their values appear in no message, not even
in the one that says that they are wrong. Variables that a library reads on its own (Modal's, an LLM
provider's) are not fields: ``ALSO_READ`` names them for ``intern doctor``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from bot.access import Access, Rules, parse_approvers
from bot.errors import UsageError
from graph.deps import Budgets
from graph.llm.prices import stated_price

ALSO_READ = (
    "MODAL_TOKEN_ID",
    "MODAL_TOKEN_SECRET",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
)


class SettingsError(UsageError):
    """A variable holds what it cannot hold; ``str(error)`` says which, and what it takes."""


def default_home() -> Path:
    return Path(platformdirs.user_data_dir("ml-intern"))


class Settings(BaseSettings):
    """A field's ``validation_alias`` is the variable; its description says what it takes."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True, str_strip_whitespace=True
    )

    home: Path = Field(
        default_factory=default_home,
        validation_alias="INTERN_HOME",
        description="a folder for runs and downloads",
    )
    database_url: SecretStr | None = Field(
        default=None, validation_alias="DATABASE_URL", description="sqlite:///FILE or postgresql://…"
    )
    slack_bot_token: SecretStr | None = Field(
        default=None, validation_alias="SLACK_BOT_TOKEN", description="xoxb-…"
    )
    slack_app_token: SecretStr | None = Field(
        default=None, validation_alias="SLACK_APP_TOKEN", description="xapp-…"
    )
    slack_signing_secret: SecretStr | None = Field(
        default=None, validation_alias="SLACK_SIGNING_SECRET", description="the app's signing secret"
    )
    slack_client_id: str | None = Field(
        default=None, validation_alias="SLACK_CLIENT_ID", description="the app's client id, such as 1234.5678"
    )
    slack_client_secret: SecretStr | None = Field(
        default=None, validation_alias="SLACK_CLIENT_SECRET", description="the app's client secret"
    )
    port: int = Field(
        default=3000, validation_alias="PORT", description="a port from 0 to 65535", ge=0, le=65535
    )
    slack_api_url: str | None = Field(
        default=None, validation_alias="SLACK_API_URL", description="an http(s) address"
    )
    discord_token: SecretStr | None = Field(
        default=None, validation_alias="DISCORD_TOKEN", description="the bot's token"
    )
    discord_application_id: int | None = Field(
        default=None, validation_alias="DISCORD_APPLICATION_ID", description="a number", gt=0
    )
    discord_guild_id: int | None = Field(
        default=None, validation_alias="DISCORD_GUILD_ID", description="a number", gt=0
    )
    hf_token: SecretStr | None = Field(
        default=None, validation_alias="HF_TOKEN", description="a Hugging Face access token"
    )
    hf_endpoint: str | None = Field(
        default=None, validation_alias="HF_ENDPOINT", description="an http(s) address"
    )
    viewer_url: str | None = Field(
        default=None, validation_alias="INTERN_VIEWER_URL", description="an http(s) address"
    )
    arxiv_url: str | None = Field(
        default=None, validation_alias="INTERN_ARXIV_URL", description="an http(s) address"
    )
    github_url: str | None = Field(
        default=None, validation_alias="INTERN_GITHUB_URL", description="an http(s) address"
    )
    llm: str | None = Field(
        default=None,
        validation_alias="INTERN_LLM",
        description="provider:model, such as openai:gpt-5.4-mini",
        pattern=r"^[a-z0-9_.-]+:\S+$",
    )
    llm_usd: float = Field(
        default=0.0,
        validation_alias="INTERN_LLM_USD",
        description="a number of US dollars, 0 or more, that each run may spend on it unasked",
        ge=0,
        allow_inf_nan=False,
    )
    llm_price: str | None = Field(
        default=None,
        validation_alias="INTERN_LLM_PRICE",
        description="US dollars per million tokens in and out, such as 0.25/2",
    )
    approvers: str = Field(
        default="",
        validation_alias="INTERN_APPROVERS",
        description="a comma list such as slack:U123, discord:456, console:*",
    )
    two_person_usd: float | None = Field(
        default=None,
        validation_alias="INTERN_TWO_PERSON_USD",
        description="a number of US dollars, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )
    budget_usd: float | None = Field(
        default=None,
        validation_alias="INTERN_BUDGET_USD",
        description="a number of US dollars, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )
    budgets: str = Field(
        default="",
        validation_alias="INTERN_BUDGETS",
        description="US dollars a calendar month, such as month:100, person:20, channel:50",
    )
    publish_to: str | None = Field(
        default=None,
        validation_alias="INTERN_PUBLISH_TO",
        description="folder:PATH or hub:OWNER/NAME",
        pattern=r"^(folder:.+|hub:[^/\s]+(/[^/\s]+)?)$",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what :func:`load_settings` hands in: no ``.env`` file of whatever folder one stands in."""
        return (init_settings,)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("slack_api_url", "hf_endpoint", "viewer_url", "arxiv_url", "github_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            raise ValueError("not an address")
        return url.rstrip("/") if url else None

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(
            ("sqlite:///", "postgresql://", "postgres://")
        ):
            raise ValueError("not a database")
        return url

    @field_validator("approvers")
    @classmethod
    def _approvers(cls, text: str) -> str:
        parse_approvers(text)
        return text

    @field_validator("llm_price")
    @classmethod
    def _llm_price(cls, text: str | None) -> str | None:
        if text is not None:
            stated_price(text)
        return text

    @field_validator("budgets")
    @classmethod
    def _budgets(cls, text: str) -> str:
        parse_budgets(text)
        return text

    def ceilings(self) -> Budgets:
        """What may be spent: a run, and by person, channel and all in a month."""
        return Budgets(run=self.budget_usd, **parse_budgets(self.budgets))

    def access(self) -> Access:
        """The rules of who may decide what."""
        approvers = parse_approvers(self.approvers)
        return Access(Rules(approvers, self.two_person_usd, console_approves=not self.shares_database))

    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret that is set: what must never be published."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value for value in values if isinstance(value, SecretStr))

    @property
    def shares_database(self) -> bool:
        """Whether other machines may use the same database."""
        return self.database_url is not None and self.database_url.get_secret_value().startswith("postgres")

    def described(self, env: Mapping[str, str] | None = None) -> list[Described]:
        """Each setting and whether it is set; never a secret, nor the password within an address."""
        env = os.environ if env is None else env
        own = [self._described(name) for name in type(self).model_fields]
        return own + [Described(name, bool(env.get(name)), "set") for name in ALSO_READ if env.get(name)]

    def _described(self, name: str) -> Described:
        field, value = type(self).model_fields[name], getattr(self, name)
        is_set = name in self.model_fields_set
        if isinstance(value, SecretStr):
            shown = _without_password(value.get_secret_value()) if name == "database_url" else "set"
        elif isinstance(value, str) and "://" in value:
            shown = _without_password(value)
        else:
            shown = "" if value is None else str(value)
        return Described(str(field.validation_alias), is_set, shown)


def parse_budgets(text: str) -> dict[str, float]:
    """``INTERN_BUDGETS`` by name; raises ValueError for an entry that is none."""
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, usd = entry.partition(":")
        if name.strip() not in ("month", "person", "channel") or not re.fullmatch(
            r"\s*\d{1,7}(\.\d+)?\s*", usd
        ):
            raise ValueError(f"{entry!r} is not like month:100")
        found[name.strip()] = float(usd)
    return found


class Described(NamedTuple):
    name: str  # the variable
    is_set: bool
    shown: str  # the value, "set" for a secret, "" for none


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """The settings in ``env`` (default: this process's environment). Raises SettingsError."""
    try:
        source = EnvSettingsSource(Settings)
        source.env_vars = {
            name: value for name, value in (os.environ if env is None else env).items() if value.strip()
        }
        return Settings.model_validate(source())
    except ValidationError as error:
        raise SettingsError(" ".join(_sentences(error))) from None  # its own text would show the value


def _sentences(error: ValidationError) -> list[str]:
    takes = {
        str(f.validation_alias): (f.description, "SecretStr" in str(f.annotation))
        for f in Settings.model_fields.values()
    }
    found = []
    for problem in error.errors(include_url=False, include_context=False):
        variable = str(problem["loc"][0])
        description, secret = takes[variable]
        hidden = secret or "@" in str(problem["input"])  # an address may hold a password
        what = "it is something else" if hidden else f"it is {str(problem['input'])[:60]!r}"
        found.append(f"{variable} must be {description}; {what}.")
    return found


def database_path(settings: Settings) -> Path:
    """The SQLite file. Raises SettingsError for a database that this version cannot open."""
    if settings.database_url is None:
        return settings.home / "intern.db"
    url = settings.database_url.get_secret_value()
    if not url.startswith("sqlite:///"):
        raise SettingsError(
            "DATABASE_URL names a Postgres database, which this version cannot use: unset it."
        )
    return Path(url.removeprefix("sqlite:///")).expanduser().absolute()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return urlunsplit(parts._replace(query=""))
    return urlunsplit(parts._replace(netloc=f"…@{parts.netloc.rpartition('@')[2]}", query=""))
