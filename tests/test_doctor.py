"""The doctor, with and without decord."""

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from mmduet import doctor


def decoders() -> list[str]:
    return [finding.text for finding in (doctor._decord(False), *doctor._requirements()) if "decod" in finding.text]


def test_it_names_the_decoder_that_is_there() -> None:
    installed = sys.modules.get("decord", "") is not None and importlib.util.find_spec("decord") is not None
    assert ("PyAV decodes all videos" in decoders()[0]) is not installed


def test_a_machine_without_decord_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str, real=metadata.version) -> str:
        if name == "decord":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.setattr(metadata, "version", version)
    assert doctor._decord(True).good
    assert not [finding for finding in doctor._requirements() if "decord" in finding.text]


def test_importing_the_package_needs_no_decord() -> None:
    code = (
        "import sys; sys.modules['decord'] = None; import mmduet, mmduet.video, mmduet.cli, mmduet.data.scenes.generate"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_it_states_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    device, memory, disk = (finding.text for finding in doctor._machine())
    assert re.search(r"GPU.*\d+ cores?", device)
    assert re.match(r"\d+\.\d of \d+\.\d GB of memory are free", memory)
    assert re.match(r"\d+\.\d GB are free in \S+", disk)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e8))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1e9, total=4e9))
    assert [finding.good for finding in doctor._machine()] == [True, False, False]
