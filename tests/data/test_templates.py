import pytest

from mmduet.data.conversations import GROUNDING_TEMPLATES, NARRATION_INSTRUCTIONS
from mmduet.data.templates import Templates, read_templates
from mmduet.errors import AnnotationError


def test_our_own_are_at_least_as_many_as_published():
    """Published: 10 instructions, 12 templates of queries."""
    assert len(set(NARRATION_INSTRUCTIONS)) >= 10
    assert len(set(GROUNDING_TEMPLATES)) >= 12
    assert all(template.count("{query}") == 1 for template in GROUNDING_TEMPLATES)


def test_a_file_adds_some(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text("narration: [Go on.]\ngrounding: ['Where is {query}?']\n")
    ours, more = Templates(), read_templates(path)
    assert more.narration == (*ours.narration, "Go on.")
    assert more.grounding == (*ours.grounding, "Where is {query}?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grounding: [Where is it]", r"entry grounding / 0: .*needs \{query\} once"),
        ("narration: [' ']", r"entry narration / 0: .*needs words"),
        ("queries: [x]", r"entry queries"),
        ("narration: [", r"no readable YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, told):
    (tmp_path / "templates.yaml").write_text(text)
    with pytest.raises(AnnotationError, match=rf"templates\.yaml.*{told}"):
        read_templates(tmp_path / "templates.yaml")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_templates(tmp_path / "gone.yaml")
