"""Check the links between archive files: every file goes on where another one ended.

A group's files form one chain. A file that is gone leaves the one after it with a predecessor that
is not there; the end of a chain can be shortened without a trace in the files themselves.

Source: signatures.md 11.2.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from trust.audit.findings import Finding
from trust.evidence.archive_files import ENCRYPTIONS
from trust.evidence.linkinginfo import ArchiveEnd
from trust.report import failed, indeterminate, warning


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file's place in its chain.

    Attributes:
        previous: where it says that it goes on.
        digest: its own last one.
    """

    name: str
    previous: ArchiveEnd
    digest: str
    containers: int


def check_links(files: Sequence[ArchivedFile], known: Collection[str]) -> Iterator[Finding]:
    """What is wrong between files.

    Args:
        known: names of all files that are there, also of those that could not be read.
    """
    ends: dict[str, ArchivedFile] = {}
    for file in files:
        if file.digest in ends:
            text = f"It is the same file as {ends[file.digest].name}"
            yield Finding(f"archive file {file.name}", warning("previous", text))
        ends.setdefault(file.digest, file)
    continued: dict[str, str] = {}
    unread = {_plain(name) for name in known} - {_plain(file.name) for file in files}
    for file in ends.values():
        if not file.previous.digest:
            continue
        if (before := continued.get(file.previous.digest)) is not None:
            text = f"It and {before} go on where {file.previous.file} ends: the chain forks"
            check = failed("previous", "archive_fork", text)
            yield Finding(f"archive file {file.name}", check)
        continued.setdefault(file.previous.digest, file.name)
        if file.previous.digest in ends:
            continue
        if _plain(file.previous.file) in unread:
            text = f"It goes on where {file.previous.file} ends, which could not be read"
            check = indeterminate("previous", "archive_previous_unknown", text)
            yield Finding(f"archive file {file.name}", check)
        elif any(_plain(each.name) == _plain(file.previous.file) for each in files):
            text = f"{file.name} goes on from another state of this file"
            check = failed("previous", "archive_wrong_previous", text)
            yield Finding(f"archive file {file.previous.file}", check)
        else:
            text = f"The file is gone: {file.name} goes on where it ended"
            check = failed("previous", "archive_file_removed", text)
            yield Finding(f"archive file {file.previous.file}", check)


def _plain(name: str) -> str:
    name = name.rpartition("/")[2]
    for ending in ENCRYPTIONS:
        name = name.removesuffix(ending)
    return name
