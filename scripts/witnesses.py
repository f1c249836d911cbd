"""Tell an operator about checkpoints and witnesses: our own log, the logs of others, alarms."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime

from node.settings import NodeSettings
from node.witness.standing import OwnLog, load_own_log
from scripts.arguments import Actions, add_action, add_config
from scripts.node_database import node_database
from trust.witness.witness_store import KeptAlarm, KeptLog, WitnessStore

_TIME = "%Y-%m-%d %H:%M:%SZ"


def add_witness(actions: Actions, config: str) -> None:
    """Declare `witness` for a node or a registry."""
    parser = add_action(actions, "witness", "show the logs that are witnessed here, and alarms")
    add_config(parser, config)
    parser.add_argument("--all", action="store_true", help="alarms that were settled, too")
    parser.add_argument(
        "--settle",
        metavar="LOG",
        help="mark a log's alarms as dealt with and begin anew with its next checkpoint",
    )


async def tell_node(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    """How a node's own log stands, and the logs of others."""
    async with node_database(settings) as pool:
        if arguments.settle is None:
            _tell_own(await load_own_log(pool), print)
        return await tell_witnesses(WitnessStore(pool), arguments)


async def tell_witnesses(store: WitnessStore, arguments: argparse.Namespace) -> int:
    """The logs that are witnessed, and alarms; 1 while there are open ones."""
    if arguments.settle is not None:
        count = await store.settle(arguments.settle, datetime.now(UTC))
        print(f"{arguments.settle}: {count} alarms settled")
        return 0
    logs = await store.logs()
    alarms = await store.alarms(settled=arguments.all)
    for log in logs:
        print(_log_line(log))
    if not logs:
        print("No log of another node has been announced yet.")
    for alarm in alarms:
        print(_alarm_line(alarm))
    if not alarms:
        print("No alarms.")
    return 1 if any(alarm.settled is None for alarm in alarms) else 0


def _tell_own(own: OwnLog | None, tell: Callable[[str], None]) -> None:
    if own is None:
        tell("Our log has no checkpoint yet.")
        return
    stamped = "time-stamped" if own.stamped else "not time-stamped yet"
    tell(f"Our log: {own.leaves} records, checkpoint of {own.size} at {own.at:{_TIME}}, {stamped}")
    tell(f"  key {own.key}")
    for each in own.witnesses:
        tell(f"  {each.witness} signed {each.size} records at {each.at:{_TIME}}")
    if not own.witnesses:
        tell("  no witness has signed one yet")


def _log_line(log: KeptLog) -> str:
    alarms = f", ALARMS: {log.open_alarms}" if log.open_alarms else ""
    return f"{log.origin}: {log.size} records at {log.at:{_TIME}}, seen {log.seen:{_TIME}}{alarms}"


def _alarm_line(alarm: KeptAlarm) -> str:
    settled = "" if alarm.settled is None else f", settled {alarm.settled:{_TIME}}"
    return (
        f"ALARM {alarm.number} ({alarm.alarm}) at {alarm.at:{_TIME}}{settled}:"
        f" {alarm.origin}: {alarm.text}"
    )
