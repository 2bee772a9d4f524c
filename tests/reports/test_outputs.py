"""Outputs, made safe."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from mmduet.reports import outputs


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("0%|  | 0/2\r 50%|# | 1/2\r100%|##| 2/2\n", "100%|##| 2/2"),
        ("a\r\nb\n", "a\nb"),
        ("outer 0\n\rinner 1\x1b[A\router 1\n\rinner 2\x1b[A\n", "outer 1\ninner 2"),
        ("plain\nlines", "plain\nlines"),
    ],
)
def test_a_progress_bar_is_left_in_its_last_state(printed: str, shown: str) -> None:
    assert outputs.stream_text(printed) == shown


def test_displayed_html_loses_scripts_handlers_and_remote_addresses() -> None:
    source = (
        '<p onclick="x()" style="background: url(https://a.b/c.png); color: red">text</p><script>x()</script>'
        '<link href="https://a.b/c.css"><img src="//a.b/c.png"><video src="data:video/mp4;base64,AA"></video>'
        '<iframe src="https://a.b" srcdoc="&lt;script src=https://a.b&gt;&lt;/script&gt;&lt;script&gt;1 &lt; 2'
        '&lt;/script&gt;"></iframe><a href="javascript:x()">link</a>'
    )
    soup = BeautifulSoup(outputs.inert_html(source, "NONCE"), "html.parser")
    assert {tag.name for tag in soup.find_all()} == {"p", "img", "video", "iframe", "a"}
    assert [tag.attrs for tag in soup.find_all(["img", "a"])] == [{}, {}]
    assert "https:" not in str(soup)
    assert soup.p is not None
    assert "color: red" in str(soup.p["style"])
    assert soup.iframe is not None
    assert soup.iframe["srcdoc"] == '<script nonce="NONCE">1 < 2</script>'


def test_an_empty_table_says_that_it_is_empty() -> None:
    table = pd.DataFrame({"n": [1.5], "text": ["a"]})
    empty = BeautifulSoup(outputs.inert_html(table.iloc[:0].to_html(), ""), "html.parser")
    [cell] = empty.select("tbody td")
    assert (cell.get_text(), cell["colspan"]) == ("no rows", "3")
    assert outputs.NO_ROWS not in outputs.inert_html(table.to_html(), "")


def test_pandas_numbers_stand_right_and_texts_left() -> None:
    html = pd.DataFrame({"n": [1.5], "text": ["a"]}).to_html()
    soup = BeautifulSoup(outputs.inert_html(html, ""), "html.parser")
    assert [cell.get("class") for cell in soup.select("td")] == [["number"], None]
    source = "<style scoped>.dataframe thead th { text-align: right; }</style><style>p { color: red }</style>"
    styled = BeautifulSoup(outputs.inert_html(source, ""), "html.parser")
    assert [style.get_text() for style in styled.find_all("style")] == ["p { color: red }"], "it would hold everywhere"
