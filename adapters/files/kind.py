"""`kind = "files"`: CSV, JSON and XML files as named look-ups and lists."""

from adapters.files.declared import problems_of
from adapters.files.settings import FilesSettings
from adapters.files.source import open_beside, open_files
from adapters.kinds import Kind

KIND = Kind(settings=FilesSettings, problems=problems_of, open=open_files, beside=open_beside)
