"""The ``intern`` command: arguments in, exit code out. Everything heavy is imported by the command that needs it.

Exit codes: 0 done, 1 failed, 2 usage, 3 waiting for a person, 130 cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.wiring import App
    from graph.state import Request

    Command = Callable[[App, argparse.Namespace], Awaitable[int]]
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

OK, FAILED, USAGE, WAITING, CANCELLED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from bot.errors import BotError, UsageError
    from bot.settings import SettingsError
    from graph.errors import GraphError, RunNotFound
    from remote.backend import BackendError

    try:
        return asyncio.run(_main(args))
    except (UsageError, RunNotFound, SettingsError) as error:
        _complain(str(error))
        return USAGE
    except (BotError, GraphError, BackendError) as error:
        _complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        _complain(
            "Stopped watching; nothing is lost. `intern resume RUN` goes on, `intern cancel RUN` stops the run."
        )
        return CANCELLED


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="intern", description="A machine-learning intern: one sentence in, a model out."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_run, _add_steering, _add_afterwards, _add_publishing, _add_serving):
        add(commands)
    return top


def _add_run(commands: Commands) -> None:
    run = commands.add_parser("run", help="start a run")
    run.add_argument("sentence", help="what you want, in one sentence")
    run.add_argument("--data", metavar="FILE|HUB_ID", help="your file, or a data set of the Hub")
    run.add_argument("--target", metavar="COL", help="the column to learn")
    run.add_argument("--text", metavar="COL", help="the column to learn from")
    run.add_argument("--model", metavar="HUB_ID|DIR", help="the base model to start from; else I choose one")
    run.add_argument(
        "--paper", metavar="PDF|ARXIV", help="follow this paper: a PDF file, or an arXiv number or address"
    )
    run.add_argument("--budget", metavar="USD", type=float, help="at most this many US dollars")
    run.add_argument("--minutes", metavar="N", type=float, help="at most this long for training")
    run.add_argument(
        "--yes", action="store_true", help="answer every question with its default; never spends or shows"
    )
    run.add_argument("--out", metavar="DIR", help="put a copy of the finished files here")
    run.add_argument(
        "--publish-to", metavar="PLACE", help="folder:PATH or hub:OWNER/NAME; asked again before it is done"
    )
    run.add_argument("--seed", type=int, default=0, help="of splits and training (default 0)")
    run.add_argument(
        "--allow-unisolated", action="store_true", help="run jobs without a sandbox where there is none"
    )
    _json(run)


def _add_steering(commands: Commands) -> None:
    for name, text in (
        ("resume", "go on after a crash, a failure or a decision"),
        ("show", "one run's story so far"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("run", metavar="RUN")
        _json(command)
    runs = commands.add_parser("runs", help="the runs, newest first")
    runs.add_argument("--spend", action="store_true", help="what was spent and committed, by month")
    decide = commands.add_parser("decide", help="answer a run's open question")
    decide.add_argument("run", metavar="RUN")
    decide.add_argument(
        "choice", metavar="CHOICE", nargs="+", help="a choice's name or number, or your own words"
    )
    _json(decide)
    cancel = commands.add_parser("cancel", help="stop a run")
    cancel.add_argument("run", metavar="RUN")


def _add_afterwards(commands: Commands) -> None:
    ask = commands.add_parser("try", help="ask a run's model")
    ask.add_argument("run", metavar="RUN")
    ask.add_argument("text", nargs="+", metavar="TEXT")
    ask.add_argument("--allow-unisolated", action="store_true", help=argparse.SUPPRESS)
    child = commands.add_parser(
        "again", help="a new run on the same data with a change, or with a suggestion"
    )
    child.add_argument("run", metavar="RUN")
    child.add_argument(
        "change", metavar="CHANGE", nargs="+", help="a suggestion's name, or such as: epochs=1"
    )
    _json(child)
    again = commands.add_parser("reproduce", help="train again from the recorded inputs and compare")
    again.add_argument("run", metavar="RUN")
    again.add_argument("--fresh", action="store_true", help="fetch data and base model again, same revisions")


def _add_publishing(commands: Commands) -> None:
    publish = commands.add_parser("publish", help="publish a run that asks whether to, or list what would go")
    publish.add_argument("run", metavar="RUN")
    publish.add_argument("place", metavar="PLACE", nargs="?", help="folder:PATH or hub:OWNER/NAME")
    publish.add_argument("--dry-run", action="store_true", help="list each file with its size; send nothing")
    publish.add_argument("--public", action="store_true", help="for everyone, not only for those you invite")
    _json(publish)
    back = commands.add_parser("unpublish", help="take back what a run published")
    back.add_argument("run", metavar="RUN")
    back.add_argument("--keep", action="store_true", help="make it private instead of deleting it")
    back.add_argument("--yes", action="store_true", help="do not ask again")


def _add_serving(commands: Commands) -> None:
    doctor = commands.add_parser("doctor", help="what works here, and how to mend what does not")
    doctor.add_argument("--sweep", action="store_true", help="stop rented jobs that no run owns any more")
    commands.add_parser("slack", help="serve Slack; with SQLite, move its runs too")
    commands.add_parser("discord", help="serve Discord; with SQLite, move its runs too")
    commands.add_parser("worker", help="move every run that can move")
    commands.add_parser("serve", help="all of it in one process")
    commands.add_parser("release", help="bring the database up to date (before a new version starts)")


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="each event is a line on stdout; words go to stderr"
    )


def request_from(args: argparse.Namespace, requester: str) -> Request:
    from graph.state import Request

    return Request(
        sentence=args.sentence,
        requester=requester,
        surface="console",
        data=args.data,
        text_column=args.text,
        target=args.target,
        budget_usd=args.budget,
        minutes=args.minutes,
        yes=args.yes,
        out=args.out,
        publish_to=args.publish_to,
        allow_unisolated=args.allow_unisolated,
        seed=args.seed,
        paper=args.paper,
        base_model=args.model,
    )


async def _main(args: argparse.Namespace) -> int:
    from bot.settings import load_settings
    from bot.wiring import open_app

    settings = load_settings()
    if args.command == "doctor" and not args.sweep:
        from bot.doctor import examine, render_checks
        from bot.wiring import probes

        return render_checks(await examine(settings, probes(settings)), sys.stdout)
    async with open_app(settings) as app:
        command: Command = _COMMANDS[args.command]
        return await command(app, args)


async def _run(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session, local_user

    run = await app.dispatch.start(request_from(args, local_user()))
    return await Session(app.dispatch, as_json=args.json).follow(run.id)


async def _resume(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session

    run = await app.dispatch.find(args.run)
    return await Session(app.dispatch, as_json=args.json).follow(run.id, after=await _last_seq(app, run.id))


async def _show(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session

    run = await app.dispatch.find(args.run)
    return await Session(app.dispatch, as_json=args.json).show(run.id)


async def _runs(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session

    session = Session(app.dispatch)
    if args.spend:
        session.list_spend(await app.dispatch.ledger(), app.deps.budgets)
    else:
        session.list_runs(await app.dispatch.runs())
    return OK


async def _decide(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session, local_user

    run = await app.dispatch.find(args.run)
    last = await _last_seq(app, run.id)
    await app.dispatch.decide(run.id, " ".join(args.choice), actor=local_user(), surface="console")
    return await Session(app.dispatch, as_json=args.json).follow(run.id, after=last)


async def _cancel(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import local_user

    run = await app.dispatch.find(args.run)
    run = await app.dispatch.cancel(run.id, actor=local_user(), surface="console")
    print(f"{run.id}: {run.status if run.status.ended else 'will stop within a second'}")
    return OK


async def _try(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session

    run = await app.dispatch.find(args.run)
    answers = await app.dispatch.predict(run.id, args.text, allow_unisolated=args.allow_unisolated)
    Session(app.dispatch).predictions(answers)
    return OK


async def _reproduce(app: App, args: argparse.Namespace) -> int:
    run = await app.dispatch.find(args.run)
    report = await app.dispatch.reproduce(run.id, fresh=args.fresh)
    print(report.words())
    return OK if report.agrees else FAILED


async def _publish(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session, local_user
    from bot.errors import UsageError

    run = await app.dispatch.find(args.run)
    if args.dry_run:
        Session(app.dispatch).planned(*await app.dispatch.preview(run.id, args.place))
        return OK
    if args.place and args.public:
        raise UsageError("A place of its own is published to in private: leave out --public, or PLACE.")
    last = await _last_seq(app, run.id)
    choice = args.place or ("public" if args.public else "private")
    await app.dispatch.decide(run.id, choice, actor=local_user(), surface="console")
    return await Session(app.dispatch, as_json=args.json).follow(run.id, after=last)


async def _unpublish(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import local_user

    run = await app.dispatch.find(args.run)
    if not args.yes and not _confirmed(f"{'Hide' if args.keep else 'Delete'} what run {run.id} published?"):
        print("Nothing was changed.")
        return CANCELLED
    said = await app.dispatch.unpublish(run.id, actor=local_user(), surface="console", keep=args.keep)
    print("\n".join(said))
    return OK


def _confirmed(question: str) -> bool:
    """Whether somebody at the terminal says yes; the end of input is a no."""
    print(f"{question} Type yes: ", end="", flush=True)
    return sys.stdin is not None and sys.stdin.readline().strip().casefold() in ("y", "yes")


async def _again(app: App, args: argparse.Namespace) -> int:
    from bot.console.session import Session, local_user

    run = await app.dispatch.find(args.run)
    overrides = await app.dispatch.change(run.id, " ".join(args.change))
    child = await app.dispatch.again(
        run.id, overrides, actor=local_user(), name="", surface="console", channel=None
    )
    return await Session(app.dispatch, as_json=args.json).follow(child.id)


async def _sweep(app: App, args: argparse.Namespace) -> int:
    said = await app.dispatch.sweep()
    print("\n".join(said) or "No rented job is left over.")
    return OK


async def _worker(app: App, args: argparse.Namespace) -> int:
    from bot.worker import stop_on_signals, work

    await work(app.dispatch, print, stop_on_signals())
    return OK


async def _slack(app: App, args: argparse.Namespace) -> int:
    from bot.serving import serve

    return await serve(app, ("slack",), print)


async def _discord(app: App, args: argparse.Namespace) -> int:
    from bot.serving import serve

    return await serve(app, ("discord",), print)


async def _serve(app: App, args: argparse.Namespace) -> int:
    from bot.serving import configured, serve

    return await serve(app, configured(app.settings), print)


async def _release(app: App, args: argparse.Namespace) -> int:
    print("The database is up to date.")  # opening the store migrated it
    if app.settings.discord_token:
        from bot.serving import surface_module

        await surface_module("discord", "sync").release(app, print)
    return OK


async def _last_seq(app: App, run_id: str) -> int:
    events = await app.dispatch.events(run_id)
    return events[-1].seq if events else -1


_COMMANDS = {
    "run": _run,
    "resume": _resume,
    "show": _show,
    "runs": _runs,
    "decide": _decide,
    "cancel": _cancel,
    "try": _try,
    "again": _again,
    "reproduce": _reproduce,
    "publish": _publish,
    "unpublish": _unpublish,
    "doctor": _sweep,
    "worker": _worker,
    "slack": _slack,
    "discord": _discord,
    "serve": _serve,
    "release": _release,
}


def _complain(text: str) -> None:
    print(f"intern: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
