"""The names of torch.distributed that this folder uses. torch's type stubs hide or lack them."""

from typing import Any, TypeAlias

import torch.distributed as distributed

# pyright: reportPrivateImportUsage=false
Store: TypeAlias = distributed.Store
PrefixStore: TypeAlias = distributed.PrefixStore
HashStore: TypeAlias = distributed.HashStore
FileStore: TypeAlias = distributed.FileStore
TCPStore: TypeAlias = distributed.TCPStore
Work: TypeAlias = distributed.Work
ProcessGroupGloo: Any = distributed.ProcessGroupGloo  # Any: the stubs lack its send, recv and options
