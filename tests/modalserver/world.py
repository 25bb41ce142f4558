"""The stand-in with the backend and the real client connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from remote.backends.modal import ModalBackend
from remote.backends.modal_errors import Deadlines
from tests.modalserver.server import TOKEN_ID, TOKEN_SECRET, ModalServer

SHORT = Deadlines(
    probe_s=4.5,
    prices_s=5.0,
    call_s=20.0,
    build_s=60.0,
    create_s=20.0,
    lost_s=20.0,
    settle_s=5.0,
    retry_s=0.05,
)


@dataclass(frozen=True)
class ModalWorld:
    server: ModalServer
    backend: ModalBackend

    def another(self, token_secret: str = TOKEN_SECRET, deadlines: Deadlines = SHORT) -> ModalBackend:
        """As a second process would have it. The caller closes it."""
        return backend_for(token_secret, deadlines)

    def tamper(self, key: str, path: str, data: bytes | None) -> None:
        """Change or remove (``None``) a file of ``out/`` behind the job's back."""
        file = self.server.volume("ml-intern-jobs").at(f"jobs/{key}/out/{path}")
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)


def backend_for(token_secret: str = TOKEN_SECRET, deadlines: Deadlines = SHORT) -> ModalBackend:
    return ModalBackend(SecretStr(TOKEN_ID), SecretStr(token_secret), deadlines=deadlines)


def environment(url: str, home: Path) -> Mapping[str, str]:
    """What Modal's client reads, so that it finds the stand-in and nobody's own settings."""
    return {
        "MODAL_SERVER_URL": url,
        "MODAL_SANDBOX_V2": "0",
        "MODAL_CONFIG_PATH": str(home / "no-modal.toml"),
        "MODAL_PROFILE": "",
        "MODAL_TOKEN_ID": "",
        "MODAL_TOKEN_SECRET": "",
    }


@contextmanager
def modal_world(folder: Path) -> Iterator[ModalWorld]:
    with ModalServer(folder / "modal") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(server.url, folder).items():
            patch.setenv(name, value)
        backend = backend_for()
        try:
            yield ModalWorld(server, backend)
        finally:
            asyncio.run(backend.aclose())
