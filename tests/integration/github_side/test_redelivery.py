"""Webhook deliveries that did not arrive are asked for again; those that did are left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from faulty_proxy import faulty_proxy
from github_lab import PROGRAM, SPOON, Lab, free_port

from github_app import redelivery
from github_app.models import Delivery
from github_app.moves import utc_now


def later() -> datetime:
    return utc_now() + timedelta(minutes=5)


def away(lab: Lab) -> None:
    """The server cannot be reached."""
    lab.world.app_webhook(lab.app_id, f"http://127.0.0.1:{free_port()}/webhooks/github")


def back(lab: Lab) -> None:
    lab.world.app_webhook(lab.app_id, f"{lab.url}/webhooks/github")


def test_a_push_while_the_server_was_away_is_run_after_all(lab: Lab) -> None:
    lab.work()
    away(lab)
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    assert lab.jobs == []
    back(lab)
    assert redelivery.redeliver(lab.here) == 0  # too soon: it may be on its way
    lab.make_due()
    assert redelivery.redeliver(lab.here, now=later()) > 0
    lab.work()
    assert [job.sha for job in lab.jobs] == [sha]
    lab.make_due()
    assert redelivery.redeliver(lab.here, now=later()) == 0
    guids = [row.guid for row in lab.rows(Delivery)]
    assert len(guids) == len(set(guids))


def test_what_arrived_although_its_answer_was_lost_is_not_asked_for(lab: Lab) -> None:
    lab.work()
    away(lab)
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    back(lab)
    attempts = [row for row in lab.world.deliveries() if row.event in ("push", "check_suite")]
    with lab.here.db.write() as session:
        for row in attempts:
            stored = Delivery(guid=row.guid, event=row.event, payload=b"{}", received_at=utc_now())
            stored.next_try_at = stored.processed_at = utc_now()
            session.add(stored)
    asked = {one.guid for one in redelivery.missing(lab.here.db, redelivery.due(failed(lab), later()))}
    assert not asked & {row.guid for row in attempts}


def failed(lab: Lab) -> list[redelivery.DeliveryFacts]:
    since = utc_now() - redelivery.KEPT
    return list(redelivery.github_site.failed_deliveries(lab.here.github, since))


def test_the_whole_list_is_read_page_by_page(lab: Lab) -> None:
    lab.work()
    away(lab)
    for number in range(3):  # two deliveries each: a push and a check suite
        lab.world.push(SPOON, {**PROGRAM, "n": f"{number}"}, user="alice")
    lab.world.settle()
    path, params = "/app/hook/deliveries", {"per_page": 2, "status": "failure"}
    shape = redelivery.github_site._DELIVERIES
    pages = list(lab.here.github.as_app_pages(path, shape, params))
    ids = [one.id for page in pages for one in page]
    assert len(pages) >= 3
    assert len(ids) == len(set(ids)) >= 5


def test_one_process_at_a_time_asks(lab: Lab) -> None:
    lab.work()
    away(lab)
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    back(lab)
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda _: redelivery.redeliver(lab.here, now=later()), range(4)))
    assert sorted(asked)[:3] == [0, 0, 0]
    assert max(asked) > 0


@pytest.mark.parametrize(
    "fault",
    [{"status": 502}, {"status": 403, "headers": {"retry-after": "60"}}, {"status": 404}, {"drop": True}],
    ids=str,
)
def test_trouble_at_github_only_delays(lab: Lab, fault: dict[str, object]) -> None:
    lab.work()
    away(lab)
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    back(lab)
    lab.world.fault(method="GET", path="/app/hook/deliveries", times=1, **fault)
    assert redelivery.redeliver(lab.here, now=later()) == 0
    lab.make_due()
    lab.rate_limit_over()
    lab.world.fault(method="POST", path="/app/hook/deliveries/", times=1, **fault)
    redelivery.redeliver(lab.here, now=later())
    lab.make_due()
    lab.rate_limit_over()
    redelivery.redeliver(lab.here, now=later())
    lab.work()
    assert len(lab.jobs) == 1


def test_a_line_on_which_deliveries_get_lost_delays_and_doubles_nothing(lab: Lab) -> None:
    with faulty_proxy(seed=3) as line:
        line.upstream = lab.url
        lab.work()
        lab.world.app_webhook(lab.app_id, f"{line.url}/webhooks/github")
        line.share = 0.4
        shas = [
            lab.world.push(SPOON, {**PROGRAM, "n": f"{number}"}, user="alice", branch=f"b{number}")
            for number in range(3)
        ]
        lab.world.settle()
        for _ in range(redelivery.ATTEMPTS_MAX):
            lab.make_due()
            # tomorrow: the pause after any number of failures is over
            redelivery.redeliver(lab.here, now=utc_now() + timedelta(days=1))
            lab.world.settle()
            lab.work()
        assert line.met, "it was no bad line"
    assert sorted(job.sha for job in lab.jobs) == sorted(shas)
