"""Operational records summed up by service and endpoint, for the node's own operator."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.ids import ServiceId, encode_segment

MAX_LINES = 1000
NO_CODE = "abandoned"  # nobody waited for the answer
_GROUP = "server_type, provider, service_code, service_version, rest_method, rest_path"
_WHERE = """
FROM operational_record WHERE monitoring_data_ts >= $1 AND monitoring_data_ts < $2
AND ($3::text IS NULL OR (left(provider, 200) = left($3::text, 200) AND provider = $3::text
     AND service_code = $4::text
     AND ($5::text IS NULL OR service_version = $5::text)))
"""
_DURATION = "response_out_ts - request_in_ts"
_SUMS = f"""
SELECT {_GROUP}, count(*) AS requests, count(*) FILTER (WHERE NOT succeeded) AS failures,
min({_DURATION}) AS shortest, avg({_DURATION})::float8 AS mean,
percentile_disc(0.95) WITHIN GROUP (ORDER BY {_DURATION}) AS most_within,
max({_DURATION}) AS longest
{_WHERE} GROUP BY {_GROUP} ORDER BY count(*) DESC, {_GROUP} LIMIT {MAX_LINES}
"""
_CODES = f"""
SELECT {_GROUP}, coalesce(fault_code, 'http_' || status_code, '{NO_CODE}') AS code,
count(*) AS times
{_WHERE} AND NOT succeeded GROUP BY {_GROUP}, code ORDER BY count(*) DESC, code
LIMIT {10 * MAX_LINES}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """The exchanges of one service and endpoint in a time, on one side.

    Attributes:
        role: `consumer` or `provider`: what this node was.
        service: in path form; empty for requests that named none.
        endpoint: method and pattern; empty where none is known.
        codes: how often each failure occurred.
        mean: milliseconds from request to answer, as those beside it.
        most_within: 95 of 100 took no longer.
    """

    role: str
    service: str
    endpoint: str
    requests: int
    failures: int
    shortest: int
    mean: float
    most_within: int
    longest: int
    codes: Mapping[str, int] = field(default_factory=dict)


async def summarize(
    pool: Pool, since: datetime, until: datetime, service: ServiceId | None = None
) -> Sequence[ServiceSummary]:
    """The most used services first, MAX_LINES at the most; raises StorageError.

    Args:
        since, until: by the moment of storing; the end is not included.
        service: this one alone, in all its versions unless it names one.
    """
    values = (
        int(since.timestamp()),
        int(until.timestamp()),
        None if service is None else service.provider.path,
        None if service is None else service.service_code,
        None if service is None else service.service_version,
    )
    try:
        sums = await pool.fetch(_SUMS, *values)
        rows = await pool.fetch(_CODES, *values)
    except DATABASE_ERRORS as error:
        raise StorageError(f"Operational records can't be read: {describe(error)}") from error
    codes: defaultdict[tuple[object, ...], dict[str, int]] = defaultdict(dict)
    for row in rows:
        codes[_key(row)][row["code"]] = row["times"]
    return [_summary(row, codes[_key(row)]) for row in sums]


def _key(row: asyncpg.Record) -> tuple[object, ...]:
    return tuple(row[name] for name in _GROUP.split(", "))


def _summary(row: asyncpg.Record, codes: Mapping[str, int]) -> ServiceSummary:
    parts = [encode_segment(row[name] or "") for name in ("service_code", "service_version")]
    return ServiceSummary(
        role="provider" if row["server_type"] == "Producer" else "consumer",
        service="/".join(part for part in (row["provider"], *parts) if part),
        endpoint=" ".join(part for part in (row["rest_method"], row["rest_path"]) if part),
        requests=row["requests"],
        failures=row["failures"],
        shortest=row["shortest"],
        mean=round(row["mean"], 1),
        most_within=row["most_within"],
        longest=row["longest"],
        codes=codes,
    )
