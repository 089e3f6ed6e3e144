"""Which way of masking is the fastest for which size: `python -m benchmarks masking`."""

from __future__ import annotations

import os
import time

__all__ = ["main"]


def main(quick: bool = False) -> None:
    """Print µs for one payload by each way."""
    from webapi.protocol import masking as ways

    print(f"{'bytes':>8} {'integer':>9} {'translate':>9} {'numpy':>9}   µs for one payload")
    for size in (16, 32, 125, 512, 1024, 4096, 16384, 262144):
        payload, key = os.urandom(size), os.urandom(4)
        row = []
        for way in (ways._mask_short, ways._mask_by_translate, ways._mask_by_numpy):
            repeat = max(5, 200_000 // size)
            best = float("inf")
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(repeat):
                    way(payload, key)
                best = min(best, (time.perf_counter() - start) / repeat)
            row.append(f"{best * 1e6:9.2f}")
        print(f"{size:8} {' '.join(row)}")
