"""Damaged checkpoints: one seeded change to one file of a folder, as disks, downloads and hostile hands make them."""

import json
from pathlib import Path
from random import Random
from typing import Any

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3, 2**31, 10**12, 10**30, -(10**9), 1.5, float("nan"), float("inf"), "", "x",
    "../../x", "/etc/hostname", "\u2028", "\ud800", [], [1], {}, {"a": 1}, [[]], "a" * 5000,
]  # fmt: skip


def mutate(folder: Path, random: Random) -> str:
    """Change one file of a folder; what was done, in words."""
    path = random.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    if path.suffix == ".json" and random.random() < 0.7:
        return f"{path.name}: {_change_json(path, random)}"
    if path.suffix == ".safetensors" and random.random() < 0.5:
        return f"{path.name}: {_change_header(path, random)}"
    return f"{path.name}: {_change_bytes(path, random)}"


def _change_bytes(path: Path, random: Random) -> str:
    content = bytearray(path.read_bytes())
    kind = random.choice(["cut", "empty", "flip", "zero", "insert", "pointer", "gone", "folder", "utf16", "swap"])
    where = random.randrange(len(content) or 1)
    if kind in ("gone", "folder"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
        return kind
    changed = {
        "cut": content[:where],
        "empty": b"",
        "flip": content[:where] + bytes(random.randrange(256) for _ in range(8)) + content[where + 8 :],
        "zero": content[:where] + bytes(len(content) - where),
        "insert": content[:where] + bytes(random.randrange(256) for _ in range(5)) + content[where:],
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "utf16": content.decode(errors="replace").encode("utf-16"),
        "swap": content[where:] + content[:where],
    }[kind]
    path.write_bytes(changed)
    return f"{kind} at {where}"


def _change_json(path: Path, random: Random) -> str:
    value = json.loads(path.read_text())
    places = [(value, key) for key in value] if isinstance(value, dict) else []
    for owner, key in places:
        inner = owner[key]
        if isinstance(inner, dict):
            places += [(inner, name) for name in list(inner)[:40]]
        elif isinstance(inner, list):
            places += [(inner, index) for index in range(min(len(inner), 10))]
    owner, key = random.choice(places)
    kind, new = random.choice(["set", "set", "set", "remove", "deep", "wrap"]), random.choice(VALUES)
    if kind == "remove":
        del owner[key]
    elif kind == "deep":
        for _ in range(random.choice([40, 400])):
            new = {"a": new} if random.random() < 0.5 else [new]
        owner[key] = new
    elif kind == "wrap":
        owner[key] = [owner[key]]
    else:
        owner[key] = new
    path.write_text(json.dumps(value))
    return f"{kind} {key} {str(new)[:40]!r}"


def _change_header(path: Path, random: Random) -> str:
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    name = random.choice([name for name in header if name != "__metadata__"])
    field = random.choice(["shape", "dtype", "data_offsets", "name", "gone"])
    if field == "gone":
        del header[name]
    elif field == "name":
        header[name + random.choice(["x", ".lora_A.weight", ""])[:20]] = header.pop(name)
    else:
        header[name][field] = random.choice(
            {
                "shape": [[], [0], [-1, 2], [10**9, 10**9], [2**63], header[name]["shape"][::-1]],
                "dtype": ["F64", "F16", "I8", "BOOL", "F8_E4M3", "X", 3],
                "data_offsets": [[0, 0], [0, 10**15], [5, 1], [-4, 4], "x"],
            }[field]
        )
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + content[end:])
    return f"{field} of {name}"
