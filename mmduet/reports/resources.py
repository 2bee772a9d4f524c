"""Resources: what a run needs of the worker that runs it, such as `{gpu: 1, memory: 24GB}`."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30, "TB": 1e12, "TiB": 2**40}


def _bytes(value: Any) -> Any:
    """Bytes of a text such as 24GB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]i?B)", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"is {value!r}: give a number with a unit ({', '.join(UNITS)}), such as 24GB")
    return int(float(found[1]) * UNITS[found[2]])


class Resources(BaseModel):
    """What a run needs. `gpu`: number of GPUs; `memory`: bytes; None: no need."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    gpu: Annotated[int, Field(ge=1, le=64)] | None = None
    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=1)] | None = None

    @property
    def amounts(self) -> dict[str, float]:
        """The amounts by name, as Dask counts them."""
        return {name: float(value) for name, value in self if value is not None}

    def fit(self, offered: Mapping[str, float]) -> bool:
        """Whether a worker with these amounts has enough."""
        return all(offered.get(name, 0.0) >= amount for name, amount in self.amounts.items())


NOTHING = Resources()


def shown_amounts(amounts: Mapping[str, float]) -> str:
    """Write amounts for reading: `gpu: 1, memory: 24.0 GB`, or "nothing declared"."""
    words = [
        f"{name}: {amount / 1e9:.1f} GB" if name == "memory" else f"{name}: {amount:g}"
        for name, amount in sorted(amounts.items())
    ]
    return ", ".join(words) or "nothing declared"


def shown_offers(offers: Iterable[Mapping[str, float]]) -> str:
    """Write what workers have, each kind once: `2 workers with gpu: 1; 1 worker with nothing declared`."""
    counts: dict[str, int] = {}
    for offer in offers:
        text = shown_amounts(offer)
        counts[text] = counts.get(text, 0) + 1
    return "; ".join(f"{count} worker{'s' if count > 1 else ''} with {text}" for text, count in counts.items())
