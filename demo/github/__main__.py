"""`python -m demo.github`: the stand-in as a process."""

import argparse
import json
import logging
import signal
import sys
import threading
from pathlib import Path

from demo.github.db import SchemaError
from demo.github.server import Running, listening
from demo.openapi import UnavailableError


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # Blocked before any thread exists, so that only sigwait below sees them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        with listening(
            options.data,
            host=options.host,
            port=options.port,
            conformance=options.conformance,
            api_prefix=options.api_prefix,
            admin_token=options.admin_token,
        ) as running:
            _serve(running, options.app_config)
    except SchemaError as error:
        return _fail(f"{options.data}: {error}")
    except UnavailableError as error:
        return _fail(f"{error}")
    except OSError as error:
        return _fail(f"Cannot serve on {options.host}:{options.port}: {error}. Choose another --port.")
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.github", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the state, made if missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="port to bind (default: a free one)")
    parser.add_argument(
        "--api-prefix", default="/api/v3", help='"/api/v3" as on Enterprise Server, or "" for the root'
    )
    parser.add_argument("--admin-token", help="guards /_admin (default: a random one, see DATA/admin.json)")
    parser.add_argument(
        "--app-config", type=Path, help="JSON of an App to register once: World.app's arguments"
    )
    parser.add_argument("--conformance", action="store_true", help="hold all traffic to GitHub's description")
    return parser.parse_args()


def _serve(running: Running, app_config: Path | None) -> None:
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        if app_config is not None:
            _register(running, json.loads(app_config.read_text()))
        print(f"GitHub stand-in on {running.url} (API {running.api_url})", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    finally:
        running.server.shutdown()
        thread.join()


def _register(running: Running, config: dict[str, object]) -> None:
    """Register the App of a file unless an earlier start did; it brings its own public key."""
    name = str(config.pop("name"))
    if running.world.admin("app-exists", name=name)["exists"]:
        return
    running.world.app(name, **config)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
