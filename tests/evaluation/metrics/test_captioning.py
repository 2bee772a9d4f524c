import random
import time

import numpy as np
import pycocoevalcap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.metrics import captioning
from mmduet.evaluation.metrics.captioning import Meteor, cider, tokenize

TEXT = st.lists(st.sampled_from(["stir", "the", "pan", "and", "add", "salt"]), max_size=6).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


def test_tokens_by_hand():
    texts = {
        "Add the Garlic, then stir!": "add the garlic then stir",
        "don't (over)cook; it's hot...": "do n't -lrb- over -rrb- cook it 's hot",
        "1 1/2 cups": "1\xa01/2 cups",
        "crème brûlée, 日本": "crème brûlée 日本",
        "stir for 2 min.": "stir for 2 min",
        "mix, etc.": "mix etc.",
        "hot 😀 pan": "hot pan",
        "": "",
        " . ": "",
    }
    assert dict(zip(texts, tokenize(list(texts)), strict=True)) == texts
    assert tokenize([]) == []


def test_a_text_s_tokens_are_its_own():
    texts = ["see No.", "1/2 cup", "", "\r\n", '"a', "*NL*"]
    texts += [f"add{end}b" for end in "\n\r\v\f\x85\u2028\u2029\ud800"]
    alone = dict(zip(texts, tokenize(texts), strict=True))
    assert alone["add\nb"] == alone["add\x85b"] == "add b"
    assert alone["see No."] == "see no"
    shuffled = random.Random(0).choices(texts, k=300)
    assert tokenize(shuffled) == [alone[text] for text in shuffled]


def test_meteor_by_hand(meteor):
    """P and R weigh content words 0.75 and function words 0.25; F = PR / (0.85 P + 0.15 R), times 1 - 0.6 for one
    match in one chunk. A perfect match has no such penalty.
    """
    pairs = [("a cat", "a dog"), ("a cat", "xyzzy"), ("a cat", "a cat"), ("", "a cat"), ("a cat", "")]
    assert meteor.score(pairs)[1].tolist() == pytest.approx([0.25 * 0.4, 0, 1, 0, 0])
    p, r = 0.25 / 2, 0.25 / 1.75
    assert meteor.score(pairs[:2])[0] == pytest.approx(0.4 * p * r / (0.85 * p + 0.15 * r))
    together, each = meteor.score([])
    assert together == 0
    assert each.shape == (0,)


def test_meteor_keeps_its_protocol(meteor):
    """Nothing in a text is taken for a separator, an end of line or a command."""
    odd = ["a | cat", "||| a cat", "a\ncat", "EVAL ||| 1\r\n", "crème \ud800 brûlée"]
    together, each = meteor.score([(text, text) for text in odd])
    assert (together, each.tolist()) == (1, [1] * len(odd))
    assert meteor.score([("a cat", "a cat")])[0] == 1


@given(PAIRS)
def test_meteor_is_a_fraction(meteor, pairs):
    together, each = meteor.score(pairs)
    assert len(each) == len(pairs)
    assert all(0 <= value <= 1 for value in (together, *each))
    assert meteor.score(pairs[::-1])[0] == pytest.approx(together)


def test_meteor_s_process_ends():
    with Meteor() as meteor:
        process = meteor._process
        assert process.poll() is None
    assert process.poll() is not None
    meteor = Meteor()
    with pytest.raises(KeyboardInterrupt), meteor:
        raise KeyboardInterrupt
    assert meteor._process.poll() is not None


def test_no_java():
    with pytest.raises(DuetError, match="java='/no/java' is no program: give"):
        Meteor(java="/no/java")
    with pytest.raises(DuetError, match="the tokenizer gave 0 lines for 1 texts"):
        tokenize(["a cat"], java="false")
    with Meteor(java="false") as meteor, pytest.raises(DuetError, match=r"METEOR ended \(it says nothing\): give"):
        meteor.score([("a cat", "a dog")])


def test_java_s_own_words_are_told(tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'Exception in thread main: no room' >&2\necho '  at Main' >&2\nexit 1\n")
    java.chmod(0o755)
    with Meteor(java=java) as meteor, pytest.raises(DuetError, match="no room"):
        meteor.score([("a cat", "a dog")])


def test_a_java_that_hangs_is_ended(tmp_path, monkeypatch):
    """Also a script's child, which keeps the pipes open."""
    monkeypatch.setattr(captioning, "METEOR_LIMIT", 0.2)
    monkeypatch.setattr(captioning, "TOKENIZER_LIMIT", 0.2)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nsleep 100\n")
    java.chmod(0o755)
    started = time.monotonic()
    with pytest.raises(DuetError, match=r"the tokenizer gave no answer in 0\.21 s and was ended"):
        tokenize(["a cat"], java=java)
    with Meteor(java=java) as meteor, pytest.raises(DuetError, match=r"METEOR gave no answer in 0\.2 s and was ended"):
        meteor.score([("a cat", "a dog")])
    assert time.monotonic() - started < 30


def test_no_jar(monkeypatch, tmp_path):
    monkeypatch.setattr(pycocoevalcap, "__path__", [str(tmp_path)])
    with pytest.raises(DuetError, match=r"meteor-1.5.jar is missing: `pip install"):
        Meteor()


def test_cider_by_hand():
    """Two words make n-grams of two of the four sizes. "a cat" and "a dog" share one of two words that weigh alike."""
    assert cider([("a cat", "a cat"), ("my dog", "my dog")]).tolist() == pytest.approx([5, 5])
    assert cider([("a cat", "a dog"), ("a cat", "xyzzy")]).tolist() == pytest.approx([10 * 0.5 / 4, 0])
    assert cider([("a cat", "a cat")]).tolist() == [0]
    assert cider([("a cat", ""), ("", "")]).tolist() == [0, 0]
    assert cider([]).shape == (0,)


@given(PAIRS)
def test_cider_is_at_most_10(pairs):
    each = cider(pairs)
    assert len(each) == len(pairs)
    assert np.all((each >= 0) & (each <= 10 + 1e-9))
