"""Messages between workers: headers, codec and channels. May import torch and msgpack."""

from antiphon.transport.channel import Channel as Channel
from antiphon.transport.codec import decode as decode
from antiphon.transport.codec import encode as encode
from antiphon.transport.codec import pack_tag as pack_tag
from antiphon.transport.codec import unpack_tag as unpack_tag
from antiphon.transport.local import Exchange as Exchange
from antiphon.transport.local import LocalChannel as LocalChannel
from antiphon.transport.message import Edge as Edge
from antiphon.transport.message import Header as Header
from antiphon.transport.message import Phase as Phase
from antiphon.transport.message import Session as Session
from antiphon.transport.message import Tag as Tag
from antiphon.transport.message import expect as expect
from antiphon.transport.object_store import Mailbox as Mailbox
from antiphon.transport.object_store import ObjectStoreChannel as ObjectStoreChannel
from antiphon.transport.process_group import ProcessGroupChannel as ProcessGroupChannel
from antiphon.transport.rendezvous import serve_store as serve_store
