"""Calls between aiortc clients through the real node: WebSocket, ICE, DTLS, SRTP."""

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from scipy.io import wavfile

from proto.media import EndSession, SessionEnded, SessionMuted, SessionStarted
from proto.signalling import AUDIO_SLOTS, Arrived, Changed, Departed, Ended
from tests.clients.aiortc_client import RATE, AiortcClient, JoinRefused, loudest_frequency, rms, tone
from tests.data_plane.support import GAUGES, Running

FREE = dict.fromkeys(GAUGES, 0)


async def test_two_people_hear_each_other_and_not_themselves(here: Running) -> None:
    room = uuid4()
    one, two = here.admission(room=room), here.admission(room=room)
    async with (
        AiortcClient(here.url, one, microphone=tone(440)) as ada,
        AiortcClient(here.url, two, microphone=tone(1000)) as bob,
    ):
        for who, other, frequency in ((ada, bob, 1000), (bob, ada, 440)):
            mid = await who.slot_of(other.joined.csrc)
            await who.listen(mid, 0.5)  # what the jitter buffer filled in while it settled
            heard = await who.listen(mid, 1)
            assert loudest_frequency(heard) == pytest.approx(frequency, abs=5)
            assert rms(heard) > 0.1
            assert who.joined.csrc not in {slot.csrc for slot in who.slots.values()}
    assert await here.freed() == FREE
