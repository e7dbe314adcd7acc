"""A client that shares no code with aiortc comes again: libdatachannel, on the real node."""

from pathlib import Path
from uuid import uuid4

from native import rtp
from proto.media import SessionStarted
from proto.signalling import Departed
from tests.clients import opus
from tests.clients.aiortc_client import AiortcClient, heard, loudest_frequency, rms, tone
from tests.clients.node_client import node_client
from tests.data_plane.support import GAUGES, Running

FREE = dict.fromkeys(GAUGES, 0)
SECONDS = 60  # of a tone: more than the test takes


async def test_it_resumes_and_renews_and_is_heard_throughout(here: Running, tmp_path: Path) -> None:
    room = uuid4()
    packets = opus.packetize(opus.encode(tone(1000, SECONDS)), ssrc=0xC0FFEE)
    admission = here.admission(room=room)
    async with AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada:
        await here.reported(SessionStarted)
        async with node_client(here.url, admission, packets, tmp_path) as bob:
            await here.reported(SessionStarted)
            csrc = int(bob.joined["csrc"])

            async def is_heard() -> None:
                sound = await heard(ada, csrc)
                assert abs(loudest_frequency(sound) - 1000) < 5
                assert rms(sound) > 0.1

            await is_heard()
            resumed = await bob.resume()
            assert (resumed["csrc"], resumed["restart"]) == (csrc, False)
            await is_heard()
            await bob.renew()
            await is_heard()
            await bob.resume()
            assert not any(isinstance(each, Departed) for each in ada.frames)
            assert here.gauges["peers"] == 2
            await bob.leave()
        spoken = [packet for packet in bob.received if ada.joined.csrc in rtp.parse(packet)[0].csrcs]
        streams = {rtp.parse(packet)[0].ssrc for packet in spoken}
        assert len(streams) == 2, "each transport has SSRCs of its own"
        for ssrc in streams:
            sound = opus.decode([packet for packet in spoken if rtp.parse(packet)[0].ssrc == ssrc])
            assert abs(loudest_frequency(sound) - 440) < 5
    assert await here.freed() == FREE
