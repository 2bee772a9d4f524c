"""Commands on hostile inputs: no file outside the given folders is opened, nothing is run, no request is made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.clips import write_clip

ROOT = Path(__file__).resolve().parents[1]
# FFmpeg's own files are not seen here, Python's all are
WATCH = """
import json, os, sys
log, commands = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), json.loads(sys.argv[2])
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        tell("open", os.path.abspath(os.fsdecode(args[0])))
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        tell("request", repr(args[1:]))
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        tell("run", os.path.basename(str(args[0])))
def tell(*event):
    os.write(log, json.dumps(event).encode() + b"\\n")
sys.addaudithook(watch)
from mmduet.cli import main
for command in commands:
    sys.argv = ["mmduet", *command]
    try:
        main()
    except SystemExit as end:
        print("status", end.code, *command[:2], flush=True)
"""
TURN = {"role": "user", "content": "What? {outside}/secret.json http://203.0.113.9/x", "time": 0}
PLAYLISTS = {  # what a video may name
    "list.mp4": "ffconcat version 1.0\nfile {outside}/secret.mp4\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://203.0.113.9/a.ts\n#EXTINF:1,\n"
    "file://{outside}/secret.mp4\n#EXT-X-ENDLIST\n",
    "sdp.mp4": "v=0\no=- 0 0 IN IP4 203.0.113.9\ns=x\nc=IN IP4 203.0.113.9\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


def write_inputs(given: Path, outside: Path) -> None:
    for folder in (given / "videos", given / "notebooks", outside):
        folder.mkdir(parents=True)
    write_clip(outside / "secret.mp4")
    write_clip(given / "videos" / "a.mp4")
    for name, text in PLAYLISTS.items():
        (given / "videos" / name).write_text(text.format(outside=outside))
    turn = TURN | {"content": str(TURN["content"]).format(outside=outside)}
    for file, names in {"soft": ["a.mp4", *PLAYLISTS], "up": ["../../outside/secret.mp4"]}.items():
        asked = {"conversation": [turn], "timestamps": [[0, 1]]}
        items = [asked | {"question_id": number, "video": name} for number, name in enumerate(names)]
        (given / f"{file}.json").write_text(json.dumps(items))
    cells = [
        nbformat.v4.new_markdown_cell(f"# T\n\n![x](http://203.0.113.9/x.png) ![y]({outside}/secret.mp4)"),
        nbformat.v4.new_code_cell(f"x: list[open('{outside}/secret.mp4')] = 1", metadata={"tags": ["parameters"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), given / "notebooks" / "evil.ipynb")
    cells[1].source = "x: int = 1"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), given / "notebooks" / "n.ipynb")
    notebooks = {"evil": "notebooks/evil.ipynb", "up": "../outside/n.ipynb", "n": "notebooks/n.ipynb"}
    for name, notebook in notebooks.items():
        suite = f"name: s\ntitle: '![x](http://203.0.113.9/x)'\nruns:\n  - {{name: a, notebook: {notebook}}}\n"
        (given / f"{name}.yaml").write_text(suite)


def commands(given: Path) -> list[list[str]]:
    soft, written = ["--references", str(given / "soft.json")], str(given / "p.jsonl")
    predict = ["predict", "charades_sta", "--model", "tiny", "--videos", str(given / "videos")]
    refused = ["--references", str(given / "up.json"), "--output", str(given / "q.jsonl")]
    score = ["evaluate", "charades_sta", "--predictions", written, *soft]
    reports = [["report", str(given / f"{name}.yaml"), "--check"] for name in ("n", "evil", "up")]
    scan = ["scan", str(given / "videos"), "--output", str(given / "m.json"), "--workers", "1"]
    return [[*predict, *soft, "--output", written], [*predict, *refused], scan, score, *reports, ["doctor"]]


@pytest.mark.skipif(sys.platform != "linux", reason="its paths")
def test_no_command_leaves_the_given_folders(tmp_path: Path) -> None:
    given, outside, home, log = (tmp_path / name for name in ("given", "outside", "home", "log"))
    write_inputs(given, outside)
    home.mkdir()
    own = {"HOME": str(home), "MMDUET_CACHE": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", WATCH, str(log), json.dumps(commands(given))]
    done = subprocess.run(words, env=os.environ | own, cwd=given, capture_output=True, text=True, check=False)
    ends = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("status")]
    assert [status for status, *_ in ends][:7] == ["1", "1", "0", "0", "0", "1", "1"], done.stdout + done.stderr
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert [value for event, value in seen if event == "request"] == []
    opened = {value for event, value in seen if event == "open"}
    assert str(given / "soft.json") in opened, "the hook sees what is opened"
    places = [given, home, ROOT, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc", "/usr", "/lib"]
    assert {value for event, value in seen if event == "run"} == set()
    assert [path for path in opened - {str(log)} if not any(Path(path).is_relative_to(at) for at in places)] == []
    lines = [json.loads(line) for line in (given / "p.jsonl").read_text().splitlines()]
    assert ["error" in line for line in lines] == [False, True, True, True], "a playlist is no video"
