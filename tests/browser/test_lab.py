"""JupyterLab as `make lab` starts it: it asks no other machine for news or updates."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.browser.servers import serve

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that refuses everything, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(403)

        do_CONNECT = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_it_asks_for_no_news_and_no_updates(tmp_path: Path, proxy: tuple[str, list[str]]) -> None:
    made = subprocess.run(["make", "-n", "lab"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    (command,) = (line for line in made.splitlines() if "jupyter lab" in line)  # make has words of its own around it
    options = [word for word in re.findall(r"--\S+", command) if not word.startswith("--ServerApp")]
    local = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1")
    through = {name: proxy[0] for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    through |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with serve(tmp_path, "jupyterlab", *options, *local, **through) as (address, token):
        for path in ("news", "update", "extensions"):  # what its page asks of the server at the start
            with urlopen(f"{address}/lab/api/{path}?{token}") as answer:
                content = json.load(answer)
            assert path == "extensions" or content["notification" if path == "update" else "news"] in (None, [])
    assert not proxy[1]
