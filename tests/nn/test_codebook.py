"""The quantiser by hand, by brute force, and held against vector-quantize-pytorch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.errors import SettingError
from graphkit.nn import codebook
from graphkit.nn.codebook import VectorQuantizer, code_perplexity, code_usage


def rows(count: int, channels: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


def with_codes(codes: Tensor, **changed: Any) -> VectorQuantizer:
    """A quantiser that starts on the given codes."""
    quantizer = VectorQuantizer(codes.shape[1], codes.shape[0], start="random", **changed)
    quantizer.codebook.copy_(F.normalize(codes, dim=-1))
    return quantizer


AXES = torch.eye(2)  # two codes, one along each axis


class TestNearestCode:
    @pytest.mark.parametrize("block", [1, 50, 2**22])
    def test_is_that_of_brute_force(self, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codebook, "_BLOCK_ENTRIES", block)
        quantizer, h = VectorQuantizer(4, 7), rows(20)
        nearest = []
        for row in h.tolist():
            similar = [
                sum(a * b for a, b in zip(row, code, strict=True)) / math.hypot(*row)
                for code in quantizer.codebook.tolist()
            ]
            nearest.append(similar.index(max(similar)))
        assert quantizer.assign(h).tolist() == nearest
        assert quantizer.similarity(h).argmax(dim=1).tolist() == nearest

    def test_goes_by_direction_and_not_by_distance(self) -> None:
        """(0.1, 0.2) is nearer to the first code in space, but points to the second."""
        quantizer = with_codes(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        assert quantizer.assign(torch.tensor([[0.1, 0.2], [9.0, 8.0]])).tolist() == [1, 0]

    def test_blocks_stay_below_the_bound(self) -> None:
        codes = 2**20
        assert [len(b) for b in codebook.row_blocks(torch.zeros(9, 2), codes)] == [4, 4, 1]
        assert [len(b) for b in codebook.row_blocks(torch.zeros(2, 2), 2**30)] == [1, 1]

    def test_similarity_is_a_cosine(self) -> None:
        quantizer, h = VectorQuantizer(4, 7), rows(5)
        expected = F.cosine_similarity(h[:, None], quantizer.codebook[None], dim=-1)
        torch.testing.assert_close(quantizer.similarity(h), expected)


class TestQuantised:
    def test_takes_the_code_and_keeps_the_length(self) -> None:
        h = torch.tensor([[3.0, 4.0], [-5.0, 12.0]])
        expected = torch.tensor([[0.0, 5.0], [0.0, 13.0]])
        torch.testing.assert_close(with_codes(AXES)(h)[0], expected)

    def test_has_length_one_unscaled(self) -> None:
        h = torch.tensor([[3.0, 4.0], [-5.0, 12.0]])
        torch.testing.assert_close(with_codes(AXES, scaled=False)(h)[0], AXES[[1, 1]])

    def test_gradient_passes_unchanged(self) -> None:
        h, gradient = rows(6).requires_grad_(), rows(6, seed=1)
        VectorQuantizer(4, 3)(h)[0].backward(gradient)
        assert h.grad is not None
        assert torch.equal(h.grad, gradient)

    def test_commitment_is_a_quarter_of_the_mean_squared_distance(self) -> None:
        """(3, 4) to (0, 5): (9 + 1) / 2 entries, a quarter of it; slope 0.25 * (h - code)."""
        h = torch.tensor([[3.0, 4.0]], requires_grad=True)
        _, _, commitment = with_codes(AXES)(h)
        assert commitment.item() == pytest.approx(1.25)
        commitment.backward()
        assert h.grad is not None
        torch.testing.assert_close(h.grad, torch.tensor([[0.75, -0.25]]))


class TestMovingAverage:
    def test_decay_zero_puts_codes_on_cluster_means(self) -> None:
        """Lengths do not count: the mean of directions (1, 0) and (0.6, 0.8) is (0.8, 0.4)."""
        quantizer = with_codes(torch.tensor([[1.0, 0.3], [-1.0, 0.0]]), decay=0.0)
        quantizer(torch.tensor([[7.0, 0.0], [0.6, 0.8], [-2.0, 2.0]]))
        expected = F.normalize(torch.tensor([[0.8, 0.4], [-1.0, 1.0]]), dim=-1)
        torch.testing.assert_close(quantizer.codebook, expected)

    def test_decay_keeps_its_share(self) -> None:
        """0.75 (1, 0) + 0.25 (0.6, 0.8) = (0.9, 0.2); the other code has no row and stays."""
        quantizer = with_codes(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), decay=0.75)
        quantizer(torch.tensor([[3.0, 4.0]]))
        expected = torch.tensor([[0.9, 0.2], [-1.0, 0.0]])
        torch.testing.assert_close(quantizer.codebook, F.normalize(expected, dim=-1))

    def test_many_rows_as_one_by_one(self) -> None:
        quantizer, h = with_codes(rows(5, seed=3), decay=0.6), rows(200)
        before, index = quantizer.codebook.clone(), quantizer.assign(h)
        quantizer(h)
        for code in range(5):
            mean = F.normalize(h, dim=-1)[index == code].mean(dim=0)
            moved = 0.6 * before[code] + 0.4 * F.normalize(mean, dim=0)
            torch.testing.assert_close(quantizer.codebook[code], F.normalize(moved, dim=0))

    def test_nothing_moves_in_evaluation(self) -> None:
        quantizer = VectorQuantizer(4, 3)
        quantizer(rows(5))
        quantizer.eval()
        before = {name: value.clone() for name, value in quantizer.state_dict().items()}
        for seed in range(8):
            quantizer(rows(9, seed=seed))
        assert all(torch.equal(before[k], v) for k, v in quantizer.state_dict().items())

    def test_rows_without_direction_move_nothing(self) -> None:
        quantizer = with_codes(torch.tensor([[1.0, 0.0]]), decay=0.0)
        quantizer(torch.zeros(3, 2))
        quantizer(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
        assert torch.equal(quantizer.codebook, torch.tensor([[1.0, 0.0]]))

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_rows_that_are_no_number_move_nothing(self, bad: float) -> None:
        quantizer = with_codes(AXES, decay=0.0, revive_after=1)
        quantizer(torch.tensor([[bad, 1.0], [1.0, 1.0]]))
        assert torch.equal(quantizer.codebook, AXES)

    def test_no_rows_at_all(self) -> None:
        quantizer = VectorQuantizer(4, 3)
        quantised, index, commitment = quantizer(torch.empty(0, 4))
        assert quantised.shape == (0, 4)
        assert index.shape == (0,)
        assert commitment.item() == 0
        assert not bool(quantizer.started)


class TestStart:
    def test_on_different_rows_of_the_first_training_pass(self) -> None:
        torch.manual_seed(0)
        quantizer, h = VectorQuantizer(4, 5, decay=1.0), rows(20)
        quantizer(h)
        similar = quantizer.codebook @ F.normalize(h, dim=-1).t()
        torch.testing.assert_close(similar.amax(dim=1), torch.ones(5))
        assert len(set(similar.argmax(dim=1).tolist())) == 5

    def test_happens_once_and_not_in_evaluation(self) -> None:
        quantizer = VectorQuantizer(4, 5, decay=1.0).eval()
        random = quantizer.codebook.clone()
        quantizer(rows(20))
        assert torch.equal(quantizer.codebook, random)
        quantizer.train()
        quantizer(rows(20))
        started = quantizer.codebook.clone()
        assert not torch.equal(started, random)
        quantizer(rows(20, seed=1))
        torch.testing.assert_close(quantizer.codebook, started)

    def test_loaded_codes_are_not_started_again(self) -> None:
        first = VectorQuantizer(4, 5)
        first(rows(20))
        again = VectorQuantizer(4, 5)
        again.load_state_dict(first.state_dict())
        outputs = []
        for quantizer in (first, again):
            torch.manual_seed(1)
            outputs.append((quantizer(rows(20, seed=2))[0], quantizer.codebook, quantizer.ages))
        assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))

    def test_all_state_is_in_buffers(self) -> None:
        assert set(VectorQuantizer(4, 5).state_dict()) == {"codebook", "ages", "counts", "started"}
        assert list(VectorQuantizer(4, 5).parameters()) == []


class TestRevival:
    def test_after_so_many_passes_without_a_row(self) -> None:
        quantizer = with_codes(AXES, revive_after=3)
        h = torch.tensor([[1.0, 0.1]])
        for age in (1, 2):
            quantizer(h)
            assert quantizer.ages.tolist() == [0, age]
            assert quantizer.codebook[1].tolist() == [0.0, 1.0]
        quantizer(h)
        torch.testing.assert_close(quantizer.codebook[1], F.normalize(h, dim=-1)[0])
        assert quantizer.ages.tolist() == [0, 0]

    def test_a_row_makes_a_code_young_again(self) -> None:
        quantizer = with_codes(AXES, revive_after=2)
        for h in ([[1.0, 0.1]], [[0.1, 1.0]], [[1.0, 0.1]]):
            quantizer(torch.tensor(h))
        assert quantizer.ages.tolist() == [0, 1]

    def test_never_if_so_told(self) -> None:
        quantizer = with_codes(AXES, revive_after=None)
        for _ in range(20):
            quantizer(torch.tensor([[1.0, 0.1]]))
        assert quantizer.codebook[1].tolist() == [0.0, 1.0]
        assert quantizer.ages.tolist() == [0, 20]

    def test_lifts_the_usage_of_a_random_start(self) -> None:
        torch.manual_seed(0)
        narrow = rows(200, 16).abs() + 1  # all rows in one corner, codes everywhere
        used = {}
        for after in (None, 2):
            quantizer = VectorQuantizer(16, 32, revive_after=after, start="random")
            for _ in range(10):
                quantizer(narrow)
            used[after] = quantizer.usage
        assert used[None] < 0.3
        assert used[2] > 0.6


class TestReport:
    def test_by_hand(self) -> None:
        """Three of four codes; perplexity of (1/2, 1/4, 1/4) is 2 ** 1.5."""
        counts = torch.tensor([2, 0, 1, 1])
        assert code_usage(counts) == 0.75
        assert code_perplexity(counts) == pytest.approx(2**1.5)

    def test_speaks_of_the_last_training_pass(self) -> None:
        quantizer = with_codes(AXES)
        assert (quantizer.usage, quantizer.perplexity) == (0.0, 0.0)
        quantizer(torch.tensor([[1.0, 0.1], [0.1, 1.0]]))
        assert quantizer.usage == 1.0
        assert quantizer.perplexity == pytest.approx(2.0)
        quantizer(torch.tensor([[1.0, 0.1], [1.0, 0.1]]))
        assert quantizer.counts.tolist() == [2, 0]
        assert quantizer.usage == 0.5
        assert quantizer.perplexity == pytest.approx(1.0)


def test_more_codes_than_rows() -> None:
    """Every row becomes a code of its own; the others lie idle."""
    torch.manual_seed(0)
    quantizer, h = VectorQuantizer(4, 50, revive_after=2), rows(6)
    for _ in range(5):
        quantised, index, commitment = quantizer(h)
    torch.testing.assert_close(quantised, h)
    assert commitment.item() == pytest.approx(0.0, abs=1e-9)
    assert len(set(index.tolist())) == 6
    assert quantizer.usage == 6 / 50
    assert bool(torch.isfinite(quantizer.codebook).all())


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": 0},
        {"codes": 0},
        {"decay": 1.5},
        {"decay": math.nan},
        {"commitment": -1.0},
        {"revive_after": 0},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_settings_out_of_range(changed: dict[str, Any]) -> None:
    [name] = changed
    with pytest.raises(SettingError, match=name):
        VectorQuantizer(**({"channels": 4, "codes": 3} | changed))


class TestAgainstVectorQuantizePytorch:
    """Lengths apart, which the library takes away."""

    def pair(self, codes: Tensor, decay: float) -> tuple[VectorQuantizer, Any]:
        library = pytest.importorskip("vector_quantize_pytorch")
        theirs = library.VectorQuantize(
            dim=codes.shape[1],
            codebook_size=codes.shape[0],
            decay=decay,
            use_cosine_sim=True,
            threshold_ema_dead_code=0,
            commitment_weight=0.25,
        )
        unit = F.normalize(codes, dim=-1)
        theirs._codebook.embed.data.copy_(unit[None])
        theirs._codebook.embed_avg.data.copy_(unit[None])
        theirs._codebook.cluster_size.data.fill_(1.0)
        return with_codes(codes, decay=decay, scaled=False, revive_after=None), theirs

    def test_same_codes_and_quantised_rows(self) -> None:
        ours, theirs = self.pair(rows(16, 8, seed=1), decay=0.8)
        h = F.normalize(rows(100, 8), dim=-1)
        quantised, index, commitment = ours.train()(h)
        expected, expected_index, expected_loss = theirs.train()(h[None])
        assert torch.equal(index, expected_index[0])
        torch.testing.assert_close(quantised, expected[0])
        torch.testing.assert_close(commitment, expected_loss.squeeze())

    def test_same_codes_after_a_step_with_decay_zero(self) -> None:
        """Codes without rows apart: the library's lose their direction."""
        ours, theirs = self.pair(rows(16, 8, seed=1), decay=0.0)
        h = rows(100, 8)
        ours.train()(h)
        theirs.train()(h[None])
        met = ours.counts > 0
        assert int(met.sum()) > 8
        torch.testing.assert_close(ours.codebook[met], theirs.codebook[met])

    def test_same_average_where_a_code_has_one_row(self) -> None:
        """The library averages sums and not directions: the same with one row a code."""
        codes = torch.eye(4)
        ours, theirs = self.pair(codes, decay=0.8)
        h = codes + 0.1 * rows(4).abs()
        ours.train()(h)
        theirs.train()(h[None])
        assert ours.counts.tolist() == [1, 1, 1, 1]
        torch.testing.assert_close(ours.codebook, theirs.codebook)
