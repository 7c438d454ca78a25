"""Indexes of sets that do not grow with what is gone."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def discard(index: dict[K, set[V]], key: K, value: V) -> None:
    """Takes a value out, and its bucket with it when that is empty."""
    bucket = index.get(key)
    if bucket is not None:
        bucket.discard(value)
        if not bucket:
            del index[key]
