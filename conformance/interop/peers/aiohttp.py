"""PyPI's aiohttp."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="aiohttp",
    kind="Python, asyncio and Cython",
    needs=(Pip(("aiohttp==3.14.5",)),),
    start=lambda place: [place.script("aiohttp_server.py")],
    version=python_versions("aiohttp"),
    cannot={"fragments": "its API sends whole messages only"},
    note="answers any close with 1000, unless its handler says otherwise",
)
