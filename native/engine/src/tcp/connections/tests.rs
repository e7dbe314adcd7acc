use std::{
    io::{Read, Write},
    sync::Mutex,
};

use super::*;

/// A listener, and what serves it by hand.
struct Served {
    connections: Connections<'static>,
    epoll: Epoll,
    address: SocketAddr,
    now: Instant,
}

fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    // For as long as the test's process, and within the reach of whoever looks for leaks.
    static LISTENERS: Mutex<Vec<&'static [TcpListener; 1]>> = Mutex::new(Vec::new());
    let listeners: &'static [TcpListener; 1] = Box::leak(Box::new([listener]));
    LISTENERS.lock().unwrap().push(listeners);
    let epoll = Epoll::new().unwrap();
    let connections = Connections::new(listeners, 1000, &epoll).unwrap();
    Served { connections, epoll, address, now: Instant::now() }
}

impl Served {
    /// A client, and its path.
    fn connect(&mut self) -> (TcpStream, Path) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.connections.accept(0, self.now, &self.epoll);
        let path = Path { local: FIRST_LOCAL, remote: client.local_addr().unwrap() };
        (client, path)
    }

    /// Serve what is ready until a packet has come on each of `paths`; all that came.
    fn receive(&mut self, paths: usize) -> Vec<(Path, Vec<u8>)> {
        let mut received = Vec::new();
        while received.len() < paths {
            let ready: Vec<_> = self.epoll.wait(Some(Duration::from_secs(10))).unwrap().collect();
            assert!(!ready.is_empty());
            for index in ready.into_iter().filter_map(|each| connection(each.token)) {
                let Some((path, mut inbound)) = self.connections.read(index) else { continue };
                inbound.take(|packet| received.push((path, packet.to_vec()))).unwrap();
                self.connections.restore(index, inbound, |_| false);
            }
        }
        received
    }

    fn sweep(&mut self, after: u64, known: &[Path]) {
        self.now += Duration::from_secs(after);
        self.connections.sweep(self.now, |path| known.contains(&path), &self.epoll);
    }
}

fn is_closed(mut client: &TcpStream) -> bool {
    matches!(client.read(&mut [0; 1]), Ok(0) | Err(_))
}

#[test]
fn packets_go_both_ways() {
    let mut served = serve();
    let (mut client, path) = served.connect();
    client.write_all(&[0, 3, b'o', b'n', b'e', 0, 3]).unwrap();
    assert_eq!(served.receive(1), [(path, b"one".to_vec())]);
    client.write_all(b"two").unwrap();
    assert_eq!(served.receive(1), [(path, b"two".to_vec())]);
    for text in [b"three", b"fours"] {
        served.connections.send(path, |buffer| {
            buffer[..5].copy_from_slice(text);
            5
        });
    }
    served.connections.send(path, |_| 0);
    served.connections.flush(&served.epoll);
    let mut received = [0; 14];
    client.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"\0\x05three\0\x05fours");
    let totals = served.connections.totals();
    assert_eq!((totals.packets, totals.bytes, totals.dropped), (2, 10, 0));
}

#[test]
fn a_stranger_has_ten_seconds_and_a_friend_all_the_time_until_nobody_knows_it() {
    let mut served = serve();
    let (stranger, strange) = served.connect();
    let (friend, known) = served.connect();
    served.sweep(9, &[known]);
    assert_eq!(served.connections.len(), 2);
    served.sweep(1, &[known]);
    assert!(is_closed(&stranger));
    assert_eq!(std::mem::take(&mut served.connections.closed), [strange]);
    served.sweep(100, &[known]);
    served.sweep(1, &[]);
    served.sweep(9, &[]);
    assert_eq!(served.connections.len(), 1);
    served.sweep(1, &[]);
    assert!(is_closed(&friend));
    assert_eq!(served.connections.closed, [known]);
    served.sweep(1, &[]);
    assert_eq!((served.connections.len(), served.connections.due()), (0, None));
}

#[test]
fn one_host_has_few_strangers_and_as_many_friends_as_it_likes() {
    let mut served = serve();
    let mut friends = Vec::new();
    for _ in 0..10 {
        let clients: Vec<_> = (0..20).map(|_| served.connect()).collect();
        friends.extend(clients);
        let known: Vec<_> = friends.iter().map(|(_, path)| *path).collect();
        served.sweep(1, &known);
    }
    assert_eq!((served.connections.len(), served.connections.totals().refused), (200, 0));
    let strangers: Vec<_> = (0..50).map(|_| served.connect()).collect();
    let refused = served.connections.totals().refused as usize;
    assert_eq!(served.connections.len() + refused, 250);
    assert!(refused >= 10);
    assert_eq!(strangers.iter().rev().take(refused).filter(|(client, _)| is_closed(client)).count(), refused);
}

#[test]
fn a_client_that_does_not_read_loses_whole_packets_and_then_gets_those_that_waited() {
    let mut served = serve();
    let (mut client, path) = served.connect();
    let mut sent = 0u32;
    while served.connections.totals().dropped < 100 {
        served.connections.send(path, |buffer| {
            buffer[..4].copy_from_slice(&sent.to_be_bytes());
            1000
        });
        sent += 1;
        served.connections.flush(&served.epoll);
    }
    // Nothing is busy on its behalf meanwhile.
    assert_eq!(served.epoll.wait(Some(Duration::ZERO)).unwrap().count(), 0);
    let expected = served.connections.totals().packets;
    let (mut count, mut last) = (0, None);
    while count < expected {
        let mut frame = [0; 1002];
        client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut filled = 0;
        while filled < frame.len() {
            match client.read(&mut frame[filled..]) {
                Ok(read) => filled += read,
                Err(_) => {
                    let ready: Vec<_> = served.epoll.wait(Some(Duration::ZERO)).unwrap().collect();
                    ready.iter().for_each(|each| {
                        assert!(each.writable && !each.readable);
                        served.connections.write(connection(each.token).unwrap(), &served.epoll);
                    });
                }
            }
        }
        assert_eq!(frame[..2], 1000u16.to_be_bytes());
        let number = u32::from_be_bytes(*frame[2..].first_chunk().unwrap());
        assert!(last.is_none_or(|last| last < number));
        (last, count) = (Some(number), count + 1);
    }
    assert_eq!(served.epoll.wait(Some(Duration::ZERO)).unwrap().count(), 0, "it is no longer held up");
}

#[test]
fn what_is_for_a_connection_that_is_gone_is_dropped() {
    let mut served = serve();
    let (client, path) = served.connect();
    drop(client);
    let ready: Vec<_> = served.epoll.wait(Some(Duration::from_secs(10))).unwrap().collect();
    assert!(served.connections.read(connection(ready[0].token).unwrap()).is_none());
    assert_eq!(served.connections.closed, [path]);
    served.connections.send(path, |_| 7);
    served.connections.flush(&served.epoll);
    assert_eq!(served.connections.totals().dropped, 1);
}
