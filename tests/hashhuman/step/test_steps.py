"""How one optimizer step is executed."""

import copy
import functools

import pytest
import torch
from torch import nn

from hashhuman import losses
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.step.auto import automatic_step
from hashhuman.step.eager import EagerStep
from hashhuman.step.graph import GraphStep
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_pixels import training_picture


def stage(**options):
    return small.avatar(**options).stage([toy.pose(0)], [0])


def test_eager_is_forward_backward_update():
    weight = nn.Parameter(torch.tensor([3.0, -1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def objective():
        squared = (weight**2).sum()
        return 2 * squared, {"squared": squared}

    step = EagerStep(objective, optimizer, stage())
    total, terms = step()
    assert total.item() == 20 and terms["squared"].item() == 10  # before the update
    assert not total.requires_grad and not terms["squared"].requires_grad
    torch.testing.assert_close(weight.detach(), torch.tensor([1.8, -0.6]))  # the gradient is 4 w
    step()
    torch.testing.assert_close(weight.detach(), torch.tensor([1.08, -0.36]))  # and was not added up


def test_without_a_gpu_the_choice_is_eager():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    assert isinstance(automatic_step(lambda: (torch.zeros(()), {}), optimizer, stage()), EagerStep)


def test_graphs_need_a_gpu():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(UserError, match="needs a GPU: use step=eager"):
        GraphStep(lambda: (torch.zeros(()), {}), optimizer, stage())


@pytest.mark.gpu
def test_graphs_need_queries_of_a_fixed_size():
    avatar = small.avatar(neighbors=BruteNeighbors).cuda()
    optimizer = torch.optim.SGD(avatar.parameters(), lr=0.1)
    with pytest.raises(UserError, match="needs neighbors=grid"):
        GraphStep(lambda: (torch.zeros(()), {}), optimizer, avatar.stage([toy.pose(0)], [0]))


@pytest.mark.gpu
def test_a_recorded_step_learns_what_an_eager_one_does(toy_folder):
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 3]
    store = PixelStore.build(pictures, 0.2, "cuda")
    sampler = RaySampler(512, {"body": 0.6, "surround": 0.4}, 0, 8, "random")
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.1)}
    start, final = small.avatar(reach=0.2).cuda(), {}
    for kind in (EagerStep, functools.partial(GraphStep, measured_steps=4)):
        torch.manual_seed(0)
        avatar = copy.deepcopy(start)
        optimizer = torch.optim.Adam(avatar.parameters(), 0.01, eps=1e-15, capturable=True)
        posed = avatar.stage([toy.pose(frame) for frame in range(3)], [0, 1, 2])

        def objective(avatar=avatar, posed=posed):
            batch = sampler.draw(store)
            rendering, residual = avatar(batch.rays, posed, jitter=True)
            return losses.weighted_sum(terms, losses.Prediction(rendering, residual), batch)

        step = kind(objective, optimizer, posed)
        history = [step()[0].clone() for _ in range(150)]
        first, final[kind] = torch.stack(history[:5]).mean(), torch.stack(history[-20:]).mean()
        assert final[kind] < 0.3 * first
    eager, recorded = final.values()
    assert abs(eager - recorded) < 0.2 * eager
