import errno
import json
import os
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from mmduet.errors import DuetError, FileError
from mmduet.evaluation.judges import (
    AnswerCache,
    EndpointJudge,
    LocalJudge,
    Pair,
    Rating,
    Rubric,
    check_any_rated,
    errors,
    estimate,
    prompt,
    rate,
    read_batch,
    read_rating,
    write_batch,
)
from mmduet.evaluation.judges.rating import PROMPT
from mmduet.files import LineFile, unwritable

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def pair(reply="A cat.", *, gold="A cat sits.", name="v.mp4", golds=(0,), replies=(0,)):
    return Pair(name, golds, replies, ("What is there?", gold, reply))


def pairs_of(*replies):
    return [pair(reply, replies=(i,)) for i, reply in enumerate(replies)]


class Fixed:
    """Writes what it was given, a text a reply; None: it cannot be asked. asked: what it was asked."""

    def __init__(self, answers, identity="fixed"):
        self.answers, self.identity, self.asked = answers, identity, []

    def ask(self, asked):
        for texts in asked:
            self.asked.append(texts)
            text = self.answers[texts[2]]
            yield texts, Rating(None, None, "no connection") if text is None else read_rating(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4), (" 1\n", 1), ("5.", 5), ("**3**", 3), ("Grade: 2", 2), ("4, because …", 4), ("4 … so: 4", 4),
        ("4.0", 4), ("<think>1, 2 or 3?</think>\n5", 5), ("is it 2?</think>3", 3),
        ("", None), ("good", None), ("0", None), ("6", None), ("10", None), ("42", None), ("-3", None), ("3.5", None),
        ("3,5", None), ("4/5", None), ("1-5: 4", None), ("between 2 and 3", None), ("five", None),
        ("<think>perhaps 4", None), ("４", None),
    ],
)  # fmt: skip
def test_what_a_judge_wrote(text, value):
    rating = read_rating(text)
    assert rating.value == value
    assert rating.text == text
    assert bool(rating.reason) == (value is None)


@given(st.text(max_size=30))
def test_any_text_is_a_rating_or_an_error(text):
    rating = read_rating(text)
    assert rating.value in (1, 2, 3, 4, 5) or (rating.value is None and rating.reason)
    assert rating.text == text


def test_the_prompt_holds_the_texts_as_they_are():
    texts = ("Wer? {gold}", "Käse {0}", "猫 \\n %s")
    asked = prompt(texts)
    assert all(text in asked for text in texts)
    assert asked.endswith(PROMPT[-40:])


def test_custom_id():
    assert pair(golds=(0, 2), replies=(1, 3, 5)).custom_id == "v.mp4*0,2*1,3,5"


# rate


def test_the_same_texts_are_asked_once():
    judge = Fixed({"x": "4", "y": "2"})
    asked = [pair("x"), pair("y", replies=(1,)), pair("x", name="w.mp4")]
    assert {name: r.value for name, r in rate(asked, judge).items()} == {"v.mp4*0*0": 4, "v.mp4*0*1": 2, "w.mp4*0*0": 4}
    assert [texts[2] for texts in judge.asked] == ["x", "y"]
    assert rate([], judge) == {}


def test_errors_are_counted_named_and_never_a_rating(tmp_path):
    judge = Fixed({"x": "4", "y": "good", "z": None})
    asked = pairs_of("x", "y", "z")
    with pytest.warns(UserWarning, match="2 of 3 ratings are errors.*'v.mp4': no number"):
        ratings = rate(asked, judge, cache=tmp_path / "cache.jsonl")
    assert [rating.value for rating in ratings.values()] == [4, None, None]
    assert errors(asked, ratings)["reason"].to_dict() == {"v.mp4*0*1": "no number", "v.mp4*0*2": "no connection"}
    again = Fixed({"z": "1"})  # what was answered stays answered, readable or not; what was not is asked again
    with pytest.warns(UserWarning, match="1 of 3"):
        ratings = rate(asked, again, cache=tmp_path / "cache.jsonl")
    assert [rating.value for rating in ratings.values()] == [4, None, 1]


@settings(max_examples=40)
@given(st.lists(st.text(max_size=8), max_size=8), st.data())
def test_a_second_run_asks_nothing(tmp_path_factory, replies, data):
    path = tmp_path_factory.mktemp("cache") / "made" / "cache.jsonl"
    answers = {reply: data.draw(st.sampled_from("12345")) for reply in replies}
    first = rate(pairs_of(*replies), Fixed(answers), cache=path)
    content = path.read_bytes() if replies else b""
    silent = Fixed({})
    assert rate(data.draw(st.permutations(pairs_of(*replies))), silent, cache=path) == first
    assert silent.asked == []
    assert (path.read_bytes() if replies else b"") == content


def test_another_judge_is_asked_itself(tmp_path):
    path = tmp_path / "cache.jsonl"
    rate([pair("x")], Fixed({"x": "4"}), cache=path)
    assert rate([pair("x")], Fixed({"x": "1"}, identity="other"), cache=path)["v.mp4*0*0"].value == 1
    assert rate([pair("x")], Fixed({}), cache=path)["v.mp4*0*0"].value == 4


# the cache


@settings(max_examples=60)
@given(st.data())
def test_a_torn_line_costs_that_line_only(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cache") / "cache.jsonl"
    answers = {"x": "1", "猫": "2", "z": "3"}
    rate(pairs_of(*answers), Fixed(answers), cache=path)
    content = path.read_bytes()
    kept = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:kept])
    judge = Fixed(answers)
    assert [r.value for r in rate(pairs_of(*answers), judge, cache=path).values()] == [1, 2, 3]
    whole = sum(end < kept for end in [i for i, byte in enumerate(content) if byte == ord("\n")])
    assert len(judge.asked) == 3 - whole
    silent = Fixed({})
    assert [r.value for r in rate(pairs_of(*answers), silent, cache=path).values()] == [1, 2, 3]


def test_a_run_that_stops_keeps_what_was_answered(tmp_path):
    class Stopping(Fixed):
        def ask(self, asked):
            yield from super().ask(asked[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rate(pairs_of("x", "y", "z"), Stopping({"x": "1", "y": "2"}), cache=tmp_path / "cache.jsonl")
    judge = Fixed({"z": "3"})
    assert [r.value for r in rate(pairs_of("x", "y", "z"), judge, cache=tmp_path / "cache.jsonl").values()] == [1, 2, 3]


def test_a_cache_that_cannot_be_written_is_told_before_the_asking(tmp_path):
    (tmp_path / "file").write_text("")
    judge = Fixed({"x": "1", "y": "2"})
    with pytest.raises(FileError, match="file"):
        rate(pairs_of("x", "y"), judge, cache=tmp_path / "file" / "cache.jsonl")
    assert judge.asked == []


def test_a_full_disk_ends_the_asking(tmp_path, monkeypatch):
    """The answer that did not fit is asked again by the next run."""

    class Closed(Fixed):
        closed = False

        def ask(self, asked):
            try:
                yield from super().ask(asked)
            finally:
                self.closed = True

    path, judge = tmp_path / "cache.jsonl", Closed({"x": "1", "y": "2"})
    with monkeypatch.context() as patch:
        patch.setattr(LineFile, "add", full_after(1, LineFile.add))
        with pytest.raises(FileError, match="No space left"):
            rate(pairs_of("x", "y"), judge, cache=path)
    assert judge.closed
    assert path.read_bytes().count(b"\n") == 1
    rate(pairs_of("x", "y"), judge, cache=path)
    assert path.read_bytes().count(b"\n") == 2


def full_after(count, add):
    calls = iter(range(100))

    def full(file, value):
        if next(calls) == count:
            raise unwritable(file.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        add(file, value)

    return full


def test_one_run_a_cache(tmp_path):
    judge = Fixed({"x": "1"})
    with LineFile(tmp_path / "cache.jsonl"), pytest.raises(FileError, match=f"by process {os.getpid()}"):
        rate(pairs_of("x"), judge, cache=tmp_path / "cache.jsonl")
    assert judge.asked == []


@pytest.mark.parametrize("text", ["notes", "[\n1\n]", '{"judge": 1', "\n\nx\n"])
def test_a_file_of_another_kind_is_no_cache(tmp_path, text):
    (tmp_path / "cache.jsonl").write_text(text)
    with pytest.raises(DuetError, match=r"another kind|no file of judges' answers"):
        AnswerCache(tmp_path / "cache.jsonl")
    assert (tmp_path / "cache.jsonl").read_text() == text


def test_batch_requests_replace_nothing_else(tmp_path):
    (tmp_path / "gold.json").write_text('[{"question_id": 1}]')
    with pytest.raises(FileError, match="another kind"):
        write_batch(tmp_path / "gold.json", [pair("x")], EndpointJudge("m"))
    for _ in range(2):
        write_batch(tmp_path / "batch.jsonl", [pair("x")], EndpointJudge("m"))


def test_another_file_is_no_cache(written):
    path = written({"question_id": "a", "video_duration": 3.0})
    with pytest.raises(DuetError, match=r"line 1: field judge: .*; this is no file of judges' answers"):
        AnswerCache(path)


# the estimate


def test_the_estimate(tmp_path):
    path = tmp_path / "cache.jsonl"
    rate([pair("x")], Fixed({"x": "4"}), cache=path)
    judge = Fixed({})
    asked = [*pairs_of("x", "y", "zz"), pair("y", name="w.mp4")]
    work = estimate(asked, judge, cache=path, prices=(2.5, 10.0))
    assert judge.asked == []
    characters = len(prompt(pair("y").texts)) + len(prompt(pair("zz").texts))
    assert (work.pairs, work.cached, work.asked) == (4, 1, 2)
    assert (work.input_tokens, work.output_tokens) == (-(-characters // 4), 4)
    assert work.cost == (work.input_tokens * 2.5 + 4 * 10.0) / 1e6
    assert str(work).startswith("4 pairs, 1 of them answered already; 2 to ask: about ")
    assert estimate(asked, judge).cost is None


# an endpoint


class Server:
    """Answers chat requests with what a function of (reply in the prompt, number of the try) gives:
    (status, headers, body).
    """

    def __init__(self, answer):
        self.tries, self.bodies, self.headers = Counter(), [], []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = body["messages"][0]["content"].split("Reply: ")[1].split("\n")[0]
                with outer.lock:
                    outer.bodies.append((self.path, body))
                    outer.headers.append(self.headers)
                    outer.tries[reply] += 1
                    number = outer.tries[reply]
                status, headers, content = answer(reply, number)
                try:
                    self.send_response(status)
                    for name, value in ({"Content-Type": "application/json"} | headers).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client waits no longer

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def judge(self, **kwargs):
        settings = {"key_variable": None, "max_retries": 2, "timeout": 10.0}
        return EndpointJudge("some-model", self.url, **(settings | kwargs))

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def completion(text, status=200, **headers):
    return status, headers, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


SOON = {"retry-after-ms": "1"}


def test_what_is_sent(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_KEY", "the-key")
    server = serve(lambda reply, number: completion("3"))
    judge = server.judge(key_variable="SOME_KEY", max_tokens=7)
    assert rate([pair("A café.")], judge)["v.mp4*0*0"] == Rating(3, "3")
    ((path, body),) = server.bodies
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": prompt(pair("A café.").texts)}],
        "temperature": 0,
        "max_tokens": 7,
    }
    assert server.headers[0]["Authorization"] == "Bearer the-key"
    assert "the-key" not in repr(judge) + judge.identity
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(DuetError, match="SOME_KEY is not set"):
        rate([pair("A dog.")], judge)


@pytest.mark.parametrize(("key", "sent"), [(None, "Bearer none"), ("the-key", "Bearer the-key")])
def test_an_endpoint_of_ones_own_needs_no_key(serve, monkeypatch, key, sent):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    server = serve(lambda reply, number: completion("3"))
    assert rate([pair()], EndpointJudge("some-model", server.url))["v.mp4*0*0"].value == 3
    assert server.headers[0]["Authorization"] == sent


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "https://API.OpenAI.com:443/v1/", "http://api.openai.com"]
)
def test_openai_needs_a_key_where_something_is_asked(monkeypatch, url):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(DuetError, match=r"OPENAI_API_KEY is not set: put the key of http.* there\.$"):
        rate([pair()], EndpointJudge("some-model", url))
    assert rate([], EndpointJudge("some-model", url)) == {}


def test_an_endpoint_that_misbehaves_and_then_answers(serve, tmp_path):
    released = threading.Event()

    def answer(reply, number):
        if number == 1 and reply == "busy":
            return 429, {"Retry-After": "0"}, b"{}"
        if number <= 2 and reply == "broken":
            return 500, SOON, b"oops"
        if number == 1 and reply == "slow":
            released.wait()  # longer than the client does
        return completion({"busy": "1", "broken": "2", "slow": "3", "fine": "4"}[reply])

    server = serve(answer)
    asked = pairs_of("busy", "broken", "slow", "fine")
    try:
        ratings = rate(asked, server.judge(timeout=0.5), cache=tmp_path / "cache.jsonl")
    finally:
        released.set()
    assert [rating.value for rating in ratings.values()] == [1, 2, 3, 4]
    assert server.tries == {"busy": 2, "broken": 3, "slow": 2, "fine": 1}
    before = len(server.bodies)
    assert rate(asked, server.judge(), cache=tmp_path / "cache.jsonl") == ratings
    assert len(server.bodies) == before


def test_failures_are_errors_and_the_run_goes_on(serve, tmp_path):
    healthy = threading.Event()
    failing = {
        "busy": (429, SOON, b"{}"),
        "down": (503, SOON, b"down"),
        "bad": (400, {}, b'{"error": {"message": "too long"}}'),
        "no json": (200, {}, b'{"choices": [{"mess'),
        "html": (200, {"Content-Type": "text/html"}, b"<html></html>"),
        "no choice": (200, {}, b'{"choices": []}'),
        "other": (200, {}, b"[1]"),
    }

    def answer(reply, number):
        if healthy.is_set() or reply == "fine":
            return completion("5")
        return failing[reply] if reply in failing else completion("good" if reply == "chatty" else None)

    server = serve(answer)
    asked = pairs_of(*failing, "chatty", "empty", "fine")
    with pytest.warns(UserWarning, match="9 of 10 ratings are errors"):
        ratings = rate(asked, server.judge(max_retries=1), cache=tmp_path / "cache.jsonl")
    found = dict(zip([pair.texts[2] for pair in asked], ratings.values(), strict=True))
    assert [reply for reply, rating in found.items() if rating.value is not None] == ["fine"]
    assert server.tries == {name: 2 if name in ("busy", "down") else 1 for name in found}
    wanted = {"busy": "RateLimitError", "down": "InternalServerError", "bad": "too long", "no json": "JSONDecodeError",
              "html": "JSONDecodeError", "no choice": "no chat completion", "other": "no chat completion",
              "chatty": "no number", "empty": "no number"}  # fmt: skip
    for name, part in wanted.items():
        assert part in found[name].reason
    assert {name: found[name].text for name in ("chatty", "empty", "bad")} == {
        "chatty": "good",
        "empty": "",
        "bad": None,
    }
    healthy.set()  # a later run asks only what got no answer
    before = len(server.bodies)
    with pytest.warns(UserWarning, match="2 of 10"):
        rate(asked, server.judge(), cache=tmp_path / "cache.jsonl")
    assert len(server.bodies) - before == len(failing)


def test_nobody_listens(serve):
    server = serve(lambda reply, number: completion("1"))
    server.close()
    with pytest.warns(UserWarning, match="APIConnectionError"):
        rate([pair()], server.judge(max_retries=0))


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_of_all_requests_ends_the_run(serve, tmp_path, status):
    over = threading.Event()

    def answer(reply, number):
        if reply not in ("0", "1"):
            over.wait()  # whatever is asked after the refusal
        return completion("4") if reply == "0" else (status, {}, b'{"error": "no"}')

    server = serve(answer)
    path = tmp_path / "cache.jsonl"
    try:
        with pytest.raises(DuetError, match="refuses every request for model='some-model'"):
            rate(pairs_of(*map(str, range(50))), server.judge(concurrency=1), cache=path)
        assert len(server.bodies) <= 3
    finally:
        over.set()
    assert len(path.read_text().splitlines()) == 1


def test_as_many_requests_at_a_time_as_allowed(serve):
    lock, together = threading.Lock(), threading.Barrier(3, timeout=30)
    running, most = 0, 0

    def answer(reply, number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()  # none is answered before three are asked
        with lock:
            running -= 1
        return completion("3")

    server = serve(answer)
    ratings = rate(pairs_of(*map(str, range(9))), server.judge(concurrency=3, timeout=60.0))
    assert [rating.value for rating in ratings.values()] == [3] * 9
    assert most == 3


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"max_tokens": 0}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(DuetError, match="must be at least 1"):
        EndpointJudge("m", **wrong)


# batch files


def test_batch_requests(tmp_path):
    asked = [pair("x", golds=(0, 2), replies=(1,)), pair("猫", replies=(0, 3))]
    judge = EndpointJudge("some-model")
    assert write_batch(tmp_path / "made" / "batch.jsonl", asked, judge) == 2
    lines = [json.loads(line) for line in (tmp_path / "made" / "batch.jsonl").read_text().splitlines()]
    names = [line["custom_id"] for line in lines]
    assert [name.rsplit("-", 1)[0] for name in names] == ["v.mp4*0,2*1", "v.mp4*0*0,3"]
    assert lines[1] == {
        "custom_id": names[1],
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": judge.body(asked[1].texts),
    }


def answered(name, text, **more):
    return {
        "custom_id": name,
        "response": {"status_code": 200, "body": {"choices": [{"message": {"content": text}}]}},
    } | more


def test_batch_answers(written):
    asked = [*pairs_of("a", "b", "c", "d", "e"), pair("f", name="a*b.mp4")]
    path = written(
        answered("v.mp4*0*0", "4", error=None),
        answered("v.mp4*0*1", "good"),
        {"custom_id": "v.mp4*0*2", "response": None, "error": {"code": "batch_expired", "message": "too late"}},
        {"custom_id": "v.mp4*0*3", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}},
        "",
        answered("other.mp4*0*0", "4"),
        answered("a*b.mp4*0*0", "5"),
        answered("v.mp4*0*0", "hm"),
    )
    ratings = read_batch(path, asked)
    assert {name: rating.value for name, rating in ratings.items()} == {
        "v.mp4*0*0": 4, "v.mp4*0*1": None, "v.mp4*0*2": None, "v.mp4*0*3": None, "a*b.mp4*0*0": 5,
    }  # fmt: skip
    reasons = errors(asked, ratings)["reason"].to_dict()
    assert list(reasons) == ["v.mp4*0*1", "v.mp4*0*2", "v.mp4*0*3", "v.mp4*0*4"]
    for reason, part in zip(reasons.values(), ["no number", "too late", "too long", "not rated"], strict=True):
        assert part in reason


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"custom_id": "v.m', "line 2: no JSON"),
        ({"response": {}}, "line 2: field custom_id: Field required"),
        ({"custom_id": "v.mp4*0*0", "response": 3}, "line 2: field response: .*valid dictionary; found 3"),
        (["custom_id"], "line 2: field: .*valid dictionary"),
        ({"custom_id": "v.mp4*0*0", "method": "POST", "body": {}}, "line 2: .* has neither a response nor an error"),
        (answered("v.mp4*0*0,1", "4"), r"line 2: 'v.mp4\*0\*0,1' is no pair of these predictions"),
    ],
)
def test_no_batch_file(written, line, message):
    with pytest.raises(DuetError, match=message):
        read_batch(written(answered("v.mp4*0*0", "4"), line), [pair()])
    with pytest.raises(DuetError, match="does not exist"):
        read_batch("missing.jsonl", [pair()])


TEXTS = st.tuples(*[st.text(max_size=5)] * 3)


@given(TEXTS, TEXTS, st.sampled_from(["v.mp4", "a*b", "x-0123abcd", "1"]))
def test_ratings_of_other_texts_are_refused(tmp_path_factory, texts, other, name):
    folder = tmp_path_factory.mktemp("batch")
    write_batch(folder / "requests.jsonl", [Pair(name, (0,), (1,), texts)], EndpointJudge("m"))
    request = json.loads((folder / "requests.jsonl").read_text())
    (folder / "answers.jsonl").write_text(json.dumps(answered(request["custom_id"], "4")))
    asked = [Pair(name, (0,), (1,), other)]
    if other == texts:
        assert read_batch(folder / "answers.jsonl", asked)[asked[0].custom_id].value == 4
    else:
        with pytest.raises(DuetError, match=r"line 1: .* is no pair of these predictions: give the batch"):
            read_batch(folder / "answers.jsonl", asked)


def test_names_without_a_digest_are_read_with_a_warning(written):
    path = written(answered("v.mp4*0*0", "4"))
    with pytest.warns(UserWarning, match="1 ratings name positions without a digest of the texts"):
        assert read_batch(path, [pair()])["v.mp4*0*0"].value == 4


@given(st.lists(st.sampled_from([None, 1, 5])))
def test_ratings_without_any_grade_are_refused(values):
    asked = pairs_of(*map(str, range(len(values))))
    ratings = {each.custom_id: Rating(value, "said", "why") for each, value in zip(asked, values, strict=True)}
    if values and set(values) == {None}:
        with pytest.raises(DuetError, match=f"none of {len(values)} pairs has a rating, the first .*'v.mp4': why: "):
            check_any_rated(asked, ratings)
    else:
        check_any_rated(asked, ratings)


# a model on this computer


@pytest.fixture(scope="module")
def chat(tiny, tmp_path_factory):
    """The language model and the tokenizer of `tiny`, as a chat model."""
    model, processor = tiny
    folder = tmp_path_factory.mktemp("chat")
    model.language_model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def says_four(tiny, chat, tmp_path_factory):
    """A model that writes 4 and ends, whatever it is asked: the embedding of 4 leads to the end, all others to 4."""
    tokenizer = tiny[1].tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    (four,) = tokenizer("4").input_ids
    with torch.no_grad():
        layer = model.model.layers[0]
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight, model.lm_head.weight):
            weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(8)[0].expand(len(tokenizer), 8))
        model.model.embed_tokens.weight[four] = torch.eye(8)[1]
        model.lm_head.weight[four, 0] = model.lm_head.weight[tokenizer.eos_token_id, 1] = 1
    folder = tmp_path_factory.mktemp("says-four")
    model.save_pretrained(folder)
    for file in Path(chat).iterdir():
        if not file.name.startswith(("model", "config", "generation")):
            os.link(file, folder / file.name)
    return folder


def test_a_local_judge(says_four, tmp_path):
    judge = LocalJudge(str(says_four), batch_size=2)
    asked = pairs_of("x", "a longer reply", "")
    ratings = rate(asked, judge, cache=tmp_path / "cache.jsonl")
    assert list(ratings.values()) == [Rating(4, "4")] * 3
    unloaded = LocalJudge(str(says_four), batch_size=3)
    assert rate(asked, unloaded, cache=tmp_path / "cache.jsonl") == ratings
    assert "_loaded" not in vars(unloaded)


def test_a_local_judge_follows_a_rubric_with_the_same_model(says_four, tmp_path):
    judge = LocalJudge(str(says_four))
    rubric = Rubric("{question} {gold} {reply}", lambda text: Rating(10 * int(text), text))
    other = judge.about(rubric)
    assert other.identity != judge.identity
    for rater, value in ((judge, 4), (other, 40), (judge, 4)):
        assert [rating.value for rating in rate([pair()], rater, cache=tmp_path / "cache.jsonl").values()] == [value]
    assert other._loaded is judge._loaded


def test_the_request_of_an_endpoint_follows_its_rubric():
    rubric = Rubric("{reply}, {gold}, {question}?", read_rating)
    judge = EndpointJudge("m")
    (message,) = judge.about(rubric).body(("q", "{gold}", "r"))["messages"]
    assert message == {"role": "user", "content": "r, {gold}, q?"}
    assert judge.body(("q", "g", "r"))["messages"][0]["content"] == prompt(("q", "g", "r"))


@pytest.mark.filterwarnings("ignore:.*ratings are errors")
def test_a_local_judge_is_deterministic_and_alone_as_in_a_batch(chat):
    asked = pairs_of("x", "a longer reply", "", "猫")
    first, second, alone = (rate(asked, LocalJudge(str(chat), batch_size=size, max_new_tokens=8)) for size in (4, 4, 1))
    assert first == second == alone
    assert len({rating.text for rating in first.values()}) > 1
    assert all(rating.text for rating in first.values())


def test_no_local_judge(tmp_path, chat):
    with pytest.raises(DuetError, match="cannot be loaded"):
        rate([pair()], LocalJudge(str(tmp_path)))
    for wrong in ({"dtype": "floaty"}, {"device": "nowhere"}):
        with pytest.raises(DuetError, match=f"cannot be loaded with device=.*{next(iter(wrong.values()))}"):
            rate([pair()], LocalJudge(str(chat), **wrong))
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(DuetError, match="cannot be loaded"):
        rate([pair()], LocalJudge(str(tmp_path / "list.json")))
    for file in Path(chat).iterdir():
        if file.name != "chat_template.jinja":
            os.link(file, tmp_path / file.name)
    with pytest.raises(DuetError, match="has no chat template"):
        rate([pair()], LocalJudge(str(tmp_path)))
    with pytest.raises(DuetError, match="batch_size=0: must be at least 1"):
        LocalJudge("m", batch_size=0)


# bounds and secrets


def trickle(url_holder, *, part=b"x", pause=0.05):
    """A server that never ends its answer."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            try:
                while not over.wait(pause):
                    self.wfile.write(part)
            except OSError:
                pass  # the client waits no longer

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url_holder.append((server, over))
    return f"http://127.0.0.1:{server.server_port}/v1"


@pytest.fixture
def endless(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []
    yield lambda **kwargs: trickle(servers, **kwargs)
    for server, over in servers:
        over.set()
        server.shutdown()
        server.server_close()


def test_a_request_has_a_time_limit_with_all_of_its_answer(endless):
    judge = EndpointJudge("m", endless(), key_variable=None, timeout=0.3, max_retries=0)
    started = time.monotonic()
    with pytest.warns(UserWarning, match="APITimeoutError"):
        assert rate([pair()], judge)["v.mp4*0*0"].value is None
    assert time.monotonic() - started < 5


def test_a_long_answer_is_refused(endless):
    judge = EndpointJudge("m", endless(part=b"x" * 500_000, pause=0.001), key_variable=None, max_retries=0)
    with pytest.warns(UserWarning, match="more than 4000000 bytes"):
        assert rate([pair()], judge)["v.mp4*0*0"].value is None


def test_secrets_of_key_and_url_are_nowhere(serve, monkeypatch, tmp_path):
    """An endpoint that echoes all it is sent, in an answer and in an error."""
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    echo = "sk-very-secret pass%40word pass@word query-secret"
    server = serve(
        lambda reply, number: completion(echo) if reply == "a" else (401, {}, json.dumps({"error": echo}).encode())
    )
    url = server.url.replace("http://", "http://user-name:pass%40word@") + "?api_key=query-secret"
    judge = server.judge(key_variable="SOME_KEY")
    judge = replace(judge, base_url=url)
    path = tmp_path / "cache.jsonl"
    with pytest.warns(UserWarning, match="1 of 1 ratings are errors"):
        shown = str(rate([pair("a")], judge, cache=path))
    with pytest.raises(DuetError, match="refuses every request") as refused:
        rate([pair("b")], judge, cache=path)
    assert refused.value.__cause__ is None
    shown += path.read_text() + str(refused.value) + repr(judge) + judge.identity
    for secret in ("very-secret", "word", "user-name", "query-secret"):
        assert secret not in shown
    assert "***@127.0.0.1" in judge.identity


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "file:///etc/passwd", "http://", "http://[::1", "http://a:99999999"]
)
def test_what_is_no_url_of_an_endpoint(url):
    with pytest.raises(DuetError, match="is no URL of an endpoint"):
        EndpointJudge("m", url)


@pytest.mark.parametrize(
    "settings", [{"timeout": 0}, {"timeout": float("nan")}, {"max_retries": -1}, {"concurrency": 0}]
)
def test_an_endpoint_s_settings_have_bounds(settings):
    with pytest.raises(DuetError, match=next(iter(settings))):
        EndpointJudge("m", **settings)


def test_a_file_of_another_kind_is_no_cache_and_stays(tmp_path):
    path = tmp_path / "gold.json"
    path.write_text(json.dumps([{"question_id": 1}], indent=1))
    with pytest.raises(DuetError, match=r"line 1: .*this is no file of judges' answers"):
        rate([pair("x")], Fixed({"x": "4"}), cache=path)
    assert json.loads(path.read_text()) == [{"question_id": 1}]


def test_the_local_judge_s_precision_is_part_of_what_it_is():
    assert " float32 " in LocalJudge("m", device="cpu").identity
    assert " bfloat16 " in LocalJudge("m", device="cpu", dtype="bfloat16").identity
