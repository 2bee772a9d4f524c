"""A judge behind an OpenAI-compatible endpoint."""

import asyncio
import math
import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from mmduet.errors import DuetError
from mmduet.evaluation.judges.endpoint import EventLoop, bounded_client, check_url, masked_url, secrets_of, without
from mmduet.evaluation.judges.rating import (
    GRADES,
    Rating,
    Ratings,
    Rubric,
    Texts,
    check_at_least_one,
    parse_json,
    read_completion,
)

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True)
class EndpointJudge:
    """A model at an OpenAI-compatible endpoint, asked at temperature 0. An answer of more than 4 MB is refused.

    Attributes:
        model: The model's name there.
        base_url: A URL of http or https. Its secrets (user and password, values of its query) are never shown or kept.
        key_variable: The environment variable that holds the key; None: the endpoint needs none. It must be set;
            OPENAI_API_KEY only if base_url is OpenAI's, since most local servers need no key.
        concurrency: Requests at a time.
        timeout: Limit of one request with its complete answer, s.
        max_retries: Retries of one request, with growing pauses, after 408, 409, 429, 5xx, a time-out or a lost
            connection.
        max_tokens: Maximum tokens of an answer.
        rubric: What it is asked.
    """

    model: str
    base_url: str = field(default=OPENAI_URL, repr=False)
    key_variable: str | None = OPENAI_KEY
    concurrency: int = 8
    timeout: float = 60.0
    max_retries: int = 5
    max_tokens: int = 16
    rubric: Rubric = field(default=GRADES, repr=False)

    def __post_init__(self) -> None:
        check_at_least_one(self, "concurrency", "max_tokens")
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
        """The endpoint, the model, the length of an answer, and the prompt."""
        return f"endpoint {self.shown_url} {self.model} {self.max_tokens} {self.rubric.version}"

    def about(self, rubric: Rubric) -> "EndpointJudge":
        """The same judge, asked according to a rubric."""
        return replace(self, rubric=rubric)

    def body(self, texts: Texts) -> dict[str, Any]:
        """The request."""
        messages = [{"role": "user", "content": self.rubric.prompt(texts)}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens}

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Rate each reply. A request that fails gives a rating that is an error.

        Raises:
            DuetError: No request can succeed: a key is missing, the key is refused, or the model is unknown.
        """
        if not asked:  # needs no key
            return
        key = self._key
        secrets = secrets_of(self.base_url, key)
        # a loop in a thread of its own, because a notebook's loop is running already
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
            return read_completion(parse_json(without(secrets, response.text)), self.rubric.read)
        except (AuthenticationError, NotFoundError) as error:
            raise DuetError(
                f"{self.shown_url} refuses every request for model={self.model!r}: {without(secrets, str(error))}; "
                f"put the right key into {self.key_variable or 'key_variable'}, or correct base_url or model."
            ) from None  # the error that caused it shows the secrets
        except (OpenAIError, ValueError) as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            return Rating(None, None, without(secrets, f"{type(error).__name__}: {error}{cause}"))

    @property
    def _key(self) -> str:
        key = os.environ.get(self.key_variable) if self.key_variable else None
        if not key and (self.key_variable not in (None, OPENAI_KEY) or self._is_openai):
            raise DuetError(
                f"the environment variable {self.key_variable} is not set: put the key of {self.shown_url} there."
            )
        return key or "none"

    @property
    def _is_openai(self) -> bool:
        return urlsplit(self.base_url).hostname == urlsplit(OPENAI_URL).hostname

    async def _client(self, key: str) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=key,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.max_retries,
            http_client=bounded_client(self.timeout),
        )
