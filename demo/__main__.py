"""`make demo`: the main job of RaaS, the whole way, on one machine and with real parts.

A stand-in for GitHub, the server, a controller with a simulated pendulum and a runner start as processes.
A repository is pushed with real git, a pull request gets the comment `/raas run`, and the check runs that
come back are printed with the addresses where a person can look at them.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from time import monotonic
from types import FrameType
from typing import Any

from demo.processes import StartError, script
from demo.stack import REPOSITORY, Stack

MARKER = ".raas-demo"
OWNER, NAME = "ada", "spoon"
FULL_NAME = f"{OWNER}/{NAME}"
JOB_LIMIT_S = 180
"""Both jobs of the demo take about 25 s each; a slow machine gets more."""
MARKS = {"success": "✓", "failure": "✗", "timed_out": "✗"}


class _Interrupted(BaseException):  # not an error: Ctrl-C or SIGTERM
    """Raised in the main thread to unwind to where everything is stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if both check runs succeeded."""
    options = _parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stack: Stack | None = None
    try:
        data = _fresh(options.data)
        _build_image()
        stack = Stack(data, github_port=options.github_port, server_port=options.port)
        return _demonstrate(stack, options.once)
    except _Interrupted:
        _say("interrupted")
        return 130
    except (StartError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if stack is not None:
            _say("stopping everything")
            stack.stop()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=…", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="end after the check runs; exit 0 if they succeeded"
    )
    parser.add_argument("--port", type=int, default=8000, help="of the server; a free one if it is taken")
    parser.add_argument("--github-port", type=int, default=8010, help="of the stand-in for GitHub")
    parser.add_argument("--data", type=Path, default=REPOSITORY / ".demo", help="everything is kept there")
    return parser.parse_args(arguments)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)  # the clean-up must not be cut short by a second Ctrl-C
    raise _Interrupted


def _fresh(data: Path) -> Path:
    """An empty folder at `data`; a demo's leftovers are removed, anything else is not touched."""
    if data.exists() and any(data.iterdir()):
        if not (data / MARKER).exists():
            raise StartError(f"{data} holds other files: name another folder with --data")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARKER).touch()
    return data


def _build_image() -> None:
    _say("building the containers' base image (cached after the first time)")
    if subprocess.run([script("raas-runner"), "image", "build"], check=False).returncode:
        raise StartError("the base image could not be built; what is missing is said above")


def _demonstrate(stack: Stack, once: bool) -> int:
    _start(stack)
    world = stack.world
    world.user(OWNER)
    world.repository(FULL_NAME)
    world.install(stack.app.id, FULL_NAME)

    _say(f"git push: examples/energy-shaping to {FULL_NAME}")
    pushed = world.push(
        FULL_NAME, tree=REPOSITORY / "examples" / "energy-shaping", user=OWNER, message="Swing up and balance"
    )
    first = _await(stack, pushed, "push")

    _say("a pull request, and the comment `/raas run`")
    changed = world.push(
        FULL_NAME,
        {"NOTES.md": "Does it balance as well as main? Ask the robot.\n"},
        user=OWNER,
        branch="ask-the-robot",
        message="Ask the robot",
    )
    pull = world.open_pull(FULL_NAME, head="ask-the-robot", user=OWNER, title="Ask the robot")
    world.comment(FULL_NAME, pull["number"], "/raas run", user=OWNER)
    second = _await(stack, changed, "comment")

    _report(stack, [first, second], world.web_url(f"/{FULL_NAME}/pull/{pull['number']}"))
    if not once:
        _say("everything is still running; Ctrl-C ends it")
        Event().wait()
    return 0 if all(run["conclusion"] == "success" for run in (first, second)) else 1


def _start(stack: Stack) -> None:
    for what, step in (
        ("stand-in for GitHub", stack.start_github),
        ("GitHub App from app.yml", stack.make_app),
        ("server", stack.start_server),
        ("controller with a simulated pendulum", stack.start_controller),
        ("runner: one-time token", stack.register_runner),
        ("runner", stack.start_runner),
    ):
        _say(f"starting: {what}")
        step()


def _await(stack: Stack, sha: str, trigger: str) -> dict[str, Any]:
    """The finished check run at `sha`; its progress is printed on the way."""
    deadline, shown = monotonic() + JOB_LIMIT_S, ""
    pause = Event()
    while monotonic() < deadline:
        for name, process in stack.processes.items():
            if not process.running:
                raise StartError(f"{name} ended; the end of {process.log}:\n{process.tail()}")
        runs = stack.world.check_runs(FULL_NAME, sha, app_id=stack.app.id)
        if runs:
            run = runs[0]
            now = f"{run['status']}: {run['output']['title'] or ''}"
            if now != shown:
                print(f"    {trigger} {sha[:7]}  {now}", flush=True)
                shown = now
            if run["status"] == "completed":
                return dict(run)
        pause.wait(0.25)
    raise TimeoutError(
        f"no finished check run for {sha[:7]} after {JOB_LIMIT_S} s; logs are in {stack.data}/logs"
    )


def _report(stack: Stack, runs: list[dict[str, Any]], pull_url: str) -> None:
    print()
    for run in runs:
        mark = MARKS.get(run["conclusion"], "•")
        print(f"{mark} {run['conclusion']}: {run['output']['title']}")
        print(f"    check run     {run['html_url']}")
        print(f"    job page      {run['details_url']}")
    print(f"  pull request    {pull_url}")
    print(f"  queue           {stack.url}/", end="\n\n", flush=True)


def _say(what: str) -> None:
    print(f"\033[1m==>\033[0m {what}" if sys.stdout.isatty() else f"==> {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
