"""Whether a flooded socket leaves the others their turn: an echo beside it, one in flight."""

from __future__ import annotations

from benchmarks.runner import Server, call_peer

__all__ = ["measure", "show"]

FLOODS = {"no flood": "", "32 B": "size=32&kind=ascii", "1 MiB": f"size={1 << 20}&kind=binary"}
BAR = 20.0  # ms


def measure(server: Server, scale: float) -> dict[str, dict[str, float]]:
    """Return the median and the 99th percentile of an echo in ms, by what floods another socket.

    The flood has a server of its own, which might be unfair itself.
    """
    task = {"count": max(int(2000 * scale), 200), "size": 32}
    found = {}
    with Server() as flooder:
        for name, query in FLOODS.items():
            flood = f"ws://127.0.0.1:{flooder.words['port']}/flood?count=1000000000&{query}"
            words = {
                "url": server.url("echo", task),
                "flood_url": flood if query else "",
                "authority": "",
                **task,
            }
            figures = call_peer("webapi", "beside_a_flood", words, server)
            found[name] = {name: figures[f"{name}_us"] / 1000 for name in ("median", "p99")}
    return found


def show(found: dict[str, dict[str, float]]) -> None:
    """Print it."""
    print(f"\nan echo on one socket while another is flooded (bar: p99 under {BAR:g} ms)")
    for name, figures in found.items():
        print(f"  {name:20} median {figures['median']:8.2f} ms   p99 {figures['p99']:8.2f} ms")
