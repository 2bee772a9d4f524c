"""Imports without searches for garbage."""

import gc

import pytest

import mmduet
from mmduet.system.imports import without_collection


def fail(seen):
    seen.append(gc.isenabled())
    raise ImportError


def test_garbage_is_searched_again_afterwards():
    seen = []
    with pytest.raises(ImportError), without_collection():
        fail(seen)
    assert [*seen, gc.isenabled()] == [False, True]
    assert not hasattr(mmduet, "no_such_name")
    assert gc.isenabled()


def test_who_does_without_goes_on_without():
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_package_is_imported_so(monkeypatch):
    seen = []
    monkeypatch.setattr(mmduet, "_import", lambda name: seen.append((name, gc.isenabled())))
    _ = mmduet.a_name
    assert seen == [("a_name", False)]
