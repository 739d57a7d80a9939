"""What was delivered, and trouble on demand."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo.github.world.connection import POLL_S, Connection, Json, WorldError


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver a webhook; `status` is None while it waits, "OK" after a 2xx."""

    id: int
    guid: str
    event: str
    action: str | None
    status: str | None
    status_code: int
    redelivery: bool
    installation_id: int | None
    repository_id: int | None
    headers: Json
    payload: Json
    response: str | None


class Observer(Connection):
    """What a test wants to see and to break."""

    def deliveries(self, event: str | None = None) -> list[Delivery]:
        """Return all attempts, oldest first, those that wait included."""
        return [_delivery(row) for row in self.admin("deliveries", event=event)]

    def wait_deliveries(
        self, wanted: Callable[[list[Delivery]], bool], timeout_s: float = 10
    ) -> list[Delivery]:
        """Wait until the list of deliveries is as wanted, and return it."""
        deadline = time.monotonic() + timeout_s
        while not wanted(found := self.deliveries()):
            if time.monotonic() > deadline:
                seen = [f"{it.event}.{it.action}: {it.status}" for it in found]
                raise WorldError(f"After {timeout_s} s the deliveries are not as wanted: {seen}")
            time.sleep(POLL_S)
        return found

    def settle(self, timeout_s: float = 10) -> list[Delivery]:
        """Wait until no delivery is pending."""
        return self.wait_deliveries(lambda found: all(it.status is not None for it in found), timeout_s)

    def redeliver(self, delivery_id: int) -> None:
        """Click "Redeliver": the same GUID and payload once more."""
        self.admin("redeliver", delivery_id=delivery_id)

    def expire_tokens(self) -> None:
        """Let every installation token's hour be over."""
        self.admin("expire-tokens")

    def fault(self, **fields: Any) -> None:
        """Let the next matching API requests fail; the fields are those of `faults.Fault`."""
        self.admin("fault", **fields)

    def clear_faults(self) -> None:
        """Let everything work again."""
        self.admin("clear-faults")

    def violations(self) -> list[str]:
        """Return what did not fit GitHub's description so far; the stand-in must run with conformance."""
        found: list[str] = self.admin("violations")
        return found

    def rate_limit(self, *, remaining: int, reset_in_s: int) -> None:
        """Leave every known token so many requests until the reset."""
        self.admin("limit", remaining=remaining, reset_in_s=reset_in_s)

    def content_limit(self, per_minute: int) -> None:
        """Set how much content a minute a token may create; 0: no limit."""
        self.admin("limit", content_per_minute=per_minute)


def _delivery(row: Json) -> Delivery:
    names = ("id", "guid", "event", "action", "status", "status_code", "redelivery")
    return Delivery(
        **{name: row[name] for name in names},
        installation_id=row["installation_id"],
        repository_id=row["repository_id"],
        headers=row["request"]["headers"],
        payload=row["request"]["payload"],
        response=row["response"]["payload"],
    )
