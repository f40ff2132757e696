"""What this folder takes from torch.distributed, whose type stubs hide or lack it."""

from typing import Any, TypeAlias

import torch.distributed as distributed

# pyright: reportPrivateImportUsage=false
Store: TypeAlias = distributed.Store
PrefixStore: TypeAlias = distributed.PrefixStore
TCPStore: TypeAlias = distributed.TCPStore
Work: TypeAlias = distributed.Work
ProcessGroupGloo: Any = distributed.ProcessGroupGloo  # Any: the stubs know neither its send and recv nor its options
