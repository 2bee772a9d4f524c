import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError


@pytest.mark.parametrize(
    ("benchmark", "given", "message"),
    [
        ("magqa", "--judge m --read-batch b.jsonl", "two judges, --judge and --read-batch: give one of them"),
        ("proactivevideoqa", "--judge m --answers a.json", "two judges, --judge and --answers: give one of them"),
        ("proactivevideoqa", "--read-batch b.jsonl --answers a.json", "two judges, --read-batch and --answers"),
        ("magqa", "--read-batch b.jsonl --url http://localhost:1/v1", "--url is the endpoint of a judge"),
        ("proactivevideoqa", "--url http://localhost:1/v1", "give --judge MODEL, too, or leave --url out"),
        ("magqa", "--write-batch new.jsonl", "no judge: give --judge MODEL, whose name the requests of new"),
        ("magqa", "--write-batch new.jsonl --read-batch b.jsonl", "no judge"),
        ("proactivevideoqa", "--write-batch new.jsonl --judge m --answers a.json", "--answers has answers"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_a_file_is_read(benchmark, given, message):
    command = ["evaluate", benchmark, "--predictions", "nowhere.jsonl", "--references", "nowhere.json"]
    with pytest.raises(DuetError, match=message):
        CliRunner().invoke(app, [*command, *given.split()], catch_exceptions=False)
