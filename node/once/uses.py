"""The words of uses, for all parts of once-only; the log keeps them, so they stand there."""

from node.log.uses import DataUse, Openness
from node.messages.intent import NO_INTENT, Intent

__all__ = ["NO_INTENT", "DataUse", "Intent", "Openness"]
