"""Print a table of systems by Python versions that shows whether every requirement has a wheel.

    python docs/wheels.py

It resolves pyproject.toml with its `dev` extra for several systems, and installs nothing. It uses uv, since `pip
download --platform` evaluates environment markers for its own machine. A cell is the number of packages of an
installation, all of them wheels, or "no wheel" with the reason below the table. The status is 1 where a wheel is
missing.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
SYSTEMS = {
    "Linux x86-64 (glibc 2.28)": "x86_64-manylinux_2_28",
    "Linux arm64 (glibc 2.28)": "aarch64-manylinux_2_28",
    "macOS 14, Apple silicon": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def main() -> int:
    """Print the table."""
    if find_spec("uv") is None:
        sys.exit("uv is not installed: it is part of the dev extra, pip install --editable '.[dev]'.")
    reasons = []
    print("| system | " + " | ".join(f"Python {python}" for python in PYTHONS) + " |")
    print("| --- " * (len(PYTHONS) + 1) + "|")
    for system, platform in SYSTEMS.items():
        cells = []
        for python in PYTHONS:
            count, reason = resolve(platform, python)
            cells.append("no wheel" if reason else str(count))
            reasons += [f"{system}, Python {python}: {reason}"] if reason else []
        print(f"| {system} | " + " | ".join(cells) + " |", flush=True)
    print("\n".join(reasons), file=sys.stderr)
    return 1 if reasons else 0


def resolve(platform: str, python: str) -> tuple[int, str]:
    """Count the packages of an installation; and why it fails or would build one from source, else ""."""
    wheels, freely = (compiled(platform, python, *option) for option in (("--no-build",), ()))
    if wheels.returncode:
        return 0, wheels.stderr.strip()
    # pip takes the newest version, even without a wheel
    built = set(freely.stdout.splitlines()) - set(wheels.stdout.splitlines())
    reason = freely.stderr.strip() if freely.returncode else ", ".join(sorted(built))
    return len(wheels.stdout.splitlines()), reason


def compiled(platform: str, python: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Resolve the requirements: one pinned package a line."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate"]
    target = ["--extra", "dev", "--python-version", python, "--python-platform", platform]
    return subprocess.run(
        [*command, *target, *options, str(PROJECT)],
        capture_output=True,
        text=True,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},  # torch's wheels need macOS 14
    )


if __name__ == "__main__":
    sys.exit(main())
