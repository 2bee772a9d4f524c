"""The doctor, with and without decord."""

import importlib.util
import subprocess
import sys
from importlib import metadata

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
