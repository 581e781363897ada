"""Serves the emulator until it is interrupted: ``python -m ubiops.emulator``."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence

from ubiops.emulator import Emulator
from ubiops.emulator.quotas import LIMITED
from ubiops.emulator.web.document import GENERATIONS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the emulator with the options of the command line."""
    options = _parser().parse_args(arguments)
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    try:
        emulator = Emulator(**vars(options))
    except (OSError, ValueError) as error:
        raise SystemExit(f"The emulator can't start: {error}") from error
    with emulator:
        print(f"UBIOPS_API_HOST={emulator.url}")
        print(f"UBIOPS_API_TOKEN='{emulator.token}'")
        print("The emulator is ready. Stop it with Ctrl-C.", flush=True)
        interrupted.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ubiops.emulator", description="Emulates UbiOps on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--data-dir", help="directory for the state (default: a temporary one)")
    parser.add_argument("--token", help="API token to accept (default: a random one)")
    parser.add_argument(
        "--generation",
        choices=GENERATIONS,
        help="the version of the client whose service to emulate (default: all, at /v2.1 and /v2)",
    )
    parser.add_argument("--project", help="name of a project to create, unless it exists")
    parser.add_argument(
        "--install-requirements",
        action="store_true",
        help="install requirements.txt with pip, in virtual environments (default: they must be installed here)",
    )
    parser.add_argument(
        "--allow-webhooks",
        action="append",
        default=[],
        metavar="HOST",
        help="let webhooks send to this host; may be repeated (default: to this machine only)",
    )
    parser.add_argument(
        "--quota",
        dest="quotas",
        type=_quota,
        action="append",
        default=[],
        metavar="KIND=NUMBER",
        help=f"limit a kind of resource per project: {', '.join(LIMITED)}; may be repeated (default: no limits)",
    )
    return parser


def _quota(text: str) -> tuple[str, int]:
    kind, _, number = text.partition("=")
    return kind, int(number)


if __name__ == "__main__":
    main()
