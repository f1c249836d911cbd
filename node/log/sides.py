"""Which of the two servers of an exchange kept something."""

from enum import StrEnum


class Side(StrEnum):
    """Which of the two servers of an exchange wrote a record."""

    CONSUMER = "consumer"
    PROVIDER = "provider"
