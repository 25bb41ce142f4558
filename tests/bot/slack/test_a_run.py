"""A run in Slack from the first word to the publication, as the team sees it."""

from __future__ import annotations

from graph.names import RunStatus
from tests.bot.slack.conftest import Office
from tests.graph.world import SENTENCE
from tests.slack.server import ALICE, BOB, ML
from tests.slack.world import shown


async def test_from_slash_command_to_publication(office: Office) -> None:
    slack = office.slack
    async with office.intern(INTERN_PUBLISH_TO="folder:/models"):
        await slack.command(ALICE, ML, SENTENCE)
        question = await slack.appears(ML, "Which data shall I use?")
        thread = question["thread_ts"]
        await slack.click(ALICE, question, "decide:0:use:1")
        plan = await slack.appears(ML, "Train on", thread)
        await slack.click(BOB, plan, "decide:0:approve")
        publish = await slack.appears(ML, "Publish?", thread)
        await slack.click(BOB, publish, "decide:1:private")
        run = await office.until_run(lambda run: run.status is RunStatus.DONE)
        await slack.appears(ML, "Done:", thread)
    assert [target for target, *_ in office.publisher.published] == ["folder:/models"]
    root, *replies = await slack.messages(ML, thread)
    assert root["ts"] == thread
    assert run.title in shown(root)
    assert len({m["ts"] for m in replies}) == len(replies)
    names = [u.name for u in await slack.uploads()]
    assert f"{run.id}-report.md" in names
