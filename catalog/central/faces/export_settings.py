"""What an export as linked data says that stands in no catalog."""

from dataclasses import dataclass
from typing import Annotated

from trust.settings import Matching, setting

LANGUAGE_TAG = r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """For catalogs of others that take ours over."""

    publisher: str = setting("", "name of who publishes the catalog; the instance's when not given")
    place: str = setting(
        "",
        "URI of the country or region that the instance is for",
        example="http://publications.europa.eu/resource/authority/country/GTM",
    )
    language: Annotated[str, Matching(LANGUAGE_TAG, "a language tag")] = setting(
        "en", "language of what institutions write about their services"
    )
