from __future__ import annotations

from time import process_time

import pytest

from rxresponses.operators._sentence_ends import SentenceCutter


@pytest.mark.parametrize("character", [".", "`", "\n"])
def test_a_long_run_is_not_read_character_by_character_at_each_delta(character: str) -> None:
    """A model that repeats one character, with the longest sentences: before, the backquotes took a minute."""
    cutter = SentenceCutter(100_000)
    begin = process_time()

    sentences = [sentence for _ in range(2_000) for sentence in cutter.feed(character * 10)]

    assert process_time() - begin < 10  # seconds
    assert "".join(sentences + cutter.flush()) == character * 20_000
