"""The formats of OVO-Bench and StreamingBench."""

import json

from hypothesis import given

from mmduet.data.scenes.concepts import CONCEPTS
from mmduet.data.scenes.streaming import ovobench, streamingbench
from mmduet.evaluation.benchmarks.ovo.items import GROUPS, OvoItem
from mmduet.evaluation.benchmarks.streamingbench_items import ProactiveItem, nested_questions
from tests.data.scenes.test_generate import scripts


@given(scripts)
def test_entries_of_ovobench_are_read_and_true(script):
    items = [OvoItem.model_validate(json.loads(json.dumps(entry))) for entry in ovobench(script)]
    assert {group for group, tasks in GROUPS.items() if any(item.task in tasks for item in items)} == set(GROUPS)
    for item in items:
        assert all(0 <= point.time <= script.duration - 1 for point in item.points), "a frame follows each question"
    present, first, count, steps, clue = items
    shown = [CONCEPTS[str(shot.concept)].noun for shot in script.scenes]
    assert [present.options[present.gt], first.options[first.gt]] == [shown[0], shown[0]]
    assert len(set(present.options)) == 4
    for point in count.test_info:
        begun = [start for start in count.start_times if start < point.realtime]
        assert point.count == len(begun)
    for point in steps.test_info:
        now = [CONCEPTS[str(s.concept)].noun for s in script.scenes if s.span[0] <= point.realtime < s.span[1]]
        assert point.type == (point.step in [f"a view of {noun}" for noun in now])
    assert [point.type for point in clue.test_info] == [int(p.realtime > clue.clue_time) for p in clue.test_info]


@given(scripts)
def test_a_question_of_streamingbench_is_due_when_its_scene_comes(script):
    (place,) = nested_questions([("entry 0", json.loads(json.dumps(streamingbench(script))))])
    item = ProactiveItem.model_validate(place[1])
    (shot,) = [shot for shot in script.scenes[:2] if 0 <= item.due - shot.span[0] < 1]
    assert item.output
    assert item.output in CONCEPTS[str(shot.concept)].noun
    assert item.asked < item.due
    earlier = [s.concept for s in script.scenes if item.asked <= s.span[0] < shot.span[0]]
    assert earlier == [], "nothing else comes between"
