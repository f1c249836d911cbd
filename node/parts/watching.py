"""What a node tells its metrics about itself."""

from node.operate.metrics import NodeMetrics
from node.parts.exchanging import ExchangePart
from node.parts.identity import IdentityPart
from node.parts.keeping import KeepingPart


def watch(
    metrics: NodeMetrics, who: IdentityPart, kept: KeepingPart, exchanges: ExchangePart
) -> None:
    """Let every gauge and counter read its part when somebody asks."""
    log, signing = kept.log, exchanges.signing
    if kept.archiver is not None:
        kept.archiver.watch(metrics)
    metrics.gauge(
        "sacbe_log_queue_records", "Records that wait for a commit", lambda: log.queue_depth
    )
    metrics.gauge("sacbe_log_queue_bytes", "Bytes that wait for a commit", lambda: log.queue_bytes)
    metrics.counter("sacbe_signatures", "Signatures made for messages", lambda: signing.signatures)
    metrics.counter(
        "sacbe_signed_messages", "Messages that those signatures cover", lambda: signing.messages
    )
    metrics.gauge(
        "sacbe_signing_queue_messages",
        "Messages whose signing key is busy with others",
        lambda: signing.waiting,
    )
    kept.timestamper.watch(metrics.gauge)
    kept.witnesses.watch(metrics.gauge)
    _watch_connections(metrics, exchanges)
    metrics.gauge(
        "sacbe_configuration_age_seconds",
        "Seconds since the global configuration was last fetched and believed; -1 before",
        who.age,
    )
    metrics.expiries(who.expiries)


def _watch_connections(metrics: NodeMetrics, exchanges: ExchangePart) -> None:
    peers, descriptions = exchanges.peers, exchanges.descriptions
    metrics.gauge("sacbe_peer_connections_idle", "Kept connections to peers", lambda: peers.idle)
    metrics.gauge("sacbe_peer_connections_in_use", "Connections at work", lambda: peers.in_use)
    metrics.gauge(
        "sacbe_descriptions_failing",
        "Descriptions of services that could not be had when they were looked at last",
        lambda: descriptions.failing,
    )
    metrics.gauge(
        "sacbe_description_age_seconds",
        "Seconds since that description was had which was had longest ago; -1 without any",
        lambda: descriptions.oldest,
    )
