"""The once-only story as pages, in a process of its own.

    python -m scripts.ecosystem.case_page --port 9010 --places FILE

The file says where the nodes and the registry are, see `places`.
"""

import argparse
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

from scripts.arguments import whole_number
from scripts.ecosystem.case_page.app import CasePages
from scripts.ecosystem.case_page.desk import Desk, read_anchor
from scripts.ecosystem.case_page.figures import Reports
from scripts.ecosystem.case_page.frame import Frame
from scripts.ecosystem.case_page.places import Places, read_places
from scripts.ecosystem.institutions import MUNI
from scripts.ecosystem.places import LOCAL
from scripts.service import run_service, run_until_stopped
from trust.errors import SacbeError

ANNOUNCEMENT = "Cases: "
_PATIENCE = aiohttp.ClientTimeout(total=60)  # seconds; the node's own deadlines are shorter


def frame_of(places: Places) -> Frame:
    """The frame with links to the catalog at the Municipality's node and at the registry."""
    central = ("Central catalog", f"{places.registry}/catalog")
    return Frame(f"{places.node(MUNI).url}/catalog", (central,))


async def _serve(port: int, places: Places) -> int:
    anchor = read_anchor(Path(places.anchor))
    async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
        pages = CasePages(Desk(session, places, anchor), Reports(places), frame_of(places))
        runner = web.AppRunner(pages.app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOCAL, port).start()
            print(f"{ANNOUNCEMENT}http://{LOCAL}:{port}", file=sys.stderr, flush=True)
            await run_until_stopped()
        finally:
            await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="case-page", description=__doc__)
    parser.add_argument("--port", type=whole_number(1, 65535), required=True)
    parser.add_argument(
        "--places", type=Path, required=True, help="the file that says what is where"
    )
    arguments = parser.parse_args()
    try:
        return run_service(_serve(arguments.port, read_places(arguments.places)))
    except (SacbeError, OSError) as error:
        print(f"case-page: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
