"""Settings of torch that change computed numbers. A run copies them from its driver to its workers, or fixes them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch


class _Setting(NamedTuple):
    """A global setting of torch. read: returns its value. set: changes its value."""

    read: Callable[[], Any]  # Any: settings have many types
    set: Callable[[Any], Any]


def _attribute(of: Any, name: str) -> _Setting:  # Any: a module of torch.backends
    return _Setting(lambda: getattr(of, name), lambda value: setattr(of, name, value))


def _flushes_denormals() -> bool:
    # torch has no getter. The flag belongs to the thread, and Python's own arithmetic obeys it too.
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
    """The values of torch's global settings that change computed numbers, as pairs of name and value."""

    settings: tuple[tuple[str, Any], ...]  # Any: see `_Setting`

    @classmethod
    def here(cls) -> "ProcessState":
        """Read the current values of torch's settings that change computed numbers, in this process and thread."""
        return cls(tuple(_read().items()))

    def enter(self) -> None:
        """Apply the stored settings to this process and thread."""
        self._change(dict(ProcessState.here().settings))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A context that applies the stored settings to this process and thread, and restores the previous settings
        afterwards.

        Inside, as in a run, gradients are enabled, autocast is off, and the CPU is torch's default device.
        """
        before = ProcessState.here()
        self._change(dict(before.settings))
        try:
            with _pinned():
                yield
        finally:
            before.enter()

    def _change(self, now: Mapping[str, Any]) -> None:  # Any: see `_Setting`
        for name, value in self.settings:
            if name in now and now[name] != value:
                _SETTINGS[name].set(value)


def _read() -> dict[str, Any]:  # Any: see `_Setting`
    found = {}
    for name, setting in _SETTINGS.items():
        with suppress(RuntimeError):  # torch refuses to read some settings after a mix of its old and its new interface
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
