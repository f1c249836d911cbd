"""An example call of a service that can be pasted into a shell as it stands.

Whatever comes from the catalog is quoted for the shell, so that no name there runs a command.
"""

import re
import shlex
from urllib.parse import quote
from xml.sax.saxutils import escape

from catalog.central.entries import CatalogService
from catalog.central.faces.markup import MAX_SHOWN, clean
from catalog.mapping import EndpointMapping, FixedParameter, Place, SubjectParameter
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE

_CLIENT = "INSTANCE/CLASS/MEMBER/SUBSYSTEM"
_PARAMETER = re.compile(r"\{([^{}/]{1,100})\}")
_CONTINUED = " \\\n  "


def example_call(service: CatalogService, endpoint: EndpointMapping | None) -> str:
    """A call through the reader's own node, of an endpoint or of the service as such.

    Empty when it would be too long to be shown whole: half a call is none.
    """
    if service.type.is_rest:
        call = _rest_call(service, endpoint or _first_endpoint(service))
    else:
        call = _soap_call(service)
    return call if len(call) <= MAX_SHOWN else ""


def _first_endpoint(service: CatalogService) -> EndpointMapping:
    for endpoint in service.endpoints:
        method, _, path = endpoint.partition(" ")
        if path and "*" not in method:
            return EndpointMapping(method, path)
    return EndpointMapping("GET", "/")


def _rest_call(service: CatalogService, endpoint: EndpointMapping) -> str:
    path = "".join(
        _named(part) if at % 2 else _quoted(part, "/*-._~!$&'()+,;=:@")
        for at, part in enumerate(_PARAMETER.split(endpoint.path))
    )
    query = "&".join(_queries(endpoint))
    target = f"/r1/{service.id.path}/{path.lstrip('/')}" + (f"?{query}" if query else "")
    words = [f'curl "$NODE"{shlex.quote(target)}']
    if endpoint.method not in ("", "GET", "*"):
        words.append(f"--request {shlex.quote(clean(endpoint.method))}")
    words.append(f"--header 'X-Road-Client: {_CLIENT}'")
    words.append("--header 'Accept: application/json'")
    if _in_body(endpoint):
        words += ["--header 'Content-Type: application/json'", "--data @request.json"]
    return _start() + _CONTINUED.join(words)


def _start() -> str:
    return "NODE=http://localhost:8080  # your own node\n"


def _named(parameter: str) -> str:
    return _quoted(parameter).upper()


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=safe, errors="replace")


def _queries(endpoint: EndpointMapping) -> list[str]:
    named: list[SubjectParameter | FixedParameter] = list(endpoint.parameters)
    if endpoint.subject is not None:
        named.insert(0, endpoint.subject)
    return [f"{_quoted(one.name)}={_value(one)}" for one in named if one.place is Place.QUERY]


def _value(parameter: SubjectParameter | FixedParameter) -> str:
    default = getattr(parameter, "default", None)
    if default and "{" not in default:
        return _quoted(default)
    return _named(parameter.name)


def _in_body(endpoint: EndpointMapping) -> bool:
    subject = endpoint.subject
    places = [one.place for one in endpoint.parameters]
    return Place.BODY in places or (subject is not None and subject.place is Place.BODY)


def _soap_call(service: CatalogService) -> str:
    id_ = service.id
    provider = id_.provider
    parts = [
        ("xRoadInstance", provider.instance),
        ("memberClass", provider.member_class),
        ("memberCode", provider.member_code),
        ("subsystemCode", provider.subsystem_code),
        ("serviceCode", id_.service_code),
        ("serviceVersion", id_.service_version),
    ]
    named = "".join(
        f"\n      <id:{tag}>{escape(clean(value))}</id:{tag}>" for tag, value in parts if value
    )
    envelope = f"""<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:xrd="{XROAD_NAMESPACE}" xmlns:id="{IDENTIFIERS_NAMESPACE}">
  <soap:Header>
    <xrd:client id:objectType="SUBSYSTEM">
      <id:xRoadInstance>INSTANCE</id:xRoadInstance>
      <id:memberClass>CLASS</id:memberClass>
      <id:memberCode>MEMBER</id:memberCode>
      <id:subsystemCode>SUBSYSTEM</id:subsystemCode>
    </xrd:client>
    <xrd:service id:objectType="SERVICE">{named}
    </xrd:service>
    <xrd:id>1</xrd:id>
    <xrd:protocolVersion>4.0</xrd:protocolVersion>
  </soap:Header>
  <soap:Body><!-- the request, as the description has it --></soap:Body>
</soap:Envelope>"""
    words = [
        'curl "$NODE/"',
        "--header 'Content-Type: text/xml; charset=utf-8'",
        f"--data {shlex.quote(envelope)}",
    ]
    return _start() + _CONTINUED.join(words)
