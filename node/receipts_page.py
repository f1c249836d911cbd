"""`GET /receipt`: everything that proves one exchange, in one file, for the information system.

    /receipt?queryId=…&xRoadInstance=…&memberClass=…&memberCode=…[&subsystemCode=…][&exchangeId=…]

The parameters are those of `/asic`, and so is who may ask. With `force` what has no time-stamp gets
one, and the log a checkpoint that covers the records; else a receipt may come without proof, and
says so.
"""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from aiohttp import web

from node.download_requests import (
    NOT_STAMPED,
    Gate,
    Refused,
    StampMaker,
    client_of,
    file_headers,
    log,
    parameter,
    pieces,
    stamp_while_they_wait,
)
from node.exchange.respond import respond
from node.receipts import Exchange, NoExchange, ReceiptMaker, SeveralExchanges
from trust.errors import SacbeError, StorageError
from trust.receipts.receipts import RECEIPT_TYPE

_IN_MEMORY = 4 << 20  # bytes of a receipt that is built without a file


@dataclass(frozen=True, slots=True)
class ReceiptPage:
    """`GET /receipt`.

    Attributes:
        make_checkpoint: lets the log have a checkpoint now, with the owner's word for its key.
    """

    maker: ReceiptMaker
    stamps: StampMaker
    gate: Gate
    make_checkpoint: Callable[[], Awaitable[object]]

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            client = client_of(request)
            self.gate.check(request, client)
            message_id = parameter(request, "queryId")
            exchange_id = request.query.get("exchangeId", "")
            exchange = await self.maker.find(message_id, client, exchange_id)
            await self._complete(exchange, force="force" in request.query)
            return await self._hand_out(request, exchange)
        except Refused as error:
            return web.Response(status=error.status, text=str(error), headers=error.headers)
        except NoExchange as error:
            return web.Response(status=404, text=str(error))
        except SeveralExchanges as error:
            return web.Response(status=409, text=f'{error}; name one with "exchangeId"')
        except SacbeError as error:
            log.warning("GET /receipt: %s", error)
            return web.Response(status=500, text=str(error))

    async def _complete(self, exchange: Exchange, *, force: bool) -> None:
        """See that there are time-stamps, and with `force` a checkpoint."""
        if exchange.unstamped and not force:
            raise Refused(503, NOT_STAMPED)
        if exchange.unstamped:
            await stamp_while_they_wait(self.stamps, exchange.unstamped, "/receipt")
        if force:
            await self.make_checkpoint()

    async def _hand_out(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        folder = self.maker.folder
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)) as spool:
            target = cast(BinaryIO, spool)  # which it is in all but name
            try:
                await self.maker.write(exchange, target)
                length = target.seek(0, 2)
            except OSError as error:
                text = f"The answer can't be kept in {folder}: {error.strerror}"
                raise StorageError(text) from error
            headers = file_headers(RECEIPT_TYPE, f'attachment; filename="{exchange.file_name}"')
            return await respond(request, 200, headers, pieces(target), length)
