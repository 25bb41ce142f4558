"""A worker in a process of its own, so that it can be killed: ``python -m tests.graph.modal_worker HOME``.

It advances the run "r1" in the small world of the graph's tests, with Modal (a stand-in, by the environment) before
this machine. The training is a script that says an epoch, opens the pipe ``HOME/said``, and waits for somebody at
``HOME/go``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from graph.driver import Driver
from graph.names import TaskFamily
from remote.backend import Backend
from tests.graph.test_paid import Slow
from tests.graph.world import FakeRecipe, World, good_script
from tests.modalserver.world import backend_for

SCRIPT = """
import json, pathlib

EMPTY = "\\2" + 7 * "\\0" + "{{}}"  # a safetensors file without a tensor

def say(seq, type_, **body):
    print(json.dumps({{"v": 1, "seq": seq, "t": "", "type": type_, "stage": "train", **body}}), flush=True)

say(0, "started")
say(1, "epoch", epoch=1.0, metrics={{"macro_f1": 0.8}})
open({said!r}, "w").close()
open({go!r}).read()
for name, text in {{"model/config.json": "{{}}", "model/model.safetensors": EMPTY, "schedule.json": "{{}}",
                   "training.json": "{{}}", "validation_predictions.csv": "row_id"}}.items():
    path = pathlib.Path("out", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
metrics = {{"macro_f1": 0.9}}
say(2, "result", data={{"metric": "macro_f1", "metrics": metrics, "epochs": 1, "best_epoch": 1, "seconds": 30.0}})
"""


@dataclass(frozen=True)
class Recipes:
    folder: Path

    def for_family(self, family: TaskFamily) -> FakeRecipe:
        script, companion = self.folder / "recipe.py", self.folder / "inference.py"
        script.write_text(SCRIPT.format(said=str(self.folder / "said"), go=str(self.folder / "go")))
        companion.write_text("")
        return FakeRecipe("text_classification", ("binary",), script, (companion,))


@asynccontextmanager
async def worker(world: World) -> AsyncIterator[Driver]:
    modal = backend_for()
    try:
        async with world.process() as driver:
            backends: list[Backend] = [modal, Slow(good_script(), 7200.0)]
            driver.deps = replace(driver.deps, backends=backends, recipes=Recipes(world.home))
            yield driver
    finally:
        await modal.aclose()


async def main(home: Path) -> None:
    async with worker(World(home)) as driver:
        await driver.advance("r1")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
