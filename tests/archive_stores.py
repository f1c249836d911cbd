"""An S3 service on loopback for tests of the archive."""

import itertools
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from moto.server import ThreadedMotoServer

from node.archive.store import StoreAddress

_BUCKETS = itertools.count(1)


@contextmanager
def s3_service() -> Iterator[ThreadedMotoServer]:
    """A service in a thread; what it logs about requests is dropped."""
    with mock.patch.dict(os.environ, {"AWS_EC2_METADATA_DISABLED": "true"}):
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def bucket_address(server: ThreadedMotoServer, folder: Path) -> StoreAddress:
    """A new bucket of the service, with credentials in `folder`."""
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    bucket = f"archive-{next(_BUCKETS)}"
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    credentials = folder / "store.credentials"
    credentials.write_text("access_key_id = test\nsecret_access_key = test\n")
    return StoreAddress(f"s3://{bucket}/below/here", endpoint, "us-east-1", credentials)
