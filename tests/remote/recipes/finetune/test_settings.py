"""Settings, and what the machine can."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch

from remote.recipes.finetune import settings
from tests.remote.recipes.tiny import Job

MakeJob = Callable[..., Job]


def test_every_setting_is_documented_and_has_a_unit() -> None:
    for one in fields(settings.Config):
        assert one.metadata["meaning"], one.name
        assert isinstance(one.metadata["unit"], str)


def test_bf16_needs_native_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not settings._native_bf16(torch.device("cpu"))
