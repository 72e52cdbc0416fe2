"""Form encoding is that of the standard library, only faster."""

from __future__ import annotations

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from callrouter.fetch.form import encoded

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_forms_are_encoded_like_urlencode(form: list[tuple[str, str]]) -> None:
    assert encoded(form) == urlencode(form)
