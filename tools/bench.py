"""Measure what DESIGN §9 gives budgets for, print a table and write bench.json: `make bench`.

Each metric has a name, a value, a unit, a budget and whether it holds; one without a budget is there for comparison.
Budgets are ratios of two things measured in the same run, so that they mean the same on any machine. `--quick` runs
every benchmark briefly, judges nothing and writes nothing: it shows that they run. The exit status is 1 when a
benchmark failed, and when a budget does not hold.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "native"

FAN_OUT = 0.75  # DESIGN §9: of what a bare sendmmsg + AES-GCM loop sends per CPU second
JOINS = 300.0  # DESIGN §9: a second, on one core
PEER_BYTES = 24 * 1024  # DESIGN §9
ROOM_BYTES = 1024  # DESIGN §9
DELAY = 2.0  # DESIGN §9: p99, beside a bare echo
PYLIBSRTP = 1.0  # both through their Python bindings: nobody should be slower than the library they do not use
ALLOCATIONS = 0.001  # DESIGN §9: none of a forwarded packet; queues of events may still grow, a few times in all
CODEC = 2.0  # times plain Python; below that Cython would not be worth its compiler


@dataclass(frozen=True)
class Metric:
    name: str
    value: float
    unit: str
    budget: float | None = None  # the value must be at least this
    limit: float | None = None  # or at most this

    @property
    def holds(self) -> bool | None:
        if self.limit is not None:
            return self.value <= self.limit
        return None if self.budget is None else self.value >= self.budget

    @property
    def bound(self) -> str:
        if self.limit is not None:
            return f"≤ {self.limit:g}"
        return "" if self.budget is None else f"≥ {self.budget:g}"


def run(words: list[str], folder: Path) -> str:
    """What it printed. Raises CalledProcessError when it fails."""
    print(f"· {' '.join(words).replace(f'{ROOT}/', '')}", flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, words)
    return done.stdout


def cargo_bench(*words: str) -> list[str]:
    vendored = subprocess.run(["pkg-config", "--exists", "openssl"], check=False, capture_output=True).returncode
    return ["cargo", "bench", "--quiet", "--locked", *(["--features", "vendored-openssl"] if vendored else []), *words]


def fan_out(quick: bool) -> list[Metric]:
    """The engine's own benchmark: one JSON line for each of its scenarios."""
    command = cargo_bench("-p", "engine", "--bench", "fanout", *(["--", "quick"] if quick else []))
    found = [json.loads(line) for line in run(command, NATIVE).splitlines() if line.startswith("{")]
    of_video = [each for each in found if each["scenario"] in ("video", "switching", "repair")]
    by_name: dict[str, dict[str, Any]] = {each.pop("scenario"): each for each in found if each not in of_video}
    metrics = []
    for scenario in ("room", "rooms", "burst"):
        figures = by_name[scenario]
        name = f"{scenario} ({figures['rooms']} of {figures['members']})"
        metrics += [
            Metric(f"{name}: forwarded", figures["forwarded_per_cpu_s"], "packets/CPU s"),
            Metric(f"{name}: CPU time of a forwarded packet", figures["forwarded_ns"], "ns"),
            Metric(f"{name}: AES-GCM and sendmmsg alone", figures["bare_ns"], "ns"),
            Metric(f"{name}: ratio", figures["ratio"], "", None if scenario == "burst" else FAN_OUT),
            Metric(
                f"{name}: allocations of a forwarded packet", figures["allocations_a_packet"], "", limit=ALLOCATIONS
            ),
        ]
    scaling = by_name["scaling"]
    metrics += [
        Metric("CPU time of a forwarded packet, one worker", scaling["one_worker_ns"], "ns"),
        Metric("CPU time of a forwarded packet, two workers", scaling["two_workers_ns"], "ns"),
        Metric("scaling from one worker to two (1: twice as much)", scaling["ratio"], ""),
    ]
    metrics += [Metric(f"memory: {what}", value, "bytes") for what, value in by_name["memory"].items()]
    metrics += [Metric(f"receiving: {what}", value, "ns") for what, value in by_name["receiving"].items()]
    return metrics + [metric for figures in of_video for metric in video(figures)]


def video(figures: dict[str, Any]) -> list[Metric]:
    """What one line of the engine's benchmark says of video."""
    match figures["scenario"]:
        case "video":
            feedback = "transport-wide feedback" if figures["transport_cc"] else "REMB"
            name = f"video, {figures['encodings']} encodings, {figures['watchers']} watchers, {feedback}"
            return [
                Metric(f"{name}: CPU time of a forwarded packet", figures["forwarded_ns"], "ns"),
                Metric(f"{name}: AES-GCM and sendmmsg alone", figures["bare_ns"], "ns"),
                Metric(f"{name}: ratio", figures["ratio"], ""),
                Metric(f"{name}: allocations a packet", figures["allocations_a_packet"], "", limit=ALLOCATIONS),
                Metric(f"{name}: memory of the source", figures["source_bytes"], "bytes"),
                Metric(f"{name}: memory of a watcher", figures["watcher_bytes"], "bytes"),
                Metric(f"{name}: frames cut wrongly", figures["miscut"], "", limit=0),
                Metric(f"{name}: jumps of numbers", figures["jumps"], "", limit=0),
            ]
        case "switching":
            return [
                Metric(f"switching {way}, key frame {figures['key_frames']}: {part}", figures[f"{way}{key}_ms"], "ms")
                for way in ("up", "down")
                for part, key in (("p50", ""), ("at most", "_most"))
            ]
        case _:
            return [
                Metric("repair: from the request to the packet", figures["repair_ms"], "ms"),
                Metric("repair: never came", figures["holes"], "", limit=0),
                Metric("repair: CPU time of a forwarded packet", figures["forwarded_ns"], "ns"),
                Metric("repair: CPU time of a repaired packet, its request included", figures["repaired_ns"], "ns"),
            ]


def congestion(_quick: bool) -> list[Metric]:
    """How fast the estimate comes to what a path carries, in virtual time, and what it costs."""
    command = ["cargo", "run", "--quiet", "--locked", "--release", "-p", "congestion", "--example", "scenarios"]
    printed = run(command, NATIVE)
    metrics = []
    for link, target, arriving in re.findall(r"\| ([\d.]+ Mb/s) \| ([\d.]+) s \| ([\d.]+) s \|", printed):
        metrics += [
            Metric(f"congestion, start on {link}: estimate at 90 %", float(target), "s"),
            Metric(f"congestion, start on {link}: arriving at 90 %", float(arriving), "s"),
        ]
    for scenario, used, median, p95 in re.findall(r"\| (.+?) \| (\d+) % \| (\d+) ms \| (\d+) ms \|", printed):
        # A part is enough here: the table is in the crate's README.
        if scenario.startswith(("5.1", "5.4", "loss", "simulcast")):
            metrics += [
                Metric(f"congestion, {scenario}: used of the path", float(used), "%"),
                Metric(f"congestion, {scenario}: queueing p50", float(median), "ms"),
                Metric(f"congestion, {scenario}: queueing p95", float(p95), "ms"),
            ]
    costs = re.search(r"acknowledged: (\d+) ns; received and reported: (\d+) ns", printed)
    if costs is None or not metrics:
        raise ValueError("the scenarios of congestion print something else")
    return [
        *metrics,
        Metric("congestion: a packet sent, paced and acknowledged", float(costs[1]), "ns"),
        Metric("congestion: a packet received and reported", float(costs[2]), "ns"),
    ]


def peers(quick: bool) -> list[Metric]:
    """What the load client says that peers cost the engine: one JSON line for each measurement."""
    command = cargo_bench("-p", "swarm", "--bench", "joins", *(["--", "quick"] if quick else []))
    figures: dict[str, Any] = {}
    for line in run(command, NATIVE).splitlines():
        if line.startswith("{"):
            figures |= json.loads(line)
    return [
        Metric("joins, DTLS included, clients on the same cores", figures["joins_per_s"], "/s"),
        Metric("joins, DTLS included, of the engine's CPU time", figures["joins_per_engine_cpu_s"], "/CPU s", JOINS),
        Metric("memory of an audio peer, DTLS included", figures["memory_per_peer_bytes"], "bytes", limit=PEER_BYTES),
        Metric("memory of an idle room", figures["memory_per_idle_room_bytes"], "bytes", limit=ROOM_BYTES),
        # Of two sockets, both clients and the engine, which share the cores; a disturbed run is not judged.
        *(
            Metric(f"{of} {part}", figures[f"{name}_us_{key}"], "µs")
            for of, name in (("talker to listener, rooms of 10:", "forwarding_delay"), ("bare echo:", "echo_delay"))
            for part, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
        ),
        Metric(
            "talker to listener ÷ bare echo, p99",
            figures["delay_ratio_p99"],
            "",
            limit=DELAY if figures["undisturbed"] else None,
        ),
    ]


def criterion(quick: bool) -> list[Metric]:
    """Criterion's benchmarks of the sans-IO crate, from the files that it leaves."""
    home = NATIVE / "target" / ("criterion-quick" if quick else "criterion")
    os.environ["CRITERION_HOME"] = str(home)
    benches = [word for file in sorted((NATIVE / "sfu/benches").glob("*.rs")) for word in ("--bench", file.stem)]
    if not benches:
        raise ValueError("the sfu crate has no benchmarks")
    run(["cargo", "bench", "--quiet", "--locked", "-p", "sfu", *benches, "--", *(["--quick"] if quick else [])], NATIVE)
    metrics = []
    for file in sorted(home.glob("**/new/estimates.json")):
        identity = json.loads(file.with_name("benchmark.json").read_text())
        nanoseconds = json.loads(file.read_text())["mean"]["point_estimate"]
        each = (identity.get("throughput") or {}).get("Elements", 1)
        metrics.append(Metric(f"sfu {identity['full_id']}", each * 1e9 / nanoseconds, "/s"))
    return metrics


def python_benchmarks(quick: bool) -> list[Metric]:
    """pytest-benchmark's: ours beside somebody else's in each group; the ratio of the median rounds is judged."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/benchmarks",
            "--benchmark-only",
            f"--benchmark-json={report}",
        ]
        run(words + (["--benchmark-max-time=0.02", "--benchmark-min-rounds=1"] if quick else []), ROOT)
        found: list[dict[str, Any]] = json.loads(report.read_text())["benchmarks"]
    groups: dict[str, dict[str, float]] = {}
    for each in found:
        rate = each["extra_info"]["items"] / each["stats"]["median"]
        groups.setdefault(each["group"], {})[each["extra_info"]["contestant"]] = rate
    metrics = []
    for group, rates in groups.items():
        metrics += [Metric(f"{group}: {contestant}", rate, "packets/s") for contestant, rate in rates.items()]
        ours, theirs = ("cython", "python") if "cython" in rates else ("chorale", "pylibsrtp")
        budget = CODEC if ours == "cython" else PYLIBSRTP
        metrics.append(
            Metric(f"{group}: {ours} ÷ {theirs}, as called from Python", rates[ours] / rates[theirs], "", budget)
        )
    return metrics


def table(metrics: list[Metric]) -> str:
    lines = [f"{'metric':<86}{'value':>14}  {'unit':<14}{'budget':>8}  holds"]
    for metric in metrics:
        value = f"{metric.value:,.0f}" if metric.value >= 1000 else f"{metric.value:.3f}"
        holds = {None: "", True: "yes", False: "NO"}[metric.holds]
        lines.append(f"{metric.name:<86}{value:>14}  {metric.unit:<14}{metric.bound:>8}  {holds}".rstrip())
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    metrics: list[Metric] = []
    failed = 0
    for measure in (fan_out, peers, congestion, criterion, python_benchmarks):
        try:
            metrics += measure(quick)
        except (subprocess.CalledProcessError, ValueError, KeyError) as error:
            print(f"{measure.__name__} failed: {error}")
            failed += 1
    if quick:
        print(f"{len(metrics)} figures, too briefly measured to be shown")
    else:
        print(f"\n{table(metrics)}")
        (ROOT / "bench.json").write_text(
            json.dumps([asdict(each) | {"holds": each.holds} for each in metrics], indent=1)
        )
        failed += sum(each.holds is False for each in metrics)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
