"""The recorder on small modules of other kinds than a GPT."""

from collections.abc import Callable

import pytest
import torch
from rowline.traces.opgraph import Op
from rowline.workloads._recorder import record
from torch import Tensor, nn


class Wrapped(nn.Module):
    """A module around a function of one [2, 3, 8] tensor, with a linear layer 8 -> 16 to be used."""

    def __init__(self, function: Callable[["Wrapped", Tensor], Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 16)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def recorded(function: Callable[[Wrapped, Tensor], Tensor]) -> tuple[Op, ...]:
    """The ops of `function` on the meta device."""
    with torch.device("meta"):
        module, x = Wrapped(function), torch.empty(2, 3, 8)
    return record(module, lambda: module(x), caches=[])


def test_composites_hide_what_they_are_made_of() -> None:
    def attend(module: Wrapped, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x).softmax(-1)

    assert [op.kind for op in recorded(attend)] == ["sdpa", "softmax"]


def test_other_ops_keep_their_aten_name_and_scalars() -> None:
    ops = recorded(lambda module, x: (x * 0.5 + x).tanh())
    assert [op.kind for op in ops] == ["mul", "add", "other:tanh"]
    assert ops[0].attr("scalar") == 0.5
    assert [op.producers for op in ops] == [(-1,), (0, -1), (1,)]
    assert (ops[2].flops, ops[2].bytes_read, ops[2].bytes_written) == (0, 2 * 3 * 8 * 4, 2 * 3 * 8 * 4)


def test_a_cat_that_is_no_cache_is_just_a_cat() -> None:
    assert [op.kind for op in recorded(lambda module, x: torch.cat((x, x), dim=1))] == ["other:cat"]


def test_views_and_whole_copies_leave_no_trace() -> None:
    ops = recorded(lambda module, x: module.fc(x).transpose(0, 1).reshape(3, 32).sigmoid())
    assert [(op.kind, op.producers[0]) for op in ops] == [("linear", -1), ("other:sigmoid", 0)]
    assert ops[1].attrs == ()


def test_a_constant_is_not_mistaken_for_a_result_that_was_dropped() -> None:
    """Torch would give a new constant the storage id of a dropped result, were results not kept alive."""

    def drop_and_scale(module: Wrapped, x: Tensor) -> Tensor:
        for _ in range(20):
            x.tanh()
            x = x * torch.tensor([2.0] * 8, device="meta")
        return x

    products = [op for op in recorded(drop_and_scale) if op.kind == "mul"]
    assert len(products) == 20
    assert {op.producers[1] for op in products} == {-1}


def test_parts_of_an_output_are_named() -> None:
    halves = recorded(lambda module, x: torch.mul(*module.fc(x).chunk(2, dim=-1)))
    assert dict(halves[1].attrs) == {"in0_slice": 0, "in0_slices": 2, "in1_slice": 1, "in1_slices": 2}
    row = recorded(lambda module, x: module.fc(x)[1, 1:].tanh())
    assert dict(row[1].attrs) == {"in0_first_row": 4}


def test_parts_that_cannot_be_named_are_refused() -> None:
    with pytest.raises(ValueError, match="neither a slice of its last dimension nor a run of its rows"):
        recorded(lambda module, x: module.fc(x)[..., 3:5].tanh())
    with pytest.raises(ValueError, match="neither a slice"):
        recorded(lambda module, x: module.fc(x).transpose(0, 1).reshape(3, 32)[:1].tanh())


def test_in_place_ops_and_stray_matrix_products_are_refused() -> None:
    with pytest.raises(ValueError, match="in-place op add_"):
        recorded(lambda module, x: module.fc(x).add_(1))
    with pytest.raises(ValueError, match="matrix product other:bmm"):
        recorded(lambda module, x: x @ x.transpose(1, 2))


def test_hooks_are_gone_after_a_recording_even_a_failed_one() -> None:
    with torch.device("meta"):
        module, x = Wrapped(lambda module, x: module.fc(x).add_(1)), torch.empty(2, 3, 8)
    with pytest.raises(ValueError, match="in-place"):
        record(module, lambda: module(x), caches=[])
    assert not module.fc._forward_hooks and not module.fc._forward_pre_hooks
    assert module(x).shape == (2, 3, 16)
