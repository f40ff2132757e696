"""The grammars of the essay, one file each. This folder imports only the rest of `antiphon.grammars`."""

from antiphon.grammars.library.adjusted_game import adjusted_game as adjusted_game
from antiphon.grammars.library.backprop import backprop as backprop
from antiphon.grammars.library.black_box_descent import black_box_descent as black_box_descent
from antiphon.grammars.library.byol import byol as byol
from antiphon.grammars.library.convex_game import convex_game as convex_game
from antiphon.grammars.library.critic_derivative import critic_derivative as critic_derivative
from antiphon.grammars.library.dac import dac as dac
from antiphon.grammars.library.dac_bandit import dac_bandit as dac_bandit
from antiphon.grammars.library.densities import (
    GaussianDensity as GaussianDensity,
    normal_inverse_wishart as normal_inverse_wishart,
)
from antiphon.grammars.library.diffusion import diffusion as diffusion
from antiphon.grammars.library.encoder import Encoder as Encoder
from antiphon.grammars.library.feedback_alignment import feedback_alignment as feedback_alignment
from antiphon.grammars.library.finite_game import finite_game as finite_game
from antiphon.grammars.library.forward_forward import forward_forward as forward_forward
from antiphon.grammars.library.gan import gan as gan
from antiphon.grammars.library.generative import (
    ConvolutionalAnalysis as ConvolutionalAnalysis,
    ConvolutionalSynthesis as ConvolutionalSynthesis,
    DenseAnalysis as DenseAnalysis,
    DenseSynthesis as DenseSynthesis,
    Isotropic as Isotropic,
    Reparametrized as Reparametrized,
)
from antiphon.grammars.library.gray_box_descent import gray_box_descent as gray_box_descent
from antiphon.grammars.library.implicit import implicit_temporal_difference as implicit_temporal_difference
from antiphon.grammars.library.kickback import kickback as kickback
from antiphon.grammars.library.kicking import Weights as Weights, kicking_layers as kicking_layers
from antiphon.grammars.library.likelihood import (
    maximum_a_posteriori as maximum_a_posteriori,
    maximum_likelihood as maximum_likelihood,
)
from antiphon.grammars.library.maml import maml as maml
from antiphon.grammars.library.networks import (
    Dense as Dense,
    Perceptron as Perceptron,
    Policy as Policy,
    StateAction as StateAction,
    activated_layers as activated_layers,
    convolutional_layers as convolutional_layers,
    dense_layers as dense_layers,
)
from antiphon.grammars.library.online_game import online_game as online_game
from antiphon.grammars.library.penalty import squared_norm as squared_norm
from antiphon.grammars.library.point import Point as Point
from antiphon.grammars.library.projected_fixpoint import gtd2 as gtd2, tdc as tdc
from antiphon.grammars.library.random_policy import RandomPolicy as RandomPolicy
from antiphon.grammars.library.recurrent import recurrent as recurrent
from antiphon.grammars.library.reinforce import reinforce as reinforce
from antiphon.grammars.library.sign_symmetry import sign_symmetry as sign_symmetry
from antiphon.grammars.library.soft_actor_critic import soft_actor_critic as soft_actor_critic
from antiphon.grammars.library.strategy import MixedStrategy as MixedStrategy
from antiphon.grammars.library.supervised import supervised as supervised
from antiphon.grammars.library.synthetic_gradients import synthetic_gradients as synthetic_gradients
from antiphon.grammars.library.target_propagation import target_propagation as target_propagation
from antiphon.grammars.library.temporal_difference import (
    double_residual_gradient as double_residual_gradient,
    residual_gradient as residual_gradient,
    semi_gradient as semi_gradient,
    temporal_difference as temporal_difference,
)
from antiphon.grammars.library.transformer import transformer as transformer
from antiphon.grammars.library.truncated_bptt import truncated_bptt as truncated_bptt
from antiphon.grammars.library.vae import vae as vae
from antiphon.grammars.library.wgan_gp import wgan_gp as wgan_gp
