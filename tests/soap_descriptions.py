"""WSDL documents for tests, from the schema of their messages."""

XS = "http://www.w3.org/2001/XMLSchema"
SOAP11_BINDING = "http://schemas.xmlsoap.org/wsdl/soap/"
SOAP12_BINDING = "http://schemas.xmlsoap.org/wsdl/soap12/"

ECHO = """
<xs:element name="echo"><xs:complexType><xs:sequence>
  <xs:element name="text" type="xs:string"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="echoResponse"><xs:complexType><xs:sequence>
  <xs:element name="text" type="xs:string"/>
</xs:sequence></xs:complexType></xs:element>
"""


def schema_document(content: str, *, namespace: str = "urn:t", attributes: str = "") -> str:
    return (
        f'<xs:schema xmlns:xs="{XS}" xmlns:t="urn:t" xmlns="{namespace}" '
        f'targetNamespace="{namespace}" elementFormDefault="qualified" {attributes}>'
        f"{content}</xs:schema>"
    )


def wsdl(
    schema: str = ECHO,
    *,
    operations: tuple[str, ...] = ("echo",),
    binding: str = SOAP11_BINDING,
    use: str = "literal",
    address: str = "http://service.invalid/echo",
    notes: str = "",
    binding_notes: str = "",
    prologue: str = "",
) -> bytes:
    """A document/literal service whose messages are the elements `name` and `nameResponse`."""
    messages = "".join(
        f'<message name="{name}{end}"><part name="body" element="t:{name}{end}"/></message>'
        for name in operations
        for end in ("", "Response")
    )
    abstract = "".join(
        f'<operation name="{name}">{notes}<input message="t:{name}"/>'
        f'<output message="t:{name}Response"/></operation>'
        for name in operations
    )
    concrete = "".join(
        f'<operation name="{name}">{binding_notes}<s:operation soapAction="urn:t/{name}"/>'
        f'<input><s:body use="{use}"/></input><output><s:body use="{use}"/></output></operation>'
        for name in operations
    )
    return (
        f'{prologue}<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="{binding}" '
        f'xmlns:t="urn:t" xmlns:xro="http://x-road.eu/xsd/xroad.xsd" targetNamespace="urn:t">'
        f"<types>{schema_document(schema)}</types>{messages}"
        f'<portType name="P">{abstract}</portType>'
        f'<binding name="B" type="t:P">'
        f'<s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>'
        f"{concrete}</binding>"
        f'<service name="S"><port name="Q" binding="t:B"><s:address location="{address}"/></port>'
        f"</service></definitions>"
    ).encode()
