from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.features.wanted import WantedRows, pack_digests, unpack_digest

# Some end in zero bytes, which NumPy likes to strip.
DIGESTS = [f"{number:02x}" * 4 + "00" * 28 for number in range(6)]


@settings(max_examples=100, deadline=None)
@given(
    images=st.lists(st.sampled_from(DIGESTS), max_size=12),
    views=st.integers(1, 3),
    looked_for=st.lists(st.tuples(st.sampled_from(DIGESTS), st.integers(0, 4)), max_size=12),
)
def test_rows_are_those_that_a_dictionary_finds(images, views, looked_for):
    expected = {}
    for image, digest in enumerate(images):
        for view in range(views):
            expected.setdefault((digest, view), []).append(image * views + view)
    wanted = WantedRows(images, views)
    assert wanted.shape == (len(set(images)), views)
    assert wanted.n_rows == len(images) * views
    digests = pack_digests([digest for digest, _ in looked_for])
    cells, which = wanted.cells(digests, np.array([view for _, view in looked_for], dtype=int))
    assert which.tolist() == [at for at, key in enumerate(looked_for) if key in expected]
    rows, source = wanted.rows(cells)
    pairs = sorted((row, at) for at, key in enumerate(looked_for) for row in expected.get(key, ()))
    assert sorted(zip(rows.tolist(), which[source].tolist(), strict=True)) == pairs
    assert (np.diff(rows) >= 0).all()


def test_digests_come_back_whole():
    packed = pack_digests(DIGESTS)
    assert [unpack_digest(packed, number) for number in range(6)] == DIGESTS


def test_digests_that_begin_alike_are_told_apart():
    alike = ["ab" * 16 + f"{number:032x}" for number in (3, 1, 2)]
    wanted = WantedRows(alike, views=1)
    cells, which = wanted.cells(
        pack_digests([alike[2], "ab" * 16 + "0" * 32, alike[0]]), np.zeros(3, int)
    )
    rows, source = wanted.rows(cells)
    assert rows.tolist() == [0, 2]
    assert which[source].tolist() == [2, 0]
