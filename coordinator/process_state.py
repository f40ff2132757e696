"""What of a process changes numbers: what a run carries from its driver to its workers, and what it pins."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch


class _Setting(NamedTuple):
    """One setting of torch: how it is read, and how it is set. Any: settings have many types."""

    read: Callable[[], Any]
    set: Callable[[Any], None]


def _attribute(of: Any, name: str) -> _Setting:  # Any: a module of torch.backends
    return _Setting(lambda: getattr(of, name), lambda value: setattr(of, name, value))


def _flushes_denormals() -> bool:
    # torch tells nobody; the flag is of the thread, and Python's own arithmetic obeys it too.
    return torch.full((), 1e-308, dtype=torch.float64).div(4).item() == 0.0


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


_SETTINGS = {
    "default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
    "deterministic algorithms": _Setting(_deterministic, _set_deterministic),
    "float32 matmul precision": _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "flush denormal": _Setting(_flushes_denormals, torch.set_flush_denormal),
    "mkldnn": _attribute(torch.backends.mkldnn, "enabled"),
    "cudnn": _attribute(torch.backends.cudnn, "enabled"),
    "cudnn benchmark": _attribute(torch.backends.cudnn, "benchmark"),
    "cudnn deterministic": _attribute(torch.backends.cudnn, "deterministic"),
    "opt_einsum": _attribute(torch.backends.opt_einsum, "enabled"),
    "flash attention": _Setting(torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "efficient attention": _Setting(
        torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp
    ),
    "plain attention": _Setting(torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    "attention fast path": _Setting(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
}


@dataclass(frozen=True)
class ProcessState:
    """torch's settings that change numbers, as they were in the driver: pairs of name and value."""

    settings: tuple[tuple[str, Any], ...]  # Any: see `_Setting`

    @classmethod
    def here(cls) -> "ProcessState":
        """Those of this process and thread."""
        return cls(tuple(_read().items()))

    def enter(self) -> None:
        """Make them those of this process and thread."""
        now = _read()
        for name, value in self.settings:
            if name in now and now[name] != value:
                _SETTINGS[name].set(value)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Theirs inside, the caller's afterwards, and what a run pins: gradients recorded, no autocast, torch's default
        device the CPU."""
        before = ProcessState.here()
        self.enter()
        try:
            with _pinned():
                yield
        finally:
            before.enter()


def _read() -> dict[str, Any]:  # Any: see `_Setting`
    found = {}
    for name, setting in _SETTINGS.items():
        with suppress(RuntimeError):  # torch refuses to tell some where its old and its new interface were mixed
            found[name] = setting.read()
    return found


@contextmanager
def _pinned() -> Iterator[None]:
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
