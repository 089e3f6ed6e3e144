"""Whether cost grows linearly: messages, their size and sockets are doubled, and more."""

from __future__ import annotations

from typing import Any

from benchmarks.runner import Server, call_peer

__all__ = ["measure", "show"]

MIB = 1 << 20
MESSAGES = (250_000, 500_000, 1_000_000, 2_000_000)
SIZES = (MIB // 4, MIB, 4 * MIB, 16 * MIB, 64 * MIB)
VOLUME = 512 * MIB  # that each size is taken for
SOCKETS = (1, 10, 100, 1000, 5000)
ECHOES = 20_000


def call(server: Server, run: str, path: str, **task: Any) -> dict[str, float]:
    """Call a function of webapi's."""
    url = server.url(path, task)
    return call_peer("webapi", run, {"url": url, "authority": "", **task}, server)


def measure(server: Server, scale: float) -> dict[str, dict[int, float]]:
    """Return what one costs, by how many there are: a rising row is worse than linear.

    Args:
        server: the neutral server.
        scale: the part of the messages, for a quick look.
    """
    messages, sizes, sockets = {}, {}, {}
    for count in MESSAGES:
        taken = max(int(count * scale), 1000)
        seconds = call(server, "flood", "flood", count=taken, size=32)["seconds"]
        messages[count] = seconds / taken * 1e6
    for size in SIZES:
        count = max(int(VOLUME * scale) // size, 2)
        seconds = call(server, "flood", "flood", count=count, size=size, kind="binary")["seconds"]
        sizes[size // 1024] = seconds / count / size * MIB * 1e6
    for number in SOCKETS:
        count = max(int(ECHOES * scale), 4 * number)
        figures = call(server, "many", "echo", count=count, sockets=number, interval=0.0)
        sockets[number] = figures["cpu_s"] * 10  # of 100,000 messages: µs for one
    return {
        "a message of a flood, µs, by how many come": messages,
        "a MiB of a flood, µs, by the messages' size in KiB": sizes,
        "an echo, µs of processor time, by how many sockets there are": sockets,
    }


def show(found: dict[str, dict[int, float]]) -> None:
    """Print it."""
    print("\ngrowth: linear where a row stays level")
    for what, row in found.items():
        print(f"  {what}")
        print("   " + "".join(f"{number:>12,}" for number in row))
        print("   " + "".join(f"{cost:12,.2f}" for cost in row.values()))
