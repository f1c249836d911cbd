"""A SOAP service of another maker, spyne, in a process of its own: `python spyne_persons.py`.

It prints its port, answers its WSDL at `?wsdl` and ends with its standard input.
"""

import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from spyne import (
    AnyXml,
    Application,
    Array,
    Boolean,
    ByteArray,
    ComplexModel,
    Date,
    DateTime,
    Decimal,
    Double,
    Enum,
    Fault,
    Integer,
    ServiceBase,
    Unicode,
    XmlAttribute,
    rpc,
)
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

NAMESPACE = "urn:example:persons"
Status = Enum("resident", "emigrated", type_name="Status")


class Address(ComplexModel):
    __namespace__ = NAMESPACE
    kind = XmlAttribute(Unicode)
    street = Unicode(min_occurs=1, nillable=False)
    number = Integer


class Person(ComplexModel):
    __namespace__ = NAMESPACE
    code = Unicode(min_occurs=1, nillable=False)
    born = Date
    seen = DateTime
    income = Decimal
    height = Double
    alive = Boolean
    status = Status
    photo = ByteArray
    addresses = Array(Address)
    names = Unicode(max_occurs="unbounded")


Person.append_field("mother", Person)


class Persons(ServiceBase):
    @rpc(Person, _returns=Person)
    def echo(self, person):
        """Give a person back."""
        return person

    @rpc(Unicode(min_occurs=1, nillable=False), Integer, _returns=Unicode)
    def greet(self, name, times):
        return " ".join([f"Hello {name}"] * (times or 1))

    @rpc(Unicode, _returns=Unicode)
    def fail(self, side):
        raise Fault(f"{side}.NoSuchPerson", "There is no such person.", detail={"row": "secret"})

    @rpc(Unicode, _returns=AnyXml)
    def anything(self, text):
        from lxml import etree

        root = etree.Element("root", id="1")
        etree.SubElement(root, "child").text = text
        return root


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def main() -> None:
    application = Application(
        [Persons], NAMESPACE, in_protocol=Soap11(validator="lxml"), out_protocol=Soap11()
    )
    server = make_server("127.0.0.1", 0, WsgiApplication(application), handler_class=Quiet)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
