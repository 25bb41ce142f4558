"""From the command to the published folder with nothing in between that is not real but Discord; the process is
another one at each question."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.names import RunStatus
from tests.bot.discord.surface import DiscordSurface
from tests.contract.surface import APPROVER
from tests.e2e.conftest import catalogue
from tests.e2e.test_whole_run import SENTENCE, check_files

__all__ = ["catalogue"]


@pytest.mark.slow
async def test_from_the_command_to_the_published_folder(
    server: DiscordSurface, catalogue: Path, tmp_path: Path
) -> None:
    home, published = server.jobs.home, tmp_path / "published"
    home.mkdir(parents=True)
    (home / "catalogue").symlink_to(catalogue, target_is_directory=True)
    server.real, server.wait_s = True, 1500.0
    server.env = {"HF_ENDPOINT": "http://127.0.0.1:9", "INTERN_PUBLISH_TO": f"folder:{published}"}
    async with server.process():
        await server.start(SENTENCE, minutes=3.0)
        await server.sees("Which data shall I use?")
    async with server.process():
        await server.press("use:1")
        await server.sees("Train on")
    async with server.process():
        await server.press("approve", APPROVER)
        await server.sees("Publish?")
    async with server.process() as app:
        await server.press("private", APPROVER)
        await server.sees("Done:")
        (run,) = await app.dispatch.runs()
        assert run.status is RunStatus.DONE
        check_files(app.deps.run_dir(run.id))
        await server.say("try: I love it, it works perfectly")
        await server.sees("The model says")
        answer = next(text for text in await server.messages() if "The model says" in text)
        assert "positive" in answer
        assert "Confidence" in answer
    assert any(published.rglob("model.safetensors"))
    seen = await server.messages()
    for words in ("What I understood", "The data, checked", "The plan", "On rows never trained on", "Done:"):
        assert sum(words in text for text in seen) == 1, words
    pictures = [
        a["description"]
        for m in server.world.all_messages()
        for a in m.attachments
        if a["filename"].endswith(".png")
    ]
    assert len(pictures) >= 3
    assert all(pictures)
