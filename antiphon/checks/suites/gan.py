"""Test the GAN grammar (essay, Grammar 3) on random networks, and on normal distributions with a known solution."""

import functools
import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, distributions, nn

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite, descent, smaller_and_smaller
from antiphon.envs import arrays
from antiphon.grammars import Arrives, Factory, Grammar, Learned, Port, Promise, promised
from antiphon.grammars.library import gan, generative
from antiphon.grammars.library.gan import discernment
from antiphon.oracles import gaussian

D = torch.float64
BATCH, QUANTILES = 8, 2000


@final
class Shift(nn.Module):
    """A module for Forger that returns m + s eps for the noise eps. Its only parameter is m; the scale s is fixed."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.tensor(mean, dtype=D)), scale

    def forward(self, eps: Tensor) -> Tensor:
        """Return m + s eps, (batch, 1). eps: the noise, (batch, 1)."""
        return self.mean + self.scale * eps


def quantiles(count: int) -> Tensor:
    """Return standard normal quantiles at the midpoints of `count` equal parts of [0, 1]: (count, 1), float64."""
    parts = (torch.arange(count, dtype=D) + 0.5) / count
    return distributions.Normal(torch.zeros((), dtype=D), 1.0).icdf(parts).unsqueeze(1)


def dense(saturating: bool, seed: int) -> Grammar:
    """Make a GAN grammar of dense networks of random widths.

    saturating: Forger's loss, where D is the probability that Curator takes a forged example for real. If true, Forger
    minimises E log(1 - D), as in the essay; if false, it maximises E log D.
    """
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, latent, width = choose.randint(2, 6), choose.randint(1, 3), choose.randint(2, 8)
    forger = Factory.of(generative.DenseSynthesis, latent, (size,), [width])
    curator = Factory.of(generative.DenseAnalysis, (size,), 1, [width], slope=0.2)
    x = torch.randn(BATCH, size, generator=generator)
    return gan(arrays(x, batch=BATCH), gaussian((latent,), batch=BATCH), forger, curator, saturating=saturating)


SATURATING, NON_SATURATING = functools.partial(dense, True), functools.partial(dense, False)


def convolutional(seed: int) -> Grammar:
    """Make a GAN grammar of convolutional networks on small images. The seed chooses Forger's loss."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    image, latent, channels = (choose.randint(1, 2), 4, 6), choose.randint(1, 3), [choose.randint(2, 4)]
    forger = Factory.of(generative.ConvolutionalSynthesis, latent, image, channels, squashed=True)
    curator = Factory.of(generative.ConvolutionalAnalysis, image, 1, channels, slope=0.2)
    x = torch.rand(BATCH, *image, generator=generator)
    noise = gaussian((latent,), batch=BATCH)
    return gan(arrays(x, batch=BATCH), noise, forger, curator, saturating=bool(choose.randint(0, 1)))


def gaussians(seed: int) -> Grammar:
    """Make a GAN grammar whose real and forged examples are normal with the same scale.

    The best Curator is then a known affine function. The grammar promises that Curator learns it while Forger stays
    fixed.
    """
    nature, forger, scale = _means(seed)
    distance = Factory.of(distance_from_best, nature=nature, forger=forger, scale=scale)
    return _with(_normal_game(nature, forger, scale), Learned(("Curator",), distance))


def forgeable(seed: int) -> Grammar:
    """Make a GAN grammar in which Forger can match the real distribution, and promise that both players come to rest.

    Curator is an affine function.
    """
    return _with(_normal_game(*_means(seed), count=200), Arrives())


def best_logit(nature: float, forger: float, scale: float) -> tuple[float, float]:
    """Return (slope, offset) of the best Curator: its logit is log p_nature - log p_forger, an affine function.

    nature, forger: means of the two normal distributions. scale: their common standard deviation.
    """
    return (nature - forger) / scale**2, -(nature**2 - forger**2) / (2 * scale**2)


def distance_from_best(
    modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor], nature: float, forger: float, scale: float
) -> Tensor:
    """Return the distance of an affine Curator from the best Curator, 0-d.

    It is the larger of the errors of slope and offset, divided by the larger of the best slope and the best offset.
    nature, forger: means of the two normal distributions. scale: their common standard deviation.
    """
    found = torch.stack([each.reshape(()) for each in modules["Curator"].parameters()])
    best = torch.tensor(best_logit(nature, forger, scale), dtype=D)
    return (found - best).abs().max() / best.abs().max()


def value_at_best(seed: int) -> Measured:
    """Test that the objective L at the best Curator is -log 4 + 2 JSD(p_nature, p_forger).

    The Jensen-Shannon divergence (JSD) is computed by the trapezoidal rule. The measured value is the difference.
    """
    nature, forger, scale = _means(seed)
    slope, offset = best_logit(nature, forger, scale)
    points = scale * quantiles(QUANTILES)
    value = float(discernment(slope * (nature + points) + offset, slope * (forger + points) + offset))
    expected = -math.log(4) + 2 * float(jensen_shannon(nature, forger, scale))
    return Measured("Curator", abs(value - expected), 1e-3, "L", f"{value:.5f}, by quadrature {expected:.5f}")


def jensen_shannon(nature: float, forger: float, scale: float) -> Tensor:
    """Return the Jensen-Shannon divergence, in nats, of two normal distributions with the same scale."""
    ends = min(nature, forger) - 12 * scale, max(nature, forger) + 12 * scale
    x = torch.linspace(*ends, 20_001, dtype=D)
    p, q = (distributions.Normal(torch.tensor(mean, dtype=D), scale).log_prob(x) for mean in (nature, forger))
    mixture = torch.logaddexp(p, q) - math.log(2)
    return torch.trapezoid(0.5 * (p.exp() * (p - mixture) + q.exp() * (q - mixture)), x)


def _means(seed: int) -> tuple[float, float, float]:
    choose = random.Random(seed)
    middle, half, scale = choose.uniform(-1, 1), choose.uniform(0.3, 1), choose.uniform(0.8, 1.5)
    return middle + half, middle - half, scale


def _normal_game(nature: float, forger: float, scale: float, count: int = QUANTILES) -> Grammar:
    """Make a GAN grammar on normal distributions in which every batch has the same `count` quantiles.

    Means over a batch then approximate integrals. nature, forger: the means of the distributions.
    """
    points = quantiles(count)
    world, noise = (arrays(x, batch=count, shuffle=False) for x in (nature + scale * points, points))
    return gan(world, noise, Factory.of(Shift, forger, scale), Factory.of(nn.Linear, 1, 1, dtype=D))


def _with(grammar: Grammar, promise: Promise) -> Grammar:
    """Return a copy of the grammar in which `promise` replaces all promises of the class `Learned`."""
    kept = (each for each in grammar.guarantee.promises if not isinstance(each, Learned))
    return replace(grammar, guarantee=promised(*kept, promise))


SUITE = Suite(
    "gan",
    (
        Case("dense", SATURATING, instances=20),
        Case("non-saturating", NON_SATURATING, instances=20),
        Case("convolutional", convolutional, instances=10),
        Case("gaussians", gaussians, instances=2, learning=Learning(300, smaller_and_smaller(300, 0.1))),
        Case("forgeable", forgeable, instances=2, learning=Learning(300, descent(0.5))),
    ),
    (Study("at the best Curator, L is -log 4 + 2 JSD", value_at_best, 10),),
)
