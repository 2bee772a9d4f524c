from dataclasses import replace

import pytest

from mmduet.data.kinds import ALERT, GROUNDING, KINDS, NARRATION
from mmduet.data.templates import read_templates
from mmduet.errors import AnnotationError


def test_a_file_adds_some(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text("narration: [Go on.]\ngrounding: ['Where is {query}?']\n")
    assert read_templates(path) == {
        "narration": (*NARRATION.templates, "Go on."),
        "grounding": (*GROUNDING.templates, "Where is {query}?"),
        "alert": ALERT.templates,
    }


def test_ones_own_kind_has_its_own(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text("steps: ['List the steps.']\n")
    steps = replace(NARRATION, name="steps", dataset_cls="Steps", templates=("What is done?",))
    assert read_templates(path, KINDS | {"steps": steps})["steps"] == ("What is done?", "List the steps.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grounding: [Where is it]", r"entry grounding / 0: .*needs \{query\} once"),
        ("narration: [' ']", r"entry narration / 0: .*needs words"),
        ("narration: x", r"entry narration: .*list"),
        ("queries: [x]", r"entry queries: .*use one of alert, grounding, narration"),
        ("magqa: [x]", r"entry magqa: .*use one of alert, grounding, narration"),
        ("narration: [", r"no readable YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    (tmp_path / "templates.yaml").write_text(text)
    with pytest.raises(AnnotationError, match=rf"templates\.yaml.*{message}"):
        read_templates(tmp_path / "templates.yaml")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_templates(tmp_path / "gone.yaml")
