"""Check the GAN on random networks, and on normal distributions with a known best Curator (essay, Grammar 3)."""

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
    """A Forger that returns m + s eps. Its only parameter is m; the scale s is fixed."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.tensor(mean, dtype=D)), scale

    def forward(self, eps: Tensor) -> Tensor:
        """eps: (batch, 1)."""
        return self.mean + self.scale * eps


def quantiles(count: int) -> Tensor:
    """Return standard normal quantiles at the midpoints of `count` equal parts of [0, 1]: (count, 1), float64."""
    parts = (torch.arange(count, dtype=D) + 0.5) / count
    return distributions.Normal(torch.zeros((), dtype=D), 1.0).icdf(parts).unsqueeze(1)


def dense(saturating: bool, seed: int) -> Grammar:
    """Make a grammar of dense networks of random widths. saturating: see `gan`."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, latent, width = choose.randint(2, 6), choose.randint(1, 3), choose.randint(2, 8)
    forger = Factory.of(generative.DenseSynthesis, latent, (size,), [width])
    curator = Factory.of(generative.DenseAnalysis, (size,), 1, [width], slope=0.2)
    x = torch.randn(BATCH, size, generator=generator)
    return gan(arrays(x, batch=BATCH), gaussian((latent,), batch=BATCH), forger, curator, saturating=saturating)


SATURATING, NON_SATURATING = functools.partial(dense, True), functools.partial(dense, False)


def convolutional(seed: int) -> Grammar:
    """Make a grammar of convolutional networks on small images, saturating or not at random."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    image, latent, channels = (choose.randint(1, 2), 4, 6), choose.randint(1, 3), [choose.randint(2, 4)]
    forger = Factory.of(generative.ConvolutionalSynthesis, latent, image, channels, squashed=True)
    curator = Factory.of(generative.ConvolutionalAnalysis, image, 1, channels, slope=0.2)
    x = torch.rand(BATCH, *image, generator=generator)
    noise = gaussian((latent,), batch=BATCH)
    return gan(arrays(x, batch=BATCH), noise, forger, curator, saturating=bool(choose.randint(0, 1)))


def gaussians(seed: int) -> Grammar:
    """Make a grammar in which Nature and Forger are normal with the same scale, so that an affine Curator is best.

    Curator learns while Forger stays fixed.
    """
    nature, forger, scale = _means(seed)
    distance = Factory.of(distance_from_best, nature=nature, forger=forger, scale=scale)
    return _with(_normal_game(nature, forger, scale), Learned(("Curator",), distance))


def forgeable(seed: int) -> Grammar:
    """Make a grammar in which Forger can match Nature and Curator is affine, so that both come to rest."""
    return _with(_normal_game(*_means(seed), count=200), Arrives())


def best_logit(nature: float, forger: float, scale: float) -> tuple[float, float]:
    """Return slope and offset of the best logit, log p_nature - log p_forger, for normals of the same scale.

    nature, forger: means of the two normal distributions.
    """
    return (nature - forger) / scale**2, -(nature**2 - forger**2) / (2 * scale**2)


def distance_from_best(
    modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor], nature: float, forger: float, scale: float
) -> Tensor:
    """Return the largest error of Curator's slope and offset, relative to the larger of the best ones, 0-d."""
    found = torch.stack([each.reshape(()) for each in modules["Curator"].parameters()])
    best = torch.tensor(best_logit(nature, forger, scale), dtype=D)
    return (found - best).abs().max() / best.abs().max()


def value_at_best(seed: int) -> Measured:
    """Compare the objective L at the best Curator with -log 4 + 2 JSD(p_nature, p_forger), by the trapezoidal rule."""
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
    """Make a grammar in which Nature and Noise always play the same quantiles, so that means approximate integrals."""
    points = quantiles(count)
    world, noise = (arrays(x, batch=count, shuffle=False) for x in (nature + scale * points, points))
    return gan(world, noise, Factory.of(Shift, forger, scale), Factory.of(nn.Linear, 1, 1, dtype=D))


def _with(grammar: Grammar, promise: Promise) -> Grammar:
    """Return the grammar with this promise in place of its `Learned` promises."""
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
