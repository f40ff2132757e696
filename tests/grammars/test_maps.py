"""Maps: fixed functions of messages."""

import torch

from antiphon.grammars.maps import fixed_matrix, negate, over_batch, scale
from antiphon.grammars.response import Sum

MESSAGE = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def test_each_is_what_its_name_says():
    assert negate(MESSAGE).equal(-MESSAGE)
    assert scale(MESSAGE, 0.5).equal(MESSAGE / 2)
    assert over_batch(MESSAGE, -1.0).equal(-MESSAGE / 2)
    assert fixed_matrix(MESSAGE, torch.tensor([[1.0], [10.0]])).equal(torch.tensor([[21.0], [43.0]]))


def test_sums_run_from_first_to_last():
    large, small = torch.tensor(1e8), torch.tensor(1.0)
    assert Sum.total(large, -large, small) == 1
    assert Sum.total(small, large, -large) == 0
    assert Sum.total(small) is small


def test_no_map_changes_its_message():
    kept = MESSAGE.clone()
    for told in (negate(kept), scale(kept, 2), over_batch(kept), Sum.total(kept, kept)):
        told.zero_()
    assert kept.equal(MESSAGE)
