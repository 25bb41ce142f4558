"""What the research stage does about papers, and the audit about prior results.

A paper that a person named is read or asked about; one that was found by search is a courtesy, and the run goes on
without it. The PDF is parsed in a sandboxed job. Its text is data: it never starts, skips or answers anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graph import jobs
from graph.context import Context, plain
from graph.errors import GraphError, SourceError, StageFailed
from graph.files import read_json, write_json
from graph.inputs import LIGHT
from graph.literature import Paper, PaperFile, Reported
from graph.llm.model import LlmError
from graph.llm.spending import answer_about_llm, ask, note_failure, permitted
from graph.names import DecisionKind, EventType, FailureKind, Stage
from graph.research.papers.following import followed, undecided
from graph.research.papers.matching import from_paper
from graph.research.papers.reading import paper_of
from graph.research.papers.reference import reference
from graph.research.papers.refining import pages_of, prompt_for, refined
from graph.stages.reach import check_reach
from graph.state import Answer, Choice, DataFiles, Question, RunState, answered_about
from remote.backend import BackendError, Input, Program

SLUG = "paper"
WITHOUT = "without_paper"


def answer_about_paper(state: RunState) -> Answer | None:
    """The answer to this module's question, if it is the one just given."""
    return answered_about(state, SLUG)


async def read_paper(state: RunState, context: Context) -> RunState:
    """``paper`` and ``papers_done``; or a ``question`` where a named paper cannot be read."""
    if state.get("papers_done"):
        return RunState()
    answer = answer_about_paper(state)
    if answer and answer.value == WITHOUT:
        return RunState(paper=None, papers_done=True)
    if answer_about_llm(state) and (read := state.get("paper")):
        return await _refined(state, context, read)
    wanted = state["request"].paper or state["task"].paper
    if answer and answer.value != "retry":
        wanted = answer.value
    try:
        found, named = (wanted, True) if wanted else (await _search(state, context), False)
        paper = await _read(state, context, found, named=named) if found else None
    except (SourceError, StageFailed, BackendError) as error:
        if wanted is None:
            await context.note(f"I read no paper: {error.detail}")
            return RunState(paper=None, papers_done=True)
        return RunState(question=_ask(context, error), answer=None)
    return await _refined(state, context, paper)


async def _search(state: RunState, context: Context) -> str | None:
    literature = context.deps.literature
    return await literature.search(state["task"]) if literature else None


async def _read(state: RunState, context: Context, wanted: str, *, named: bool) -> Paper:
    literature = context.deps.literature
    if literature is None:
        raise SourceError("I cannot read papers here.", "Go on without it.", FailureKind.DENIED)
    if (named_paper := reference(wanted)) and named_paper.kind == "file":
        check_reach(
            named_paper.id, state["request"].files_below, "Name it by its arXiv number, such as 2003.04807."
        )
    folder = context.dir / "raw" / "paper"
    file = await literature.fetch(wanted, folder)
    body = await _parsed(context, file, state["request"].allow_unisolated)
    paper = paper_of(
        body, id=file.id, source=file.source, url=file.url, sha256=file.sha256, named=named, licence=file.licence
    )  # fmt: skip
    urls = [str(fact.value) for fact in paper.facts if fact.field == "link"]
    paper = replace(paper, title=file.title or paper.title, linked=await literature.licences(urls))
    write_json(context.dir / "paper.json", {**body, **_beside(paper)})
    await _told(state, context, paper)
    return paper


async def _told(state: RunState, context: Context, paper: Paper, name: str = "") -> None:
    """``name``: tells a second telling from the first."""
    await context.say(
        EventType.PAPER_READ,
        name,
        paper=plain(paper),
        follows=list(followed(paper, _recipe_has(state, context))) if paper.named else [],
        undecided=undecided(paper),
        path="paper.json",
    )


async def _refined(state: RunState, context: Context, paper: Paper | None) -> RunState:
    """What a language model reads in a paper that a person named; or the question whether it may be asked. It gets
    no file of a person who said that the data stays here."""
    done = RunState(paper=paper, papers_done=True)
    here = paper is not None and paper.source == "file" and state["task"].constraints.private_data
    if paper is None or not paper.named or here or context.deps.llm is None:
        return done
    pages = pages_of(read_json(context.dir / "work" / "paper" / "pages.json"))
    prompt = prompt_for(paper, pages)
    if not any(text.strip() for text in pages.values()):
        return done  # a scan: there is nothing to read
    allowed = await permitted(state, context, prompt)
    if isinstance(allowed, Question):
        return RunState(paper=paper, question=allowed, answer=None)
    if not allowed:
        return done
    try:
        found = await ask(state, context, prompt)
    except LlmError as error:
        await note_failure(context, error, "I go on with what the rules found in the paper.")
        return done
    read = refined(paper, found, pages, context.deps.llm.name)
    if read.dropped:
        left = "One finding" if read.dropped == 1 else f"{read.dropped} findings"
        await context.note(
            f"{left} of the language model left out: the words or the value do not stand on the page."
        )
    if read.paper != paper:
        body = read_json(context.dir / "paper.json")
        by = {
            "by": context.deps.llm.name,
            "facts": plain(read.paper.facts),
            "results": plain(read.paper.results),
        }
        write_json(context.dir / "paper.json", {**(body if isinstance(body, dict) else {}), "refined": by})
        await _told(state, context, read.paper, "refined")
    return RunState(paper=read.paper, papers_done=True)


def _beside(paper: Paper) -> dict[str, Any]:
    """What ``paper.json`` has besides the facts that the job found."""
    names = ("title", "id", "source", "url", "sha256", "named", "licence", "linked")
    return {name: plain(getattr(paper, name)) for name in names}


def _recipe_has(state: RunState, context: Context) -> tuple[str, ...]:
    family = state["task"].family
    if family is None:
        return _KNOWN
    return tuple(context.deps.recipes.for_family(family).defaults())


_KNOWN = ("learning_rate", "epochs", "batch_size")  # what every recipe has, before the data says the family


async def _parsed(context: Context, file: PaperFile, allow_unisolated: bool) -> Mapping[str, Any]:
    out = context.dir / "work" / "paper"
    name = file.id if file.source == "file" else f"arXiv {file.id}"
    await jobs.run(
        context,
        f"paper-{file.sha256[:12]}",
        (Program("paper", "paper", {"file": "in/paper.pdf", "name": name}),),
        (Input("paper.pdf", file.path),),
        LIGHT,
        out,
        allow_unisolated=allow_unisolated,
    )
    body = read_json(out / "paper.json")
    if not isinstance(body, dict):
        raise StageFailed(f"What was read of {name} is damaged.", "Try again.")
    return body


def _ask(context: Context, error: GraphError | BackendError) -> Question:
    return context.question(
        DecisionKind.CLARIFY,
        Stage.NEEDS_HUMAN,
        f"I could not read the paper. {error.detail} {error.hint} Shall I go on without it? You can also name another "
        "one: a PDF file or an arXiv number.",
        (
            Choice(WITHOUT, "Go on without it", "plans as usual", "primary"),
            Choice("retry", "Try again"),
            Choice("cancel", "Cancel", style="danger"),
        ),
        slug=SLUG,
        default=WITHOUT,
        free_text=True,
        back_to=Stage.RESEARCH,
    )


async def prior_results(state: RunState, context: Context, data: DataFiles) -> tuple[Reported, ...]:
    """What others published for the data: cards of Hub models, and the paper that was read."""
    literature, paper = context.deps.literature, state.get("paper")
    reported: tuple[Reported, ...] = ()
    if literature is not None:
        try:
            reported = await literature.reported(data.candidate)
        except SourceError as error:
            await context.note(f"I found no prior results: {error.detail}")
    reported += from_paper(paper, data.candidate) if paper else ()
    if reported:
        await context.say(EventType.PRIOR_RESULTS, reported=reported, data=data.candidate.title)
    return reported
