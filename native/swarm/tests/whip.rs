//! The program `swarm` against a node behind a little HTTP server.

mod support;

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use engine::dtls::{Fingerprints, Terms};
use serde_json::Value;
use sfu::{PeerId, RoomId};
use support::{Node, describe};

const TOKEN: &str = "a-token";
const PATIENCE: Duration = Duration::from_secs(20);

/// WHIP and WHEP as far as the program needs it: `/whip/ROOM` and `/whep/ROOM`.
struct Server {
    url: String,
    node: Arc<Node>,
    /// Sessions that were made and not deleted, by Location.
    sessions: Arc<Mutex<HashMap<String, PeerId>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (node, sessions) = (Arc::new(Node::start().unwrap()), Arc::new(Mutex::new(HashMap::new())));
        let server = Server { url, node, sessions };
        let (node, sessions) = (Arc::clone(&server.node), Arc::clone(&server.sessions));
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (node, sessions) = (Arc::clone(&node), Arc::clone(&sessions));
                thread::spawn(move || {
                    let _ = serve(&stream.unwrap(), &node, &sessions);
                });
            }
        });
        server
    }

    fn swarm(&self, words: &str) -> Command {
        let words = words.replace("WHIP", &format!("{}/whip/1", self.url));
        let words = words.replace("WHEP", &format!("{}/whep/1", self.url));
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm"));
        command.args(words.split(' ')).args(["--bearer", TOKEN, "--json", "--rate", "200"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn serve(stream: &TcpStream, node: &Node, sessions: &Mutex<HashMap<String, PeerId>>) -> Result<(), Box<dyn Error>> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (method, path) = (words[0].as_str(), words[1].as_str());
        let (status, extra, body) = if headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
            ("401 Unauthorized", String::new(), String::new())
        } else if method == "DELETE" {
            match sessions.lock().unwrap().remove(path) {
                Some(peer) => {
                    node.engine.remove_peer(peer)?;
                    ("200 OK", String::new(), String::new())
                }
                None => ("404 Not Found", String::new(), String::new()),
            }
        } else if path.contains("/closed/") {
            ("503 Service Unavailable", String::new(), String::new())
        } else {
            let (peer, answer) = answer(node, path.starts_with("/whip/"), &String::from_utf8(body)?)?;
            let location = format!("{path}/{}", peer.0);
            sessions.lock().unwrap().insert(location.clone(), peer);
            ("201 Created", format!("Location: {location}\r\nContent-Type: application/sdp\r\n"), answer)
        };
        write!(&*stream, "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// Add the peer of an offer to the node, and describe the node to it.
fn answer(node: &Node, publishes: bool, offer: &str) -> Result<(PeerId, String), Box<dyn Error>> {
    let find = |name: &str| offer.lines().find_map(|line| line.strip_prefix(name)).ok_or(format!("no {name}"));
    let lines = offer.matches("m=audio").count();
    let peer = PeerId(node.number());
    let address = node.address();
    let (mut config, session) = describe(peer.0, address, node.engine.fingerprint(), publishes, lines);
    config.remote_ufrag = find("a=ice-ufrag:")?.into();
    if publishes {
        config.slots.clear();
        let ssrc = find("a=ssrc:")?.split(' ').next().unwrap_or_default().parse()?;
        config.source.as_mut().ok_or("no source")?.ssrc = Some(ssrc);
    }
    let digest: Vec<u8> = find("a=fingerprint:sha-256 ")?
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()?;
    let terms = Terms { active: false, fingerprints: Fingerprints::new([("sha-256", &digest[..])])? };
    let ours: Vec<String> = node.engine.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n{}\r\n",
        offer.lines().find(|line| line.starts_with("a=group:")).ok_or("no group")?
    );
    for (mid, slot) in session.slots.iter().enumerate() {
        sdp += &format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:passive\r\na=candidate:1 1 udp 1 {} {} typ host\r\na=rtcp-mux\r\n\
             a=rtpmap:111 opus/48000/2\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n{}\r\n",
            config.local_ufrag,
            config.local_password,
            ours.join(":"),
            address.ip(),
            address.port(),
            if publishes { "a=recvonly".into() } else { format!("a=ssrc:{slot} cname:node\r\na=sendonly") },
        );
    }
    node.engine.add_peer(RoomId(1), peer, config, Some(terms))?;
    Ok((peer, sdp))
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn players_hear_publishers_and_everybody_leaves() {
    let server = Server::start();
    let output = server.swarm("--whip WHIP --whep WHEP --publishers 3 --players 4 --slots 2 --seconds 1").output();
    let output = output.unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["publishers"]["joined"], 3);
    assert_eq!(report["players"]["joined"], 4);
    assert_eq!((&report["lost"], &report["failed"]), (&0.into(), &0.into()));
    assert!(report["delay_ms"]["count"].as_u64().unwrap() > 100, "{report:#}");
    assert!(server.sessions.lock().unwrap().is_empty());
}

#[test]
fn what_a_server_refuses_is_a_failure_with_its_reason() {
    let server = Server::start();
    let output = server.swarm("--whip WHIP --whip WHIP/closed/ --publishers 2 --seconds 0.1").output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["failures"]["http 503"], 1);
    assert_eq!(report["publishers"]["joined"], 1);
    assert!(server.sessions.lock().unwrap().is_empty());
}

#[test]
fn an_interrupted_load_leaves_in_good_order() {
    let server = Server::start();
    let child = server.swarm("--whip WHIP --publishers 2 --seconds 1000").spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while server.node.engine.counters().unwrap().core.sources < 2 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(report(&output)["publishers"]["asked"], 2);
    assert!(server.sessions.lock().unwrap().is_empty());
}

#[test]
fn a_dump_has_the_keys_and_every_packet() {
    let server = Server::start();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dump-{}.jsonl", std::process::id()));
    let words = format!("--whip WHIP --whep WHEP --seconds 1 --dump {}", file.display());
    let output = server.swarm(&words).output().unwrap();
    let report = report(&output);
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["profile"], "AEAD_AES_128_GCM");
    assert_eq!(lines[0]["key"].as_str().unwrap().len(), 32);
    assert_eq!(lines[0]["salt"].as_str().unwrap().len(), 24);
    let packets = lines.iter().filter(|line| line["kind"] == "rtp").count() as u64;
    assert_eq!(Some(packets), report["packets_received"].as_u64());
}
