"""`kind = "rest"`: operations of another REST service."""

from adapters.kinds import Kind
from adapters.rest.declared import problems_of
from adapters.rest.settings import RestSettings
from adapters.rest.source import open_rest

KIND = Kind(settings=RestSettings, problems=problems_of, open=open_rest)
