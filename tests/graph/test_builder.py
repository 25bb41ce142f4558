from __future__ import annotations

from pathlib import Path

from langgraph.checkpoint.memory import InMemorySaver

from graph.builder import PICTURE, build, mermaid
from graph.names import Stage

README = Path(__file__).parents[2] / "README.md"


def test_every_stage_has_exactly_one_step() -> None:
    assert sorted(step.stage for step in PICTURE) == sorted(Stage)


def test_the_readme_shows_the_graph_as_it_is() -> None:
    shown = README.read_text("utf-8").split("```mermaid\n")[1].split("\n```")[0]
    assert shown == mermaid(), "run: python -m graph.builder"


def test_the_compiled_graph_has_the_edges_of_the_picture() -> None:
    compiled = build(InMemorySaver()).get_graph()
    edges = {(e.source, e.target) for e in compiled.edges}
    for step in PICTURE:
        for target in step.to:
            assert (step.stage.value, target.value) in edges
    assert ("__start__", Stage.INTAKE.value) in edges


def test_every_stage_can_be_reached_and_can_reach_an_end() -> None:
    to = {step.stage: {*step.to, Stage.FAILED} if step.route else set() for step in PICTURE}
    seen, frontier = {Stage.INTAKE}, [Stage.INTAKE]
    while frontier:
        for target in to[frontier.pop()] - seen:
            seen.add(target)
            frontier.append(target)
    assert seen == set(Stage)
