"""A program that appends records until it is killed, and says which ones were acknowledged.

Argument: the database address. Each line of the output is `<message id> <record number>`.
"""

import asyncio
import os
import sys

from tests.message_records import bodies_of, message_log, sample_record


async def run(dsn: str) -> None:
    async with message_log(dsn) as log:

        async def appender(name: int) -> None:
            for count in range(1_000_000):
                message_id = f"load-{os.getpid()}-{name}-{count}"
                bodies = bodies_of(*[b"body"] * (name % 4))
                number = await log.append(sample_record(message_id=message_id, attachments=bodies))
                sys.stdout.write(f"{message_id} {number}\n")
                sys.stdout.flush()

        await asyncio.gather(*(appender(name) for name in range(20)))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
