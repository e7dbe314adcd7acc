"""The judge judged: browser to browser without a server between, where the right answer is known."""

from tests.end_to_end.browser import Tab, by_csrc, tab
from tests.end_to_end.scoring import CLEAR, FOREIGN, SILENCE, SPEECH, level, score
from tests.end_to_end.speech import Voice

CALL_MYSELF = """
async () => {
  const near = new RTCPeerConnection(), far = new RTCPeerConnection();
  near.onicecandidate = ({candidate}) => candidate && far.addIceCandidate(candidate);
  far.onicecandidate = ({candidate}) => candidate && near.addIceCandidate(candidate);
  const playing = new Promise((resolve) => {
    far.ontrack = ({track}) => {
      const element = new Audio();
      element.srcObject = new MediaStream([track]);
      element.play().then(resolve);
    };
  });
  const stream = await navigator.mediaDevices.getUserMedia({audio: true});
  window.microphone = stream.getAudioTracks()[0];
  near.addTrack(window.microphone, stream);
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
  await playing;
  await new Promise((resolve) => {
    const look = () => far.connectionState === 'connected' && resolve();
    far.onconnectionstatechange = look;
    look();
  });
}
"""


async def call_myself(tab: Tab, address: str) -> None:
    await tab.page.goto(address)
    await tab.page.evaluate(CALL_MYSELF)


async def test_a_voice_is_told_from_the_others_by_its_score(voices: dict[str, Voice], empty_page: str) -> None:
    said = voices["ada"]
    async with tab(said) as here:
        await call_myself(here, empty_page)
        heard = by_csrc(await here.record(4 * said.seconds + 1))[None]
        scores = {name: score(heard, voice) for name, voice in voices.items()}
        assert scores.pop("ada") >= CLEAR, await here.inbound()
        assert max(scores.values()) < FOREIGN
        assert not here.complaints


async def test_a_microphone_turned_off_is_heard_as_silence(voices: dict[str, Voice], empty_page: str) -> None:
    async with tab(voices["grace"]) as here:
        await call_myself(here, empty_page)
        speaking = by_csrc(await here.record(3))[None]
        await here.page.evaluate("microphone.enabled = false")
        await here.page.wait_for_timeout(500)  # what is still in the jitter buffer
        muted = by_csrc(await here.record(2))[None]
        assert level(speaking) > SPEECH
        assert level(muted) < SILENCE
