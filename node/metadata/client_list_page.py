"""`GET /listClients`: answered here, to whoever reaches the port."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from aiohttp import web

from node.exchange.faults import failure_of, tell_soap_system
from node.exchange.respond import respond_bytes
from node.exchange.snapshot import Snapshots
from node.messages.fault import Dialect, Side
from node.metadata.client_list import JSON_TYPE, XML_TYPE, build_json, build_xml, wants_json
from trust.errors import ExchangeError
from trust.globalconf import GlobalConf, Member

_KEPT = 4  # lists: two forms of the own instance, and somebody's of another

_Key = tuple[int, str, bool]


@dataclass(slots=True)
class ClientListPage:
    """Makes the list once for each configuration, instance and form.

    Errors are SOAP faults with status 200, whatever is accepted.
    """

    snapshots: Snapshots
    dialect: Dialect
    _lists: OrderedDict[_Key, bytes] = field(default_factory=OrderedDict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body, as_json = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the edge: nothing leaves as a traceback
            return await tell_soap_system(request, failure_of(error, Side.CONSUMER, self.dialect))
        headers = (("Content-Type", JSON_TYPE if as_json else XML_TYPE),)
        return await respond_bytes(request, 200, headers, body)

    async def _answer(self, request: web.BaseRequest) -> tuple[bytes, bool]:
        snapshot = self.snapshots.take()
        conf = snapshot.conf
        name = request.query.get("xRoadInstance", "").strip() or conf.own_instance
        instance = conf.instance(name, snapshot.at)
        if instance is None:
            raise ExchangeError(f"Shared params for instance identifier {name:.255} not found")
        as_json = wants_json(request.headers.getall("Accept", []))
        body = await self._list(conf, name, instance.shared.members, as_json)
        return body, as_json

    async def _list(
        self, conf: GlobalConf, name: str, members: tuple[Member, ...], as_json: bool
    ) -> bytes:
        key = (conf.number, name, as_json)
        async with self._making:  # the first one makes it, the others find it
            found = self._lists.get(key)
            if found is None:
                build = build_json if as_json else build_xml
                found = await asyncio.to_thread(build, members)
                self._lists[key] = found
                while len(self._lists) > _KEPT:
                    self._lists.popitem(last=False)
            self._lists.move_to_end(key)
            return found
