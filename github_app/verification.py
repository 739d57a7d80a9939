"""Large files that their store took unread: looked at soon after their upload, and before they are served.

A confirmed file changes no more (`stores.Store.confirm`), so the runner need not wait until the server has
read it. That is done beside; whoever asks for a file earlier waits for it. A file whose content is not what
was offered is given up, as if it had never come. Several processes may look at one file: they see the same.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from github_app import artifacts, previews
from github_app.logs import about
from github_app.models import Artifact
from github_app.moves import utc_now
from github_app.services import Services
from github_app.stores import StoreError, UploadRefusedError

log = logging.getLogger(__name__)

TOPIC = "uploads"
BATCH = 20
PATIENCE = timedelta(seconds=60)
"""For so long a job's files wait for the others to arrive: a runner that uploads needs the store more."""


def sweep(here: Services) -> int:
    """Look at those that wait longest.

    Returns:
        How many were looked at; 0 where none waits, or the store is away.
    """
    other = aliased(Artifact)
    still_uploading = exists().where(
        other.job_id == Artifact.job_id, other.attempt == Artifact.attempt, other.stored_at.is_(None)
    )
    due = select(Artifact).where(
        Artifact.stored_at.is_not(None),
        Artifact.verified_at.is_(None),
        ~still_uploading | (Artifact.stored_at < utc_now() - PATIENCE),
    )
    with here.db.read() as session:
        rows = list(session.scalars(due.order_by(Artifact.stored_at).limit(BATCH)))
    done = 0
    for row in rows:
        try:
            serves(here, row)
        except StoreError as error:
            log.warning("%s", error, extra=about(row.job_id))
        else:
            done += 1
    return done


def serves(here: Services, row: Artifact) -> bool:
    """Whether a stored file may be served: its content is what was offered. Looks, where nobody has yet.

    Raises:
        StoreError: It cannot be read now.
    """
    if row.verified_at is not None:
        return True
    blob = artifacts.blob_of(row)
    try:
        here.store.verify(blob)
    except UploadRefusedError as error:
        log.warning("the file %s is given up: %s", row.name, error, extra=about(row.job_id))
        with here.db.write() as session:
            if (found := session.get(Artifact, row.id)) is not None:
                artifacts.give_up(found, blob)
        return False
    head = previews.head(here.store, blob, row.name)
    with here.db.write() as session:
        if (found := session.get(Artifact, row.id)) is not None:
            artifacts.mark_verified(found, blob, head, utc_now())
    return True
