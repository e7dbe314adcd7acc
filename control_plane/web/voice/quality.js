/** How well the call goes, from what the browser counts: sound that was made up, packets that were lost, the time there and back. */

const LOOK_MS = 2_000;

/** From which figure on a call is fair, and from which poor: shares of 1, and seconds. */
export const LIMITS = {
  concealed: [0.015, 0.06], // of what is heard; below that hardly anybody notices
  lostIn: [0.03, 0.1], // the error correction of Opus mends the smaller losses
  lostOut: [0.03, 0.1],
  roundTrip: [0.25, 0.5], // people begin to talk into each other
};

const GRADES = ["good", "fair", "poor"];

const NOTHING = Object.freeze({ samples: 0, concealed: 0, received: 0, lost: 0, lostOut: null, roundTrip: null });

export class Quality {
  #timer;
  #before = NOTHING;

  /**
   * `stats()`: a promise of an RTCStatsReport. `on`: report(RTCStats[], figures) at every look, change(figures) when they are known:
   * {grade, concealed, lostIn, lostOut, roundTrip}; null: not known.
   */
  constructor(stats, on) {
    this.#timer = setInterval(async () => {
      const report = await stats().catch(() => null); // the transport was just closed
      if (!report) return;
      const figures = this.#look([...report.values()]);
      if (figures) on.change(figures);
      on.report([...report.values()], figures);
    }, LOOK_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  /** null when a new transport counts anew. */
  #look(report) {
    const now = totals(report);
    const before = this.#before;
    this.#before = now;
    if (now.received < before.received || now.samples < before.samples) return null;
    const figures = {
      concealed: share(now.concealed - before.concealed, now.samples - before.samples),
      lostIn: share(now.lost - before.lost, now.lost - before.lost + now.received - before.received),
      lostOut: now.lostOut,
      roundTrip: now.roundTrip,
    };
    return { grade: gradeOf(figures), ...figures };
  }
}

/**
 * Silence that was filled in because nobody spoke is no fault and no sound: it counts neither as made up nor as heard (W3C
 * webrtc-stats, silentConcealedSamples).
 */
function totals(report) {
  const sum = { ...NOTHING };
  const pairId = report.find((each) => each.type === "transport")?.selectedCandidatePairId;
  for (const each of report) {
    if (each.type === "inbound-rtp") {
      const silent = each.silentConcealedSamples ?? 0;
      sum.samples += (each.totalSamplesReceived ?? 0) - silent;
      sum.concealed += (each.concealedSamples ?? 0) - silent;
      sum.received += each.packetsReceived ?? 0;
      sum.lost += each.packetsLost ?? 0;
    } else if (each.type === "remote-inbound-rtp") {
      sum.lostOut = Math.max(sum.lostOut ?? 0, each.fractionLost ?? 0);
    } else if (each.type === "candidate-pair" && (each.id === pairId || (!pairId && each.nominated))) {
      sum.roundTrip = each.currentRoundTripTime ?? null;
    }
  }
  return sum;
}

/** Fewer than nothing, or more than all, is what counting in two places gives. */
export const share = (part, whole) => (whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0);

const gradeOf = (figures) =>
  worst(Object.entries(LIMITS).map(([name, limits]) => limits.filter((limit) => figures[name] >= limit).length));

/** Of levels (0 is good, 2 is poor) the grade as a whole. */
export const worst = (levels) => GRADES[Math.max(0, ...levels)];
