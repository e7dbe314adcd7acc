//! A UDP echo in a child process, and as many senders as there are talkers: what a packet's way takes without an engine.

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use swarm::histogram::Histogram;

/// The first word of the child's command line.
pub const ROLE: &str = "echo-process";
/// As an SRTP packet of the load.
const LENGTH: usize = 140;
const FRAME: Duration = Duration::from_millis(20);

/// The child: sends back what comes, until its standard input ends.
pub fn serve() -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    println!("{}", socket.local_addr()?);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    let mut buffer = [0; 2048];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

/// Ends the child when it is dropped.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The time from sending to receiving, of a packet each 20 ms from each of so many sockets.
pub fn measure(senders: usize, period: Duration) -> Result<Histogram, Box<dyn Error>> {
    let child = Command::new(env::current_exe()?).arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut echo = Echo(child);
    let mut line = String::new();
    BufReader::new(echo.0.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;

    let mut poll = Poll::new()?;
    let mut sockets = (0..senders)
        .map(|at| {
            let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse()?)?;
            socket.connect(address)?;
            poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
            Ok(socket)
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let (mut events, mut delays) = (Events::with_capacity(1024), Histogram::default());
    let mut buffer = [0; LENGTH];
    let start = Instant::now();
    // All take turns within each frame.
    let due = |number: u64| start + FRAME.mul_f64(number as f64 / senders as f64);
    let mut number = 0;
    while start.elapsed() < period {
        poll.poll(&mut events, Some(due(number).saturating_duration_since(Instant::now())))?;
        for event in &events {
            let socket = &mut sockets[event.token().0];
            while socket.recv(&mut buffer).is_ok() {
                let sent = u64::from_be_bytes(buffer[..8].try_into()?);
                delays.record(start.elapsed().saturating_sub(Duration::from_nanos(sent)));
            }
        }
        while due(number) <= Instant::now() {
            buffer[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
            // A datagram that is not taken does not come back, and is not counted.
            let _ = sockets[(number % senders as u64) as usize].send(&buffer);
            number += 1;
        }
    }
    Ok(delays)
}
