"""Requests to an endpoint: bounded in time and size, in an event loop of their own, and without secrets in messages."""

import asyncio
import base64
import re
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from mmduet.errors import DuetError

MOST_BYTES = 4_000_000  # of an answer
T = TypeVar("T")


def check_url(url: str) -> None:
    """Refuse a text that is no URL of an endpoint.

    Raises:
        DuetError: It is no URL of http or https.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url:
        raise DuetError(
            f"base_url={masked_url(url)!r} is no URL of an endpoint: give one such as http://localhost:8000/v1."
        )


# bounds


def bounded_client(seconds: float) -> Any:
    """An asynchronous httpx2 client for openai whose requests end in time. Redirects are not followed.

    A request raises httpx2.ReadTimeout if its complete answer takes longer, also if it comes byte by byte. It raises
    httpx2.DecodingError if the answer has more than MOST_BYTES, or is compressed, which is not requested.

    Args:
        seconds: Limit of a request with its complete answer.
    """
    import httpx2  # openai's
    from openai import DefaultAsyncHttpxClient

    class BoundedClient(DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
            request.headers["Accept-Encoding"] = "identity"
            try:
                async with asyncio.timeout(seconds):
                    response = await super().send(request, **(kwargs | {"stream": True, "follow_redirects": False}))
                    try:
                        content = await _read(response)
                    finally:
                        await response.aclose()
            except TimeoutError:
                raise httpx2.ReadTimeout(f"no complete answer in {seconds:g} s", request=request) from None
            return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)

    return BoundedClient()


async def _read(response: Any) -> bytes:
    import httpx2  # openai's

    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise httpx2.DecodingError("the answer is compressed, which was not asked for", request=response.request)
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > MOST_BYTES:
            raise httpx2.DecodingError(f"the answer has more than {MOST_BYTES} bytes", request=response.request)
    return bytes(content)


class EventLoop:
    """An event loop in a thread of its own, which lives as long as the `with` block."""

    def __enter__(self) -> "EventLoop":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start work; its result is available when it is done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work and wait for its result."""
        return self.start(work).result()


# secrets


def masked_url(url: str) -> str:
    """The URL with *** for a user and password, and for the values of its query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    host = f"***@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    query = (
        re.sub(r"(^|&)([^=&]*)=[^&]*", r"\1\2=***", parts.query) if "=" in parts.query else "***" * bool(parts.query)
    )
    return urlunsplit((parts.scheme, host, parts.path, query, "***" * bool(parts.fragment)))


def secrets_of(url: str, key: str) -> list[str]:
    """The secrets: the key and what `masked_url` hides, in every form that an endpoint may echo."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    login = unquote(user)
    found = [key if key != "none" else "", user, login, parts.username or "", parts.password or "", parts.query]
    found += [value for _, value in parse_qsl(parts.query)] + [base64.b64encode(login.encode()).decode()] * bool(login)
    forms = {form for secret in found for form in (secret, quote(secret, safe=""), unquote(secret))}
    return sorted((form for form in forms if len(form) >= 4), key=len, reverse=True)  # shorter ones occur in any text


def without(secrets: Sequence[str], text: str) -> str:
    """The text with *** for each secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
