"""What a stage holds while it runs: deps, its place in the run, and how it speaks.

Keys of events and effects are run + stage + visit + name. A stage that is run again after a crash has the same
visit, so what it already said and did is found, not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from graph.deps import Deps, Said
from graph.names import DecisionKind, EventType, Stage
from graph.state import Attempt, Choice, Question, RunState


class Context:
    def __init__(self, deps: Deps, run_id: str, stage: Stage, visit: int) -> None:
        self.deps = deps
        self.run_id = run_id
        self.stage = stage
        self.visit = visit
        self._began = deps.now()

    @property
    def dir(self) -> Path:
        """The run's folder."""
        return self.deps.run_dir(self.run_id)

    def key(self, name: str) -> str:
        return f"{self.run_id}-{self.stage}-{self.visit}-{name}"

    async def say(self, type_: EventType, name: str = "", /, **payload: Any) -> None:
        """Append an event once; ``name`` tells several of one type in one stage apart."""
        said = self.said(type_, name, **payload)
        await self.deps.store.append(
            self.run_id,
            said.type,
            said.payload,
            at=said.at,
            stage=said.stage,
            key=said.key,
            fence=self.deps.fence,
        )

    def said(self, type_: EventType, name: str = "", /, **payload: Any) -> Said:
        """What :meth:`say` would append."""
        return Said(type_, plain(payload), self.deps.at(), self.stage, self.key(f"{type_}-{name}"))

    async def note(self, text: str, level: str = "info") -> None:
        await self.say(EventType.NOTE, text, text=text, level=level)

    async def started(self) -> None:
        await self.deps.store.update_run(
            self.run_id, fence=self.deps.fence, at=self.deps.at(), stage=self.stage, clear_question=True
        )
        await self.say(EventType.STAGE_STARTED)

    async def finished(self) -> None:
        seconds = (self.deps.now() - self._began).total_seconds()
        await self.say(EventType.STAGE_FINISHED, seconds=round(seconds, 3))

    def question(
        self,
        kind: DecisionKind,
        stage: Stage,
        text: str,
        choices: tuple[Choice, ...],
        *,
        slug: str = "",
        **more: Any,
    ) -> Question:
        """A question whose id is unique in the run and the same when this visit runs again."""
        slug = slug or stage.value
        return Question(f"{self.run_id}:{slug}:{self.stage}-{self.visit}", kind, stage, text, choices, **more)

    def publish_target(self, state: RunState) -> str | None:
        """Where the run would be published: what the person said, else this installation's place."""
        named = state["request"].publish_to or state["task"].publish_to
        return named if named and self.may_publish_to(state, named) else self.deps.publish_to

    def may_publish_to(self, state: RunState, target: str) -> bool:
        """Who asks from a chat names no folder of this machine; the installation's own place is fine."""
        far = state["request"].files_below is not None
        return not (far and target.startswith("folder:") and target != self.deps.publish_to)

    def ask_for_help(self, text: str, tried: Sequence[Attempt], retry: str, back_to: Stage) -> Question:
        """The question of a run that is out of remedies, with the trail of what was tried."""
        return self.question(
            DecisionKind.HELP,
            Stage.NEEDS_HUMAN,
            text,
            (
                Choice("retry", "Try again", retry, "primary"),
                Choice("give_up", "Give up", "keeps what was saved"),
            ),
            detail="\n\n".join(f"{a.kind}: {a.detail}\n{a.remedy}\n{a.diff}".strip() for a in tried),
            back_to=back_to,
        )


def plain(value: Any) -> Any:
    """``value`` as JSON data."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
