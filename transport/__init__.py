"""Messages between workers: headers, codec and channels. May import torch and msgpack."""
