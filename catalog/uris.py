"""URIs as declarations and descriptions have them: absolute, printable, of a bounded length."""

import re
from typing import Annotated

from trust.settings import Matching

ONCE_NAMESPACE = "urn:sacbe:once:1"  # of what SOAP headers and WSDLs say beyond X-Road

_URI = r"[A-Za-z][A-Za-z0-9+.-]{0,50}:[^\x00-\x20\x7f<>\"{}|\\^`]{1,900}"
_WORDS = 'a URI as "urn:example:person" or "https://example.org/person"'

Uri = Annotated[str, Matching(_URI, _WORDS)]
UriOrNone = Annotated[str, Matching(f"|{_URI}", _WORDS)]


def is_uri(text: str) -> bool:
    return re.fullmatch(_URI, text) is not None
