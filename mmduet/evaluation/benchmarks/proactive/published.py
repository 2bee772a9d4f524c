"""ProactiveVideoQA's published figures: a row for each system and subset, and for the mean of the four subsets."""

SOURCE = "arXiv 2507.09313, 2512.06810"
SUBSETS = ("WEB", "EGO", "TV", "VAD", "mean")

# %, in the order of SUBSETS; None: not published
_PERCENT: dict[str, dict[str, tuple[float | None, ...]]] = {
    "PAUC": {
        "MMDuet": (38.9, 46.0, 21.1, 27.4, 33.4),
        "MMDuet, responses removed": (43.5, 52.2, 32.6, 42.5, 42.7),
        "MMDuet2, SFT only": (37.6, 26.4, 27.6, 26.3, 29.5),
        "MMDuet2": (53.3, 33.6, 43.4, 28.9, 39.8),
        "VideoLLM-Online": (25.9, 25.0, 18.3, 25.0, 23.6),
        "LLaVA-OV 7B, in chunks": (55.0, 61.6, 45.1, 25.6, 46.8),
        "Qwen2.5-VL 7B, in chunks": (52.7, 46.5, 36.5, 29.3, 41.3),
        "GPT-4.1, in chunks": (51.7, 58.8, 56.8, 46.2, 53.4),
        "human": (38.6, 38.2, 47.0, 53.6, 44.4),
    },
    "PAUC, omega 0": {
        "MMDuet": (37.2, 44.0, 20.7, 26.4),
        "MMDuet, responses removed": (41.4, 49.4, 28.2, 38.5),
    },
    "PAUC, omega 1": {
        "MMDuet": (40.7, 47.9, 21.6, 28.5),
        "MMDuet, responses removed": (45.6, 55.0, 37.1, 46.5),
    },
    # the paper defines duplicates as this ratio; MMDuet2's code prints the mean over turns
    "duplicates, ratio": {
        "MMDuet": (81.3, 99.4, 92.8, 99.2),
        "MMDuet, responses removed": (81.1, 92.6, 61.2, 80.9),
        "MMDuet2, SFT only": (1.7, 4.4, 2.2, 0.0),
        "MMDuet2": (4.2, 8.1, 1.0, 15.2),
        "VideoLLM-Online": (None, None, 53.9, None),
    },
}

# system and subset -> metric -> figure, in the unit of the metric
PUBLISHED: dict[str, dict[str, float]] = {}
for _metric, _rows in _PERCENT.items():
    for _system, _figures in _rows.items():
        for _subset, _percent in zip(SUBSETS, _figures, strict=False):
            if _percent is not None:
                PUBLISHED.setdefault(f"{_system} ({_subset})", {})[_metric] = _percent / 100
PUBLISHED["MMDuet (WEB)"]["replies"] = 5.7
PUBLISHED["MMDuet2 (WEB)"]["replies"] = 3.3
