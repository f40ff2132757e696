"""What stands for a tensor in a draft of a graph, and is none yet: to compute with it is refused, with the remedy."""

from typing import Any, NoReturn

from antiphon.errors import GrammarError


class NoTensor:
    """Base class of the values and messages of a draft: `-value`, `value[0]` or `torch.relu(value)` is refused."""

    _remedy = ""

    def _refused(self, *_: Any) -> NoReturn:  # Any: whatever stands on the other side of the sign
        raise GrammarError(
            f"an operation was asked of {self!r}, which belongs to a graph that is being written and has no numbers "
            f"yet; expected a node of the graph that computes. {self._remedy}"
        )

    __neg__ = __abs__ = __getitem__ = _refused
    __add__ = __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = _refused
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = _refused

    @classmethod
    def __torch_function__(cls, function: Any, *_: Any) -> NoReturn:  # Any: torch's protocol
        name = getattr(function, "__name__", function)
        raise GrammarError(
            f"torch's {name} was given a {cls.__name__} of a graph that is being written, which has no numbers yet; "
            f"expected a node of the graph that computes. {cls._remedy}"
        )
