import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import FileError
from mmduet.files import replacing_folder
from mmduet.files.locks import locked
from mmduet.files.names import LONGEST, bounded


@given(st.text(max_size=300), st.integers(0, 200))
def test_a_bounded_name_is_the_beginning_that_leaves_room(name, added):
    found = bounded(name, added=added)
    assert name.startswith(found)
    assert len(found.encode()) + added <= LONGEST
    assert found == name or len(name[: len(found) + 1].encode()) + added > LONGEST


@pytest.mark.parametrize("letter", ["n", "映"])
def test_a_folder_keeps_its_name_while_it_is_replaced_or_is_refused_before(tmp_path, letter):
    size = len(letter.encode())
    fits, too_long = (tmp_path / (letter * (length // size)) for length in (210, 210 + size))
    for text in ("first", "second"):
        with replacing_folder(fits) as made:
            (made / "a.txt").write_text(text)
    assert (fits / "a.txt").read_text() == "second"
    with (
        pytest.raises(FileError, match="the name of this output has at most 210: give a shorter one"),
        replacing_folder(too_long),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [fits.name]


def test_a_file_with_the_longest_name_has_a_lock(tmp_path):
    with locked(tmp_path / f"{'映' * 83}.jsonl", patience=0):
        pass
