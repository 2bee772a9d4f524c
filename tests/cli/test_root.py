"""What all commands share."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmduet.cli
from tests.cli.test_timing import write

# watch writes its files in any case, and a camera ends with its reader; report resumes
OPEN_END = {"watch.py", "report.py"}


def unread(*arguments, stderr):
    """Run Python with an output whose reader has left."""
    closed, out = os.pipe()
    os.close(closed)
    done = subprocess.run([sys.executable, *arguments], stdout=out, stderr=stderr, text=True, check=False)
    os.close(out)
    return done


@pytest.mark.parametrize("command", ["evaluate", "timing"])
def test_a_reader_that_leaves_loses_no_file(tmp_path, command):
    predictions, references = write(tmp_path, "charades_sta")
    given = {
        "evaluate": ["charades_sta", "--predictions", predictions, "--references", references],
        "timing": ["charades_sta", predictions, references],
    }
    output = tmp_path / "figures.json"
    done = unread("-m", "mmduet", command, *given[command], "--output", str(output), stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(output.read_text())) >= 7


def test_warnings_to_the_reader_that_left_end_no_command():
    code = "import sys; from mmduet.cli.root import say; say('figures'); print('warning', file=sys.stderr, flush=True)"
    assert unread("-c", code, stderr=subprocess.STDOUT).returncode == 0
    kept = unread("-c", code, stderr=subprocess.PIPE)
    assert (kept.returncode, kept.stderr) == (0, "warning\n"), "another reader still gets them"


def test_every_command_prints_with_say():
    for path in Path(mmduet.cli.__file__).parent.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        echoes = [node.lineno for node in calls if ast.unparse(node.func) in ("print", "typer.echo")]
        allowed = {"root.py": 2}.get(path.name, 0)  # `say` itself, and --version
        assert path.name in OPEN_END or len(echoes) == allowed, f"{path.name}, lines {echoes}: use say"
