"""Judges: chat models that rate a reply against a gold answer, from 1 to 5.

`rate` asks a judge about pairs and keeps what it wrote in a file, so that nothing is asked twice. A judge is a model
on this computer, or an OpenAI-compatible endpoint, which can also be asked through batch files.
"""

import asyncio
import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from pydantic import BaseModel, StrictStr
from tqdm import tqdm

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.judges.endpoint import EventLoop, bounded_client, check_url, masked_url, secrets_of, without
from mmduet.files import LineFile, check_target, read_jsonl, validated, write_file
from mmduet.system.devices import choose_device, choose_dtype

PROMPT = """\
You grade what a system said about a video. Compare its reply with the correct answer to the question.

5: the reply says all of the correct answer and nothing against it
4: the reply says nearly all of it; a detail is missing or slightly off
3: the reply says part of it; another part is missing or wrong
2: the reply touches on it, but is mostly wrong or about something else
1: the reply is wrong, about something else, or empty

Question: {question}
Correct answer: {gold}
Reply: {reply}

Write the grade: one integer from 1 to 5, and nothing else."""
# a changed wording is another judge: its answers are not taken for the old one's
PROMPT_VERSION = hashlib.sha256(PROMPT.encode()).hexdigest()[:8]
OPENAI_URL = "https://api.openai.com/v1"
FIELDS = ("judge", "question", "gold", "reply", "answer")  # of a line of a cache
FIRST = b'{"judge": "'  # how it begins
BATCH_URL = "/v1/chat/completions"
_THOUGHT = re.compile(r"^.*</think>|<think>.*$", re.DOTALL)
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)?")

# what is judged: question, gold answer, reply
Texts = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A gold answer and a reply to one question. golds, replies: indices of all that have these very texts."""

    question_id: str
    golds: tuple[int, ...]
    replies: tuple[int, ...]
    texts: Texts

    @property
    def custom_id(self) -> str:
        """`QUESTION*GOLD,…*REPLY,…`, as the published batch files name a pair."""
        return f"{self.question_id}*{','.join(map(str, self.golds))}*{','.join(map(str, self.replies))}"


@dataclass(frozen=True, slots=True)
class Rating:
    """value: 1 to 5, or None: an error. text: what the judge wrote; None: it wrote nothing. reason: of an error."""

    value: int | None
    text: str | None
    reason: str = ""


Ratings = Generator[tuple[Texts, Rating], None, None]


class Judge(Protocol):
    """Rates replies."""

    @property
    def identity(self) -> str:
        """All that its ratings depend on."""
        ...

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """A rating for each, in any order, as they come."""
        ...


def prompt(texts: Texts) -> str:
    """What a judge is asked, as one user turn: some chat templates have no system role."""
    question, gold, reply = texts
    return PROMPT.format(question=question, gold=gold, reply=reply)


def read_rating(text: str) -> Rating:
    """The one number from 1 to 5 that a judge wrote; an error where it wrote none, another, or several different.

    What stands in <think> is not read.
    """
    numbers = {re.sub(r"[.,]0+$", "", number) for number in _NUMBER.findall(_THOUGHT.sub("", text))}
    if not numbers:
        return Rating(None, text, "no number")
    if len(numbers) > 1:
        return Rating(None, text, f"different numbers: {', '.join(sorted(numbers))}")
    (number,) = numbers
    if number not in ("1", "2", "3", "4", "5"):
        return Rating(None, text, f"{number} is no integer from 1 to 5")
    return Rating(int(number), text)


def rate(pairs: Sequence[Pair], judge: Judge, *, cache: str | Path | None = None) -> dict[str, Rating]:
    """custom_id -> rating of every pair; the same texts are asked once.

    cache: a file that answers are kept in, also the unreadable ones, and taken from. What could not be asked (a
    failed request) is an error now and asked again by the next run. Warns with the number of errors.
    """
    kept = AnswerCache(cache)
    known = {texts: read_rating(text) for texts, text in kept.of(judge).items()}
    missing = _missing(pairs, known)
    # closed whatever happens: an endpoint must not be asked on behind an error
    with closing(kept), closing(judge.ask(missing)) as answers:
        if missing:
            kept.open()
        for texts, rating in tqdm(answers, desc="judge", unit="pair", total=len(missing)):
            known[texts] = rating
            if rating.text is not None:
                kept.add(judge, texts, rating.text)
    ratings = {pair.custom_id: known[pair.texts] for pair in pairs}
    failed = errors(pairs, ratings)
    if len(failed):
        first = failed.iloc[0]
        warnings.warn(
            f"{len(failed)} of {len(pairs)} ratings are errors and count nowhere, the first of question "
            f"{first['question_id']!r}: {first['reason']}",
            stacklevel=2,
        )
    return ratings


def errors(pairs: Iterable[Pair], ratings: Mapping[str, Rating]) -> pd.DataFrame:
    """The pairs that have no rating: a row each, index custom_id, with the reason and what the judge wrote."""
    none = Rating(None, None, "not rated")
    rows = {
        pair.custom_id: (pair.question_id, *pair.texts, rating.reason, rating.text)
        for pair in pairs
        if (rating := ratings.get(pair.custom_id, none)).value is None
    }
    columns = ["question_id", "question", "gold", "reply", "reason", "text"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("custom_id")


def _missing(pairs: Iterable[Pair], known: Mapping[Texts, Any]) -> list[Texts]:
    return list(dict.fromkeys(pair.texts for pair in pairs if pair.texts not in known))


# what it will take


@dataclass(frozen=True, slots=True)
class Workload:
    """Of `rate`, before it starts. pairs: all. cached: of them answered already. asked: requests, the same texts once.

    input_tokens: characters of the prompts / 4. output_tokens: 2 a request. cost: None without prices.
    """

    pairs: int
    cached: int
    asked: int
    input_tokens: int
    output_tokens: int
    cost: float | None

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", cost about {self.cost:.2f}"
        return (
            f"{self.pairs} pairs, {self.cached} of them answered already; {self.asked} to ask: "
            f"about {self.input_tokens} tokens in and {self.output_tokens} out{cost}"
        )


def estimate(
    pairs: Sequence[Pair],
    judge: Judge,
    *,
    cache: str | Path | None = None,
    prices: tuple[float, float] | None = None,
) -> Workload:
    """What `rate` will ask. Asks nothing. prices: of a million input tokens and of a million output tokens.

    Raises DuetError for prices that are no amounts.
    """
    if prices is not None and not all(0 <= price < math.inf for price in prices):
        raise DuetError(f"prices={prices}: a price is 0 or more.")
    known = AnswerCache(cache).of(judge)
    missing = _missing(pairs, known)
    input_tokens = math.ceil(sum(len(prompt(texts)) for texts in missing) / 4)
    output_tokens = 2 * len(missing)
    cost = None if prices is None else (input_tokens * prices[0] + output_tokens * prices[1]) / 1e6
    cached = sum(pair.texts in known for pair in pairs)
    return Workload(len(pairs), cached, len(missing), input_tokens, output_tokens, cost)


# what was answered


class AnswerCache:
    """What judges wrote, a JSON line each, only ever appended to. A line that a killed run truncated is cut off when
    the next answer is added.

    Raises DuetError when the file is something else, and FileError when it cannot be written or another process
    writes it. path None: nothing is kept.
    """

    def __init__(self, path: str | Path | None):
        self.path = None if path is None else Path(path)
        self._answers: dict[tuple[str, Texts], str] = {}
        self._file: LineFile | None = None
        if self.path is not None:
            if self.path.is_file():
                self._read(self.path)
            check_target(self.path, ours=lambda path: bool(self._answers) or _is_cut(path.read_bytes()))

    def of(self, judge: Judge) -> dict[Texts, str]:
        """One judge's answers."""
        return {texts: text for (identity, texts), text in self._answers.items() if identity == judge.identity}

    def open(self) -> None:
        """Let no other process add answers until `close`."""
        if self.path is not None and self._file is None:
            self._file = LineFile(self.path)

    def add(self, judge: Judge, texts: Texts, text: str) -> None:
        """Keep an answer: one write of one complete line, which is checked."""
        self._answers[judge.identity, texts] = text
        self.open()
        if self._file is not None:
            self._file.add(dict(zip(FIELDS, (judge.identity, *texts, text), strict=True)))

    def close(self) -> None:
        """Let other processes add answers."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, path: Path) -> None:
        lines = path.read_bytes().split(b"\n")[:-1]  # without what a killed run truncated
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = validated(f"{path}, line {number}", _Kept, _parsed(line.decode()), place="field")
            except (ValueError, AnnotationError) as error:
                if _is_truncated(line):
                    continue
                raise AnnotationError(
                    f"{path}, line {number}: {error}; this is no file of judges' answers: give another cache."
                ) from None
            self._answers[entry.judge, (entry.question, entry.gold, entry.reply)] = entry.answer


class _Kept(BaseModel):
    """A line of the cache."""

    judge: StrictStr
    question: StrictStr
    gold: StrictStr
    reply: StrictStr
    answer: StrictStr


def _is_truncated(line: bytes) -> bool:
    """Whether a line is the beginning of an entry, and not all of it."""
    return _is_cut(line) and not line.rstrip().endswith(b"}")


def _parsed(text: str) -> Any:
    """Of JSON; ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _is_cut(content: bytes) -> bool:
    """Whether a file without a complete line begins as a cache does."""
    return content[: len(FIRST)] == FIRST[: len(content)]


# a model on this computer


@dataclass(frozen=True)
class LocalJudge:
    """A chat model through transformers, greedy. It is loaded when it is first asked.

    model: a folder or a hub id, of a causal LM whose tokenizer has a chat template. device: as transformers'
    device_map: auto (spread over all GPUs there are, else the CPU), cpu, cuda. dtype: auto (bfloat16 on a GPU, float32
    on a CPU), float32, bfloat16, … batch_size: prompts at a time.
    """

    model: str
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 8
    max_new_tokens: int = 16

    def __post_init__(self) -> None:
        _at_least_one(self, "batch_size", "max_new_tokens")

    @property
    def identity(self) -> str:
        """Model, precision, length of an answer, prompt."""
        return f"local {self.model} {self._precision} {self.max_new_tokens} {PROMPT_VERSION}"

    @cached_property
    def _precision(self) -> str:
        return str(choose_dtype(self.dtype, choose_device(self.device))).removeprefix("torch.")

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Raises DuetError when the model cannot be loaded or is no chat model."""
        # those of a batch are about as long: little padding
        ordered = sorted(asked, key=lambda texts: len(prompt(texts)))
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            yield from zip(batch, map(read_rating, self._answers(batch)), strict=True)

    def _answers(self, batch: Sequence[Texts]) -> list[str]:
        model, tokenizer = self._loaded
        inputs = tokenizer.apply_chat_template(
            [[{"role": "user", "content": _encodable(prompt(texts))}] for texts in batch],
            add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True,
        ).to(model.device)  # fmt: skip
        output = model.generate(
            **inputs, do_sample=False, temperature=None, top_p=None, top_k=None,
            max_new_tokens=self.max_new_tokens, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(self.model, padding_side="left", trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                self.model, dtype=self._precision, device_map=self.device, trust_remote_code=False
            )
        # torch has a kind of error for every wrong device and dtype
        except (OSError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
            raise DuetError(
                f"judge {self.model!r} cannot be loaded with device={self.device!r}, dtype={self.dtype!r}: {error}"
            ) from error
        if tokenizer.chat_template is None:
            raise DuetError(f"judge {self.model!r} has no chat template: give a model that is tuned to chat.")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model.eval(), tokenizer


def _encodable(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes."""
    return text.encode(errors="replace").decode()


# an endpoint


@dataclass(frozen=True)
class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint, at temperature 0.

    base_url: http or https; what is secret in it (a user and password, the values of its query) is never shown or kept.
    key_variable: the environment variable that holds the key; None: the endpoint wants none. concurrency: requests at
    a time. timeout: of one request with all of its answer, s. max_retries: of one request, with growing pauses, after
    408, 409, 429, 5xx, a time-out or a lost connection. An answer of more than 4 MB is refused.
    """

    model: str
    base_url: str = field(default=OPENAI_URL, repr=False)
    key_variable: str | None = "OPENAI_API_KEY"
    concurrency: int = 8
    timeout: float = 60.0
    max_retries: int = 5
    max_tokens: int = 16

    def __post_init__(self) -> None:
        _at_least_one(self, "concurrency", "max_tokens")
        if not 0 < self.timeout < math.inf or self.max_retries < 0:
            raise DuetError(
                f"timeout={self.timeout}, max_retries={self.max_retries}: a request has some seconds, and 0 retries or "
                "more."
            )
        check_url(self.base_url)

    @property
    def shown_url(self) -> str:
        """The URL without its secrets."""
        return masked_url(self.base_url)

    @property
    def identity(self) -> str:
        """Endpoint, model, length of an answer, prompt."""
        return f"endpoint {self.shown_url} {self.model} {self.max_tokens} {PROMPT_VERSION}"

    def body(self, texts: Texts) -> dict[str, Any]:
        """The request."""
        messages = [{"role": "user", "content": prompt(texts)}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens}

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """A request that fails is an error row. Raises DuetError where none can succeed: no key, a refused key, an
        unknown model.
        """
        key = self._key
        secrets = secrets_of(self.base_url, key)
        # a loop in a thread of its own, for a notebook's is running already
        with EventLoop() as loop:
            client = loop.run(self._client(key))
            gate = asyncio.Semaphore(self.concurrency)
            running = {loop.start(self._ask(client, gate, texts, secrets)): texts for texts in asked}
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            finally:
                for future in running:
                    future.cancel()
                loop.run(client.close())

    async def _ask(self, client: Any, gate: asyncio.Semaphore, texts: Texts, secrets: Sequence[str]) -> Rating:
        from openai import AuthenticationError, NotFoundError, OpenAIError

        try:
            async with gate:
                response = await client.chat.completions.with_raw_response.create(**self.body(texts))
            return _read_body(_parsed(without(secrets, response.text)))
        except (AuthenticationError, NotFoundError) as error:
            raise DuetError(
                f"{self.shown_url} refuses every request for model={self.model!r}: {without(secrets, str(error))}; "
                f"correct the key in {self.key_variable}, base_url or model."
            ) from None  # the error that caused it shows the secrets
        except (OpenAIError, ValueError) as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            return Rating(None, None, without(secrets, f"{type(error).__name__}: {error}{cause}"))

    @property
    def _key(self) -> str:
        key = "none" if self.key_variable is None else os.environ.get(self.key_variable)
        if not key:
            raise DuetError(
                f"the environment variable {self.key_variable} is not set: put the key of {self.shown_url} there, or "
                "give key_variable=None."
            )
        return key

    async def _client(self, key: str) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=key,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.max_retries,
            http_client=bounded_client(self.timeout),
        )


def write_batch(path: str | Path, pairs: Iterable[Pair], judge: EndpointJudge) -> int:
    """Requests for OpenAI's Batch API, a line a pair; their number. It takes at most 50,000 in a file."""
    check_batch(path)
    lines = [
        {"custom_id": pair.custom_id, "method": "POST", "url": BATCH_URL, "body": judge.body(pair.texts)}
        for pair in pairs
    ]
    write_file(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return len(lines)


def check_batch(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write batch requests over anything else, before any work is done. inputs: what the command reads.

    Raises FileError.
    """
    check_target(path, ours=lambda found: all("custom_id" in line for _, line in read_jsonl(found)), inputs=inputs)


def read_batch(path: str | Path, pairs: Sequence[Pair]) -> dict[str, Rating]:
    """custom_id -> rating, of a batch's output file or error file. Lines of questions not in `pairs` do not count.

    Of several lines for a pair the last readable one holds. Raises DuetError naming the file and the line when it is
    no such line, or when it is of one of these questions but of other replies.
    """
    if not Path(path).exists():
        raise DuetError(f"{path} does not exist: fetch the batch's output file, or correct the path.")
    names, questions = {pair.custom_id for pair in pairs}, {pair.question_id for pair in pairs}
    ratings: dict[str, Rating] = {}
    for number, entry in read_jsonl(path):
        name, rating = _read_batch_line(f"{path}, line {number}", entry)
        if name in names:
            ratings[name] = rating if rating.value is not None else ratings.get(name, rating)
        elif name.rsplit("*", 2)[0] in questions:
            raise DuetError(f"{path}, line {number}: {name!r} is no pair of these predictions: made for others?")
    return ratings


class _BatchLine(BaseModel):
    custom_id: StrictStr
    response: dict[str, Any] | None = None
    error: Any = None


def _read_batch_line(where: str, entry: Any) -> tuple[str, Rating]:
    line = validated(where, _BatchLine, entry, place="field")
    if line.error:
        return line.custom_id, Rating(None, None, _written(line.error))
    return line.custom_id, _read_body(line.response and line.response.get("body"))


def _read_body(body: Any) -> Rating:
    """Of a chat completion; an answer without content is an empty one."""
    try:
        content = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        content = 0
    if content is None or isinstance(content, str):
        return read_rating(content or "")
    return Rating(None, None, f"no chat completion: {_written(body)}")


def _written(value: Any) -> str:
    """JSON, its beginning."""
    try:
        return json.dumps(value, ensure_ascii=False)[:300]
    except RecursionError:
        return "nested too deeply"


def _at_least_one(judge: LocalJudge | EndpointJudge, *names: str) -> None:
    for name in names:
        if (value := getattr(judge, name)) < 1:
            raise DuetError(f"{name}={value}: must be at least 1.")
