"""How much of what was said was heard: alignment by cross-correlation, then wideband PESQ (ITU-T P.862.2)."""

import numpy as np
from pesq import NoUtterancesError, pesq
from scipy.signal import correlate

from tests.end_to_end.speech import SCORING_RATE, Samples, Voice

CLEAR = 3.0  # PESQ-wb that speech must reach; a clean Opus call between two browsers scores 3.9 to 4.3
FOREIGN = 2.0  # and that what somebody else said must stay under; it scores 1.0 to 1.1
SPEECH = -40.0  # dBFS; the voices come at about -25
SILENCE = -60.0

WORST = 1.0  # about what PESQ gives to what has nothing in common; also given to silence, on which it is not defined


def level(samples: Samples) -> float:
    """Root mean square in dB relative to full scale; -120 for digital silence and for nothing at all."""
    if not len(samples):
        return -120.0
    return float(20 * np.log10(max(np.sqrt(np.mean(samples.astype(np.float64) ** 2)), 1e-6)))


def rounds(heard: Samples, voice: Voice) -> list[Samples]:
    """Cut what was heard into the whole rounds of the speaker's loop, best aligned first.

    The loop may start anywhere; the lag is found once, where the correlation with one round is greatest.
    """
    length = len(voice.reference)
    if len(heard) < length:
        return []
    fit = correlate(heard.astype(np.float64), voice.reference.astype(np.float64), mode="valid", method="fft")
    best = int(np.argmax(fit))
    starts = range(best % length, len(heard) - length + 1, length)
    return [heard[at : at + length] for at in sorted(starts, key=lambda at: abs(at - best))]


def score(heard: Samples, voice: Voice, *, at_most: int = 6) -> float:
    """PESQ-wb MOS-LQO of `heard` (at `SCORING_RATE`) against the speaker's file: the best of `at_most` rounds.

    The best, since packets that come late for a moment spoil a round (`jury.py` says when they do), while what was said
    by somebody else scores badly in every one.
    """
    scores = [WORST]
    for part in rounds(heard, voice)[:at_most]:
        if level(part) > SILENCE:
            try:
                scores.append(float(pesq(SCORING_RATE, voice.reference, part, "wb")))
            except NoUtterancesError:
                continue
    return max(scores)
