"""What every transport promises: the size beforehand, all bytes in small pieces, a StageInError for what is not there."""

from __future__ import annotations

import pytest

from reprolake_runner.errors import StageInError
from reprolake_runner.transports import TRANSPORTS
from reprolake_runner.transports.interface import PIECE

CONTENT = b"0123456789abcdef" * (PIECE // 8)  # two pieces


@pytest.fixture(params=sorted(TRANSPORTS))
def served(request, tmp_path):
    """A transport with the URL of CONTENT and the URL of nothing."""
    (tmp_path / "some file.bin").write_bytes(CONTENT)
    urls = {"file": ((tmp_path / "some file.bin").as_uri(), (tmp_path / "nothing").as_uri())}
    return TRANSPORTS[request.param], *urls[request.param]


def test_the_size_is_known_or_admitted_to_be_unknown(served):
    """The size is right, or None."""
    transport, url, _ = served
    assert transport.size(url) in {len(CONTENT), None}


def test_all_bytes_come_in_small_pieces(served):
    """The pieces make up the content, and none of them is large."""
    transport, url, _ = served
    pieces = list(transport.pieces(url))
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= PIECE


def test_what_is_not_there_is_a_stage_in_error(served):
    """Both calls end in the seam's own error, which names the thing."""
    transport, _, nothing = served
    with pytest.raises(StageInError, match="nothing"):
        transport.size(nothing)
    with pytest.raises(StageInError, match="nothing"):
        list(transport.pieces(nothing))
