//! Sender and receiver reports (RFC 3550 §6.4).

use sfu::RowKind;
use sfu::rtcp::{self, Packet, ReportBlock, SenderInfo};

use crate::support::client::{FRAME, Setup};
use crate::support::{MS, SECOND, WALL_CLOCK, World};

const NTP_EPOCH: u64 = 2_208_988_800;

fn ntp(world: &World) -> u64 {
    let since = WALL_CLOCK + (world.now - world.start);
    ((since.as_secs() + NTP_EPOCH) << 32) + ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}

fn block(ssrc: u32, last_sender_report: u32, delay: u32) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 0,
        cumulative_lost: 0,
        highest_sequence: 0,
        jitter: 0,
        last_sender_report,
        delay_since_last_sender_report: delay,
    }
}

fn receiver_report(world: &mut World, client: usize, block: ReportBlock) {
    let sealed = world.clients[client].seal_rtcp(|writer| writer.receiver_report(1, &[block]).unwrap());
    world.handle(world.clients[client].path, &sealed);
}

/// Until `client` has just got a compound.
fn until_report(world: &mut World, client: usize) {
    let before = world.clients[client].compounds.len();
    while world.clients[client].compounds.len() == before {
        world.advance(MS);
    }
}

#[test]
fn sender_reports_count_what_was_sent() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 40);
    until_report(&mut world, bob);
    let reports = world.clients[bob].sender_reports().len();
    let (ssrc, info) = world.clients[bob].sender_reports()[reports - 1];
    let stream = world.clients[bob].stream(0);
    assert_eq!(ssrc, world.clients[bob].slots[0].ssrc);
    assert_eq!(info.packets as usize, stream.len());
    assert_eq!(info.octets as usize, stream.len() * 80);
    let others = world.clients[bob].sender_reports().iter().filter(|(other, _)| *other != ssrc).count();
    assert_eq!(others, 0, "only streams that sent something report");
    // Nothing new, nothing to report.
    world.advance(3 * SECOND);
    assert_eq!(world.clients[bob].sender_reports().len(), reports);
    assert!(world.clients[alice].sender_reports().is_empty());
}

#[test]
fn sender_reports_name_an_instant_of_the_stream() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.advance(777 * MS);
    for _ in 0..5 {
        world.talk(&[(alice, 20)], 45);
        until_report(&mut world, bob);
        let (_, info) = *world.clients[bob].sender_reports().last().unwrap();
        assert!(info.ntp.abs_diff(ntp(&world)) < 1 << 16, "{:x} {:x}", info.ntp, ntp(&world));
        let newest = world.clients[bob].heard.last().unwrap().clone();
        let since = (world.now - newest.at).as_millis() as u32 * 48;
        let error = info.rtp_timestamp.wrapping_sub(newest.header.timestamp.wrapping_add(since)) as i32;
        assert!(error.abs() <= FRAME as i32, "off by {error} ticks");
        // A pause in the stream is none in its clock.
        let frames = (world.now - newest.at).as_millis() as u32 / 20 + 1;
        world.advance(newest.at + frames * 20 * MS - world.now);
        world.clients[alice].pause(frames - 1);
    }
}

#[test]
fn compounds_carry_the_cname_they_were_given() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 80);
    for client in [alice, bob] {
        let compound = &world.clients[client].compounds[0];
        let cname = rtcp::packets(compound).find_map(|packet| match packet {
            Ok(Packet::Sdes { cname, .. }) => cname.map(<[u8]>::to_vec),
            _ => None,
        });
        assert_eq!(cname, Some(format!("cname{}", world.clients[client].id.0).into_bytes()));
    }
}

#[test]
fn the_talker_is_told_how_much_was_lost_on_the_way_to_us() {
    let mut world = World::new(8);
    let [alice, _bob] = world.join_all();
    world.clients[alice].index = 65_520;
    for n in 0..40 {
        let packet = world.clients[alice].speak(20);
        if n % 4 != 1 {
            world.send(alice, &packet);
        }
        world.advance(20 * MS);
    }
    until_report(&mut world, alice);
    let block = *world.clients[alice].report_blocks().last().unwrap();
    assert_eq!(block.ssrc, world.clients[alice].ssrc);
    assert_eq!(block.cumulative_lost, 10);
    assert!((50..=70).contains(&block.fraction_lost), "about a quarter, whenever the report before was");
    assert_eq!(u64::from(block.highest_sequence), world.clients[alice].index - 1);
    assert_eq!((block.last_sender_report, block.delay_since_last_sender_report), (0, 0));
    assert_eq!(world.row(alice, RowKind::Source).lost, 10);
}

#[test]
fn the_talkers_sender_report_comes_back_with_its_age() {
    let mut world = World::new(8);
    let [alice, _bob] = world.join_all();
    world.talk(&[(alice, 20)], 10);
    let ssrc = world.clients[alice].ssrc;
    let info = SenderInfo { ntp: 0x1234_5678_9ABC_DEF0, rtp_timestamp: 1, packets: 10, octets: 800 };
    let sealed = world.clients[alice].seal_rtcp(|writer| writer.sender_report(ssrc, info, &[]).unwrap());
    world.handle(world.clients[alice].path, &sealed);
    let sent = world.now;
    until_report(&mut world, alice);
    let block = *world.clients[alice].report_blocks().last().unwrap();
    assert_eq!(block.last_sender_report, 0x5678_9ABC);
    let age = (world.now - sent).as_secs_f64() * 65536.0;
    assert!((f64::from(block.delay_since_last_sender_report) - age).abs() < 3.0);
}

#[test]
fn the_round_trip_is_known_from_receiver_reports() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    assert_eq!(world.statistics(bob).rtt, 0.0);
    world.talk(&[(alice, 20)], 40);
    until_report(&mut world, bob);
    let (ssrc, info) = world.clients[bob].sender_reports()[0];
    world.advance(580 * MS);
    receiver_report(&mut world, bob, block(ssrc, (info.ntp >> 16) as u32, 65536 / 2));
    let rtt = world.statistics(bob).rtt;
    assert!((rtt - 0.08).abs() < 0.001, "{rtt}");
}

#[test]
fn round_trips_that_cannot_be_are_not_believed() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 40);
    until_report(&mut world, bob);
    let (ssrc, info) = world.clients[bob].sender_reports()[0];
    let middle = (info.ntp >> 16) as u32;
    for wrong in [
        block(ssrc, middle, 65536 * 10),      // it held the report longer than it had it
        block(ssrc, middle - 65536 * 120, 0), // two minutes
        block(ssrc, 0, 0),                    // it got none
        block(ssrc ^ 0x8000, middle, 0),      // about a stream of nobody
    ] {
        receiver_report(&mut world, bob, wrong);
        assert_eq!(world.statistics(bob).rtt, 0.0);
    }
}

#[test]
fn a_client_that_only_listens_and_hears_nothing_gets_no_reports() {
    let mut world = World::new(8);
    let listener = world.join(Setup { microphone: false, ..Setup::default() });
    world.advance(10 * SECOND);
    assert!(world.clients[listener].compounds.is_empty());
}

#[test]
fn reports_of_a_thin_receiver_follow_its_stream_from_slot_to_slot() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let thin = world.join(Setup { slots: 1, ..Setup::default() });
    for round in 0..6 {
        let (voice, other) = if round % 2 == 0 { (alice, bob) } else { (bob, alice) };
        world.talk(&[(voice, 20), (other, 90)], 75);
        let quiet = world.now;
        until_report(&mut world, thin);
        let (_, info) = *world.clients[thin].sender_reports().last().unwrap();
        let newest = world.clients[thin].heard.last().unwrap();
        let since = (world.now - newest.at).as_millis() as u32 * 48;
        let error = info.rtp_timestamp.wrapping_sub(newest.header.timestamp.wrapping_add(since)) as i32;
        assert!(error.abs() <= 2 * FRAME as i32, "off by {error} ticks");
        // Both were quiet meanwhile, and their clocks ran on.
        let frames = (world.now - quiet).as_millis() as u32 / 20 + 1;
        world.advance(quiet + frames * 20 * MS - world.now);
        for client in [alice, bob] {
            world.clients[client].pause(frames);
        }
    }
    world.assert_streams_sound();
}
