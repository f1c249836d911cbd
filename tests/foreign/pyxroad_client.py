"""Calls one service with pyxroad; runs in that program's own environment, once for each call.

    python pyxroad_client.py <call.json >answer.json

call.json has `node`, `client` and `service` (identifiers with `/`), `message_id` and `arguments`.
pyxroad asks the node for the WSDL, then uses it as an HTTP proxy. answer.json has `body`, or
`fault`.
"""

import json
import sys

from XRoad import XClient
from zeep.exceptions import Fault


def call(asked: dict) -> dict:
    client = XClient(asked["node"], asked["client"], asked["service"])
    client.id = asked["message_id"]
    try:
        answer = client.request(**asked["arguments"])
    except Fault as fault:  # pyxroad wraps the fault of zeep and loses its code
        return {"fault": str(fault.message)}
    return {"body": json.loads(json.dumps(answer["body"], default=str))}


if __name__ == "__main__":
    json.dump(call(json.load(sys.stdin)), sys.stdout)
