"""Messages between workers: headers, codec and channels. May import torch and msgpack."""

from antiphon.transport.channel import Channel as Channel
from antiphon.transport.codec import decode as decode, encode as encode, pack_tag as pack_tag, unpack_tag as unpack_tag
from antiphon.transport.local import Exchange as Exchange, LocalChannel as LocalChannel
from antiphon.transport.message import (
    Edge as Edge,
    Header as Header,
    Phase as Phase,
    Session as Session,
    Tag as Tag,
    expect as expect,
)
from antiphon.transport.object_store import Mailbox as Mailbox, ObjectStoreChannel as ObjectStoreChannel
from antiphon.transport.process_group import ProcessGroupChannel as ProcessGroupChannel
from antiphon.transport.rendezvous import serve_store as serve_store
