"""A local stand-in for GitHub: git over HTTP, the REST API as far as Apps need it, webhooks, web pages.

    with serve_in_thread(folder) as github:
        github.world.repository("alice/pendulum")

or as a process: `python -m demo.github --data FOLDER --port 8010`. Written from GitHub's official
description; `tests/contract/test_demo_openapi.py` holds it to that.
"""

from demo.github.server import Running, listening, serve_in_thread
from demo.github.world import World

__all__ = ["Running", "World", "listening", "serve_in_thread"]
