"""Artifacts in an S3 bucket. The only module that names boto3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from github_app.config import Settings
from github_app.stores import UPLOAD_VALID_S, Blob, Delivery, StoreError, UploadRefusedError, job_prefix
from runner.protocol import ArtifactUpload

DOWNLOAD_VALID_S = 300
PIECE = 1 << 20
CONNECT_S, READ_S = 4.0, 8.0
"""For a store that takes connections and says nothing [s]: two tries end before a runner gives up on us."""

_PROBE = b"probe"
_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError)


class S3Store:
    """A bucket; files come and go by presigned addresses, past the server.

    Credentials come from where boto3 looks for them (environment, files, instance role).

    Args:
        settings: Names the bucket and the endpoints.
    """

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.artifacts)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        config = Config(
            signature_version="s3v4",
            # Other stores than Amazon's do not know the checksums that boto3 adds by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"total_max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
        )
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"
        inside = settings.s3_endpoint_url
        self._amazon = inside is None
        outside = settings.s3_public_endpoint_url or inside
        self._client: Any = session.client("s3", region, endpoint_url=inside, config=config)
        self._signer: Any = (
            self._client
            if inside == outside
            else session.client("s3", region, endpoint_url=outside, config=config)
        )

    @cached_property
    def origin(self) -> str:
        """Of the endpoint that browsers are sent to; empty without credentials, for then no file comes."""
        try:
            parts = urlsplit(self.address(Blob("x", 0, ""), Delivery("text/plain", "inline")))
        except _ERRORS:
            return ""
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def verifies(self) -> bool:
        """Whether the store refuses content of another SHA-256 than is claimed; found by trying.

        Amazon's does. Some keep whatever checksum the uploader claims (rclone's does).

        Raises:
            StoreError: It does not answer now.
        """
        if self._amazon:
            return True
        name = self._object(Blob(f"probe-{secrets.token_hex(4)}", 0, ""))
        try:
            refused = self._refuses(name)
            if refused:
                self._client.put_object(**name, Body=_PROBE, ChecksumSHA256=_checksum(_PROBE))
            head = self._client.head_object(**name, ChecksumMode="ENABLED")
            self._client.delete_object(**name)
        except _ERRORS as error:
            raise StoreError(f"the artifact store does not answer ({error}); try again later") from error
        return refused and head.get("ChecksumSHA256") == _checksum(_PROBE)

    def _refuses(self, name: dict[str, str]) -> bool:
        try:
            self._client.put_object(**name, Body=_PROBE, ChecksumSHA256=_checksum(b"another"))
        except ClientError as error:
            if _status(error) != 400:
                raise
            return True
        return False

    def begin(self, blob: Blob) -> Blob:
        """A multipart upload to a place of its own; nothing where the store checks what comes."""
        if self.verifies:
            return blob
        begun = replace(blob, key=f"{blob.key[: -len(blob.sha256)]}{secrets.token_hex(16)}")
        with _telling():
            answer = self._client.create_multipart_upload(
                **self._object(begun), ContentType="application/octet-stream"
            )
        return replace(begun, ticket=answer["UploadId"])

    def upload(self, blob: Blob) -> ArtifactUpload:
        """A presigned PUT. Length, type and claimed SHA-256 are signed, so the store refuses others.

        One that does not look at the content would let the address be used again, as long as it is valid, to
        put something else in a confirmed file's place. There the address is that of the one part of a
        multipart upload: once `confirm` has closed that, the address leads nowhere.
        """
        checksum = base64.b64encode(bytes.fromhex(blob.sha256)).decode()
        what = {**self._object(blob), "ContentLength": blob.size}
        headers = {"Content-Length": str(blob.size)}
        if blob.ticket is None:
            what |= {"ContentType": "application/octet-stream", "ChecksumSHA256": checksum}
            headers |= {"Content-Type": "application/octet-stream", "x-amz-checksum-sha256": checksum}
            url = self._signer.generate_presigned_url("put_object", what, UPLOAD_VALID_S)
        else:
            what |= {"UploadId": blob.ticket, "PartNumber": 1}
            url = self._signer.generate_presigned_url("upload_part", what, UPLOAD_VALID_S)
        return ArtifactUpload(url=url, headers=headers)

    def confirm(self, blob: Blob) -> bool:
        """By the store's own checksum; one that has none closes the upload, and is read later."""
        if blob.ticket is None and not self.verifies:
            raise UploadRefusedError("no upload of the file was begun; offer it again")
        with _telling():
            if blob.ticket is None:
                size, sha256 = self._told(blob)
                _compare(blob, size, sha256)
                return True
            self._close(blob, blob.ticket)
        return False

    def _close(self, blob: Blob, ticket: str) -> None:
        upload = {**self._object(blob), "UploadId": ticket}
        try:
            parts = self._client.list_parts(**upload).get("Parts", [])
            if [part["Size"] for part in parts] != [blob.size]:
                raise UploadRefusedError(f"the file has not been uploaded; PUT its {blob.size} bytes first")
            whole = {"Parts": [{"PartNumber": 1, "ETag": parts[0]["ETag"]}]}
            self._client.complete_multipart_upload(**upload, MultipartUpload=whole)
        except ClientError as error:
            if _status(error) not in {400, 404}:
                raise
            # Closed before, by a process that did not live to say so; or it never came.
            self._client.head_object(**self._object(blob))

    def verify(self, blob: Blob) -> None:
        """Read it whole."""
        with _telling():
            size, sha256 = self._read(blob)
            try:
                _compare(blob, size, sha256)
            except UploadRefusedError:
                self._client.delete_object(**self._object(blob))
                raise

    def settle(self, blob: Blob) -> None:
        """An upload that nobody closed."""
        if blob.ticket is not None:
            with contextlib.suppress(*_ERRORS):
                self._client.abort_multipart_upload(**self._object(blob), UploadId=blob.ticket)

    def head(self, blob: Blob, size: int) -> bytes:
        """A range of it; an empty file has none."""
        if not blob.size:
            return b""
        try:
            answer = self._client.get_object(**self._object(blob), Range=f"bytes=0-{size - 1}")
            return bytes(answer["Body"].read(size))
        except _ERRORS as error:
            raise StoreError(f"the artifact store does not answer ({error}); try again later") from error

    def pieces(self, blob: Blob) -> Iterator[bytes]:
        """Through this server."""
        try:
            yield from self._client.get_object(**self._object(blob))["Body"].iter_chunks(PIECE)
        except _ERRORS as error:
            raise StoreError(f"the artifact store does not answer ({error}); try again later") from error

    def local_path(self, blob: Blob) -> Path | None:
        """It is elsewhere."""
        return None

    def address(self, blob: Blob, delivery: Delivery) -> str:
        """A presigned GET that also sets type and disposition."""
        parameters = {
            **self._object(blob),
            "ResponseContentType": delivery.content_type,
            "ResponseContentDisposition": delivery.disposition,
        }
        return str(self._signer.generate_presigned_url("get_object", parameters, DOWNLOAD_VALID_S))

    def remove_job(self, job_id: int) -> None:
        """All objects of its prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._named(job_prefix(job_id))
        )
        try:
            # One by one: deleting many in a request needs a checksum that not every store knows.
            for page in pages:
                for found in page.get("Contents", ()):
                    self._client.delete_object(Bucket=self._bucket, Key=found["Key"])
            if not self.verifies:
                self._abort_all(self._named(job_prefix(job_id)))
        except _ERRORS as error:
            raise StoreError(
                f"cannot remove the files of job {job_id} ({error}); it is tried again"
            ) from error

    def _abort_all(self, prefix: str) -> None:
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            for found in page.get("Uploads", ()):
                upload = {"Key": found["Key"], "UploadId": found["UploadId"]}
                self._client.abort_multipart_upload(Bucket=self._bucket, **upload)

    def check(self) -> str:
        """Put, get and delete an object."""
        name = {"Bucket": self._bucket, "Key": self._named(f"probe-{secrets.token_hex(4)}")}
        try:
            self._client.put_object(**name, Body=b"probe")
            self._client.get_object(**name)["Body"].read()
            self._client.delete_object(**name)
        except _ERRORS as error:
            raise StoreError(
                f"cannot write to the bucket {self._bucket} ({error});"
                " check RAAS_ARTIFACTS, RAAS_S3_ENDPOINT_URL and the AWS_… credentials"
            ) from error
        way = (
            "it checks uploads itself"
            if self.verifies
            else "it checks no uploads: each is read once afterwards"
        )
        return f"artifacts are kept in s3://{self._bucket}/{self._prefix}; {way}"

    def _told(self, blob: Blob) -> tuple[int, str]:
        """Size and SHA-256 as a store says that checked both; read where it does not say."""
        head = self._client.head_object(**self._object(blob), ChecksumMode="ENABLED")
        known = head.get("ChecksumSHA256")
        return (head["ContentLength"], base64.b64decode(known).hex()) if known else self._read(blob)

    def _read(self, blob: Blob) -> tuple[int, str]:
        """Size and SHA-256 of what is there."""
        size, digest = 0, hashlib.sha256()
        for piece in self._client.get_object(**self._object(blob))["Body"].iter_chunks(PIECE):
            size += len(piece)
            digest.update(piece)
        return size, digest.hexdigest()

    def _object(self, blob: Blob) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._named(blob.key)}

    def _named(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key


def _compare(blob: Blob, size: int, sha256: str) -> None:
    if size != blob.size:
        raise UploadRefusedError(f"the length is not the {blob.size} bytes that were offered")
    if sha256 != blob.sha256:
        raise UploadRefusedError("the content is not what was offered: its SHA-256 differs")


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Errors of the store in words of ours."""
    try:
        yield
    except _ERRORS as error:
        if _status(error) == 404:
            raise UploadRefusedError("the file has not been uploaded; PUT it first") from error
        raise StoreError(f"the artifact store does not answer ({error}); try again later") from error


def _checksum(content: bytes) -> str:
    """As the S3 protocol writes a SHA-256."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _status(error: Exception) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}  # None where a connection broke
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return int(status)
