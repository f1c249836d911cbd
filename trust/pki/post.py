"""A bounded HTTP POST: one answer, of a known size at most, within a known time."""

from datetime import timedelta

import aiohttp

from trust.errors import NetworkFailure

CONNECT_TIMEOUT = timedelta(seconds=20)  # X-Road 7.8 OcspClient.java, TimestamperUtil.java
ANSWER_TIMEOUT = timedelta(seconds=60)


class WrongStatus(NetworkFailure):
    """There was an answer, and it was not 200."""


class AnsweredTooLate(NetworkFailure):
    """There was no whole answer in time."""


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    content_type: str,
    *,
    accept: str = "*/*",
    max_bytes: int = 1024 * 1024,
    connect_timeout: timedelta = CONNECT_TIMEOUT,
    answer_timeout: timedelta = ANSWER_TIMEOUT,
) -> bytes:
    """Send `body`, return the body of a 200 answer; raises NetworkFailure for everything else.

    Redirects are not followed: who is asked stands in the trust list.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise NetworkFailure(f"'{url}' is no http or https address")
    timeout = aiohttp.ClientTimeout(
        total=(connect_timeout + answer_timeout).total_seconds(),
        connect=connect_timeout.total_seconds(),
        sock_read=answer_timeout.total_seconds(),
    )
    headers = {"Content-Type": content_type, "Accept": accept, "Accept-Encoding": "identity"}
    try:
        async with session.post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise WrongStatus(f"{url} answered with HTTP status {answer.status}")
            return await _read(answer, url, max_bytes)
    except TimeoutError as error:
        raise AnsweredTooLate(f"{url} did not answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NetworkFailure(f"{url} can't be asked: {error}") from error


async def _read(answer: aiohttp.ClientResponse, url: str, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise NetworkFailure(f"{url} answered with more than {max_bytes} bytes")
    return bytes(body)
