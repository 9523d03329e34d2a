"""Stages of a problem: what a blind one lacks, what a turn yields, what is prepared once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data, TemporalData
from torch_geometric.transforms import BaseTransform

import graphkit
from graphkit.data import Events, Graphs, NodeRows, SampledNodes, Split, Turn
from graphkit.data.negatives import RandomNegatives
from graphkit.data.problem import Problem
from graphkit.data.split import folds, hide, per_class, share
from graphkit.errors import DataError
from graphkit.models import Model


def nodes(hidden: bool = False) -> Problem:
    ring = torch.arange(12)
    links = torch.stack([ring, ring.roll(1)])
    data = Data(
        x=torch.arange(12.0)[:, None],
        edge_index=torch.cat([links, links.flip(0)], dim=1),
        y=torch.arange(12) % 2,
    )  # fmt: skip
    items = torch.arange(12)
    split = Split(items[:4], items[4:6], items[6:9], items[9:]) if hidden else Split(
        items[:4], items[4:6], items[6:]
    )  # fmt: skip
    return graphkit.make_problem(data, split=split)


def graphs() -> Problem:
    return graphkit.make_problem(
        [Data(x=torch.full((n + 1, 1), float(n)), edge_index=torch.zeros(2, 1).long(),
              y=torch.tensor([n % 2])) for n in range(10)],
        split=Split(torch.tensor([0, 3, 5, 9]), torch.tensor([1, 2]), torch.tensor([4, 6, 7, 8])),
    )  # fmt: skip


def events() -> Problem:
    t = torch.arange(40)
    return graphkit.make_problem(
        TemporalData(src=t % 5, dst=5 + t % 6, t=t, msg=torch.zeros(40, 0))
    )


def test_a_blind_graph_has_no_test_answer() -> None:
    blind = nodes().blind()
    assert blind.data.y.tolist() == [0, 1, 0, 1, 0, 1] + [-1] * 6
    assert blind.split.sizes() == {"train": 4, "val": 2, "test": 0, "hidden": 0}
    assert nodes().data.y.tolist() == [0, 1] * 6  # the original keeps them


def test_hidden_nodes_are_gone_with_their_edges() -> None:
    blind = nodes(hidden=True).blind()
    assert blind.num_items == 9
    ends = blind.data.edge_index
    assert int(ends.max()) == 8
    # the ring of 12 without nodes 9, 10, 11 is a path of 9 nodes: 8 links, both ways
    assert ends.shape[1] == 16
    assert blind.data.x.flatten().tolist() == list(map(float, range(9)))


def test_blind_graphs_and_events_are_cut() -> None:
    blind = graphs().blind()
    assert [float(g.x[0, 0]) for g in blind.data] == [0, 1, 2, 3, 5, 9]
    assert blind.split.train.tolist() == [0, 3, 4, 5]
    cut = events().blind()
    assert cut.num_items == len(events().split.train) + len(events().split.val)
    with pytest.raises(DataError, match=r"'test' part .* is empty"):
        graphkit.evaluate(torch.nn.Linear(1, 1), blind, "test")


def test_stage_fields_travel_with_every_batch() -> None:
    problem = nodes().with_field("soft", torch.arange(12.0))
    for batching in (SampledNodes((2,), 3), NodeRows(3)):
        batch = next(replace(problem, batching=batching).batches("val"))
        assert batch.soft.tolist() == batch.n_id.tolist()
    several = graphs().with_field("soft", torch.arange(10.0))
    assert next(several.batches("val")).soft.tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="soft has 3 rows; expected 12"):
        nodes().with_field("soft", torch.zeros(3))
    with pytest.raises(DataError, match="cannot replace"):
        nodes().with_field("y", torch.zeros(12))


def test_unlabelled_training_shows_answers_of_training_nodes_alone() -> None:
    problem = nodes().blind().with_unlabelled()
    [batch] = problem.batches("train")
    assert batch.seeds.tolist() == list(range(12))
    assert batch.y.tolist() == [0, 1, 0, 1] + [-1] * 8
    [scored] = problem.batches("val")
    assert scored.y[scored.seeds].tolist() == [0, 1]


def test_halves_share_the_training_items() -> None:
    first, second = nodes().halve_train()
    assert sorted(first.split.train.tolist() + second.split.train.tolist()) == [0, 1, 2, 3]


def test_sampled_batches_start_with_their_items() -> None:
    problem = replace(nodes(), batching=SampledNodes((2, 2), 2))
    seen = []
    for batch in problem.batches("test"):
        assert torch.equal(batch.y, problem.data.y[batch.n_id])
        seen += batch.n_id[batch.seeds].tolist()
    assert seen == problem.split.test.tolist()


@pytest.mark.parametrize("make", [nodes, graphs, events])
def test_batches_depend_on_seed_and_epoch_alone(make) -> None:
    problem = make()
    if make is nodes:
        problem = replace(problem, batching=SampledNodes((1,), 2))

    def told(epoch: int, seed: int = 0) -> list[str]:
        return [str(b.to_dict().get("x", b.to_dict().get("negatives")))
                for b in replace(problem, seed=seed).batches("train", epoch=epoch)]  # fmt: skip

    assert told(0) == told(0)
    assert told(0) != told(1) or told(0) != told(2)
    assert told(0) != told(0, seed=1) or told(1) != told(1, seed=1)


def test_a_turn_may_start_in_its_middle() -> None:
    problem = replace(graphs(), batching=Graphs(1))
    whole = [b.x[0, 0].item() for b in problem.batches("train", epoch=3)]
    rest = [b.x[0, 0].item() for b in problem.batches("train", epoch=3, first=2)]
    assert rest == whole[2:]


@pytest.mark.parametrize(("count", "size", "ranks"), [(10, 3, 2), (7, 2, 3), (5, 5, 4), (1, 1, 2)])
def test_ranks_step_equally_and_see_everything(count: int, size: int, ranks: int) -> None:
    items = torch.arange(count)
    chunks = [
        [part.tolist() for _, part in Turn("train", rank=rank, ranks=ranks).chunks(items, size)]
        for rank in range(ranks)
    ]
    assert len({len(part) for part in chunks}) == 1
    assert {i for rank in chunks for part in rank for i in part} == set(range(count))


class CountingTransform(BaseTransform):
    """Notes how often it is applied and which fields it could see."""

    calls = 0
    seen: tuple[str, ...] = ()

    def forward(self, data: Data) -> Data:
        type(self).calls += 1
        type(self).seen = tuple(data.keys())
        data.extra = torch.ones(int(data.num_nodes or 0))
        return data

    def __repr__(self) -> str:
        return "CountingTransform()"


class Needy(Model):
    """A model that wants the field above."""

    @property
    def pre_transform(self) -> CountingTransform:
        return CountingTransform()

    def forward(self, batch: Data) -> torch.Tensor:
        return torch.stack([batch.extra, batch.extra], dim=1)


def test_preparation_is_done_once_and_sees_no_answer() -> None:
    problem, CountingTransform.calls = nodes().with_field("soft", torch.ones(12)), 0
    for stage in (problem, problem.blind(), problem.blind().with_field("more", torch.ones(12))):
        for epoch in range(3):
            [batch] = stage.batches("train", Needy(), epoch)
            assert batch.extra.sum() == 12
            assert batch.soft.sum() == 12
    assert CountingTransform.calls == 1
    assert not {"y", "soft", "more", "train_mask"} & set(CountingTransform.seen)


def test_a_preparation_that_loses_nodes_is_refused() -> None:
    class Losing(CountingTransform):
        def forward(self, data: Data) -> Data:
            return Data(x=data.x[:5])

    class Loser(Needy):
        @property
        def pre_transform(self) -> Losing:
            return Losing()

    with pytest.raises(DataError, match="from 12 to 5"):
        list(nodes().batches("train", Loser()))


def test_fingerprint_follows_content() -> None:
    assert nodes().fingerprint == nodes().fingerprint
    other = nodes()
    other.data.x[3, 0] += 1
    assert replace(other).fingerprint != nodes().fingerprint


def test_events_have_the_past_and_no_true_candidate() -> None:
    problem = replace(events(), batching=Events(RandomNegatives(5, 11, draws=7), 6))
    start = int(problem.split.val[0])
    for batch in problem.batches("val"):
        assert len(batch.history.src) == start
        assert bool((batch.history.t < batch.t[0]).all())
        assert not bool((batch.negatives == batch.dst[:, None]).any())
        assert int(batch.negatives.min()) >= 5
        assert int(batch.negatives.max()) < 11
        start += len(batch.src)


def test_candidates_are_the_same_for_every_batch_size_and_seed() -> None:
    def drawn(size: int, seed: int) -> torch.Tensor:
        problem = replace(events(), batching=Events(RandomNegatives(5, 11), size), seed=seed)
        return torch.cat([batch.negatives for batch in problem.batches("test")])

    assert torch.equal(drawn(3, 0), drawn(200, 5))


def test_training_candidates_differ_by_epoch() -> None:
    problem = events()
    one, two = (next(problem.batches("train", epoch=epoch)).negatives for epoch in (0, 1))
    assert not torch.equal(one, two)


def test_per_class_and_shares_and_folds() -> None:
    y = torch.arange(90) % 3
    y[80:] = -1
    split = per_class(y, 3, train=5, val=6, test=20)
    assert torch.bincount(y[split.train]).tolist() == [5, 5, 5]
    assert split.sizes() == {"train": 15, "val": 6, "test": 20, "hidden": 0}
    split.check(90)
    each = per_class(y, 3, train=5, val=4, test=None, val_per_class=True)
    assert torch.bincount(y[each.val]).tolist() == [4, 4, 4]
    assert len(each.test) == 80 - 15 - 12
    with pytest.raises(DataError, match=r"but 40 per class|per class were asked"):
        per_class(y, 3, train=40)
    assert share(10, 0).sizes() == {"train": 6, "val": 2, "test": 2, "hidden": 0}
    tests = torch.cat([folds(y[:80], fold).test for fold in range(10)])
    assert sorted(tests.tolist()) == list(range(80))
    hidden = hide(share(50, 0), 0)
    assert len(hidden.hidden) == 2
    hidden.check(50)


def test_events_of_one_moment_do_not_see_each_other_across_batches() -> None:
    t = torch.tensor([0, 1, 2, 2, 2, 2, 3, 4, 4, 5])
    data = TemporalData(src=torch.zeros(10).long(), dst=1 + torch.arange(10) % 3, t=t)
    items = torch.arange(10)
    problem = graphkit.make_problem(data, split=Split(items[:7], items[7:9], items[9:]),
                                    batching=Events(RandomNegatives(1, 4), 2))  # fmt: skip
    ends = [len(batch.history) for batch in problem.batches("train")]
    assert ends == [0, 2, 2, 6]  # events 2 to 5 share a moment: batches 2 and 3 both begin in it
