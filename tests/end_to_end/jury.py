"""Who is heard by whom, and how well, over one or more recordings.

The scores have a ceiling that the codec sets: about 3.9, reached whenever the browser's jitter buffer conceals nothing.
They dip when packets come late, which they do for a while after a join, and when senders and browsers share too few
processors; it happens from browser to browser too, with no server between (`test_harness.py`). So what is not yet clear
is recorded again, `RECORDINGS` times at most, and each score is printed beside what was concealed. That forgives a bad
stretch; it would also forgive a forwarder that delays packets rarely, which is for benchmarks to find. What is not
forgiven, in any recording, is somebody else's voice.
"""

from dataclasses import dataclass, field

from tests.end_to_end.scoring import CLEAR, FOREIGN, score
from tests.end_to_end.speech import Samples, Voice

RECORDINGS = 3


@dataclass
class Jury:
    voices: dict[str, Voice]
    best: dict[tuple[str, str], float] = field(default_factory=dict)  # (listener, speaker): PESQ-wb

    def hear(self, listener: str, speaker: str, heard: Samples, note: str = "", *, rounds: int = 3) -> None:
        """Score against every voice. Raises AssertionError when it is somebody else's."""
        scores = {name: round(score(heard, voice, at_most=rounds), 2) for name, voice in self.voices.items()}
        print(f"{listener} hears {speaker}: {scores} {note}")
        right = scores.pop(speaker)
        assert max(scores.values()) < FOREIGN, f"{listener} hears somebody else in the place of {speaker}: {scores}"
        self.best[listener, speaker] = max(right, self.best.get((listener, speaker), 0.0))

    @property
    def unclear(self) -> dict[tuple[str, str], float]:
        """Those who were heard by somebody, but never clearly."""
        return {pair: best for pair, best in self.best.items() if best < CLEAR}
