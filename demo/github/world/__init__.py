"""Everything people do on GitHub, as Python calls over HTTP: for tests, demos and other processes.

Real git pushes and the real REST API with the person's own token; the admin interface only for what has no
API (accounts, installing Apps, pressing buttons) and for trouble on demand.
"""

from demo.github.world.code import Code
from demo.github.world.connection import Account, WorldError
from demo.github.world.conversations import Conversations
from demo.github.world.observer import Delivery, Observer
from demo.github.world.registry import App, Registry

__all__ = ["Account", "App", "Delivery", "World", "WorldError"]


class World(Registry, Code, Conversations, Observer):
    """A client of one stand-in; see the four parts for what it can do. Threads may share it."""
