//! A CSV and an SVG of a run: rates above, time in queues below, against time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::support::scenarios::Outcome;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 48.0;
const COLOURS: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"];
const STEP: Duration = Duration::from_millis(200);

/// A step of the run: kb/s of the capacity, and of each flow what arrives and its target, and ms that packets waited at most.
struct Row {
    at: f64,
    capacity: f64,
    rates: Vec<f64>,
    targets: Vec<f64>,
    waited: f64,
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let record = &outcome.record;
    let flows = record.is_media.len();
    let mut packets = record.packets.iter().peekable();
    let mut rows = Vec::new();
    let steps = outcome.seconds * 1000 / STEP.as_millis() as u64;
    for step in 0..steps as u32 {
        let (from, to) = (STEP * step, STEP * (step + 1));
        let (mut bytes, mut waited) = (vec![0; flows], Duration::ZERO);
        while let Some(packet) = packets.next_if(|packet| packet.at < to) {
            bytes[packet.flow] += packet.len;
            waited = waited.max(packet.waited);
        }
        let kbps = |bytes: &usize| *bytes as f64 * 8.0 / STEP.as_millis() as f64;
        let target = |targets: &Vec<(Duration, congestion::Bitrate)>| {
            let last = targets.get(targets.partition_point(|(at, _)| *at <= from).saturating_sub(1));
            last.map_or(0.0, |(_, target)| target.0 as f64 / 1000.0)
        };
        let capacity = outcome.capacity.iter().rev().find(|(at, _)| *at <= from.as_secs());
        rows.push(Row {
            at: from.as_secs_f64(),
            capacity: capacity.map_or(0.0, |(_, kbps)| *kbps as f64),
            rates: bytes.iter().map(kbps).collect(),
            targets: record.targets.iter().map(target).collect(),
            waited: waited.as_secs_f64() * 1000.0,
        });
    }
    rows
}

/// Write `DIRECTORY/FILE.csv` and `.svg`.
pub fn write(directory: &Path, name: &str, file: &str, outcome: &Outcome) -> std::io::Result<()> {
    let rows = rows(outcome);
    std::fs::write(directory.join(format!("{file}.csv")), csv(&rows))?;
    std::fs::write(directory.join(format!("{file}.svg")), svg(name, &rows))
}

fn csv(rows: &[Row]) -> String {
    let flows = rows.first().map_or(0, |row| row.rates.len());
    let mut out = String::from("seconds,capacity_kbps,waited_ms");
    (0..flows).for_each(|flow| write!(out, ",rate_{flow}_kbps,target_{flow}_kbps").expect("a string"));
    out.push('\n');
    for row in rows {
        write!(out, "{:.1},{},{:.1}", row.at, row.capacity, row.waited).expect("a string");
        for (rate, target) in row.rates.iter().zip(&row.targets) {
            write!(out, ",{rate:.0},{target:.0}").expect("a string");
        }
        out.push('\n');
    }
    out
}

fn svg(name: &str, rows: &[Row]) -> String {
    let end = rows.last().map_or(1.0, |row| row.at);
    let most = rows.iter().map(|row| row.capacity).fold(1.0, f64::max) * 1.3;
    let longest = rows.iter().map(|row| row.waited).fold(50.0, f64::max) * 1.1;
    let (width, height) = (WIDTH + 2.0 * MARGIN, 2.0 * HEIGHT + 3.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">{name}</text>\n"
    );
    let lower = HEIGHT + 2.0 * MARGIN;
    axes(&mut out, MARGIN, most, "kb/s", end);
    axes(&mut out, lower, longest, "ms in queues", end);
    let mut line = |top: f64, most: f64, style: &str, value: &dyn Fn(&Row) -> f64| {
        let points = rows.iter().map(|row| {
            let x = MARGIN + WIDTH * row.at / end;
            format!("{x:.1},{:.1}", top + HEIGHT * (1.0 - (value(row) / most).min(1.0)))
        });
        let points: Vec<_> = points.collect();
        writeln!(out, "<polyline fill=\"none\" {style} points=\"{}\"/>", points.join(" ")).expect("a string");
    };
    line(MARGIN, most, "stroke=\"black\" stroke-dasharray=\"6 3\"", &|row| row.capacity);
    for flow in 0..rows.first().map_or(0, |row| row.rates.len()) {
        let colour = COLOURS[flow % COLOURS.len()];
        line(MARGIN, most, &format!("stroke=\"{colour}\""), &|row| row.rates[flow]);
        line(MARGIN, most, &format!("stroke=\"{colour}\" stroke-dasharray=\"2 2\" opacity=\"0.6\""), &|row| {
            row.targets[flow]
        });
    }
    line(lower, longest, "stroke=\"#555\"", &|row| row.waited);
    out.push_str("</svg>\n");
    out
}

fn axes(out: &mut String, top: f64, most: f64, unit: &str, end: f64) {
    let bottom = top + HEIGHT;
    writeln!(out, "<text x=\"4\" y=\"{}\">{unit}</text>", top - 8.0).expect("a string");
    for tick in 0..=4 {
        let y = bottom - HEIGHT * f64::from(tick) / 4.0;
        let value = most * f64::from(tick) / 4.0;
        writeln!(
            out,
            "<path d=\"M{MARGIN} {y}h{WIDTH}\" stroke=\"#ddd\"/><text x=\"4\" y=\"{:.1}\">{value:.0}</text>",
            y + 4.0
        )
        .expect("a string");
        let x = MARGIN + WIDTH * f64::from(tick) / 4.0;
        let seconds = end * f64::from(tick) / 4.0;
        writeln!(out, "<text x=\"{x}\" y=\"{}\">{seconds:.0} s</text>", bottom + 16.0).expect("a string");
    }
}
