"""Shared pieces: the `tiny` model, built in memory, and nothing from outside the repository."""

import os

# before any test imports transformers: nothing may look for a hub
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gc
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

# a program that a shell started in the background ignores Ctrl-C, and so would what is tested
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("untimed", deadline=None)  # how fast something is, is a benchmark's question
settings.load_profile("untimed")

GOLDEN = Path(__file__).parent / "golden"
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"

# torch and the package are imported where they are used: the process that hands out the tests needs neither


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors: threads only get in each other's way."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny():
    """(model, processor) of preset `tiny`; not to be changed."""
    from mmduet.checkpoints import build_tiny

    return build_tiny()


@pytest.fixture
def frames():
    """uint8 [12, 3, 48, 64]: noise."""
    import torch

    return torch.randint(0, 256, (12, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of published numbers, which lies outside the repository."""
    if not REFERENCE.is_dir():
        pytest.skip(f"the reference files are not at {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def meteor():
    """METEOR's process, which takes long to start."""
    from mmduet.evaluation.metrics.captioning import Meteor

    with Meteor() as process:
        yield process


@pytest.fixture(scope="module")
def ready_meteor(meteor):
    """The figures of YouCook2 come from that process."""
    from mmduet.evaluation.benchmarks import youcook2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(youcook2, "Meteor", lambda java: nullcontext(meteor))
        yield


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. Of a module only: while Playwright is on, no other event loop can run in this thread."""
    from tests.chromium import open_browser

    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """An empty page, 760 by 800 pixels, that fails the test if it reported an error."""
    from tests.chromium import record

    page = browser.new_page(viewport={"width": 760, "height": 800})
    seen = record(page)
    yield page
    page.close()
    assert not seen.errors


def pytest_collection_finish():
    """What is imported by now is not searched for garbage again and again; each training searches at its start."""
    gc.freeze()
