//! Sessions by HTTP: WHIP (RFC 9725), and WHEP, which is the same for players (draft-ietf-wish-whep).

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use thiserror::Error;
use ureq::{
    Agent,
    http::{Uri, header},
};

use crate::{
    Credentials, Identity, Random, Session, VideoStream,
    sdp::{BadAnswer, Offer},
};

/// A server that needs longer for an answer is not one that a user waits for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Of an answer, in bytes.
const MAX_ANSWER: u64 = 256 * 1024;

/// Where to go, and who is asking.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http` or, with the feature `tls`, `https`.
    pub url: String,
    /// For the Authorization header.
    pub bearer: Option<String>,
}

/// A session that the server keeps until it is deleted.
#[derive(Clone, Debug)]
pub struct Resource {
    url: String,
    bearer: Option<String>,
}

/// A session that was agreed on.
pub struct Agreed {
    /// For the client.
    pub session: Session,
    /// Its socket, bound where the server can reach it.
    pub socket: UdpSocket,
    /// To be deleted at the end; None when the server gave no Location.
    pub resource: Option<Resource>,
}

/// What a client would send and receive.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Send a voice.
    pub voice: bool,
    /// Voices to hear.
    pub slots: usize,
    /// Video to send: [`crate::Camera::streams`].
    pub video: Vec<VideoStream>,
    /// Videos to see.
    pub video_slots: usize,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum Error {
    /// The server said no.
    #[error("http {0}")]
    Status(u16),
    /// The server could not be asked.
    #[error("http: {0}")]
    Unreachable(#[from] Box<ureq::Error>),
    /// Not an absolute URL, or its host has no address.
    #[error("{0}: not a URL that can be asked")]
    Url(String),
    /// Its answer cannot be used.
    #[error("{0}")]
    Answer(#[from] BadAnswer),
    /// There is no socket to be had.
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
}

/// A caller of HTTP servers, which keeps its connections open between requests. Clones share them.
#[derive(Clone)]
pub struct Signalling {
    agent: Agent,
}

impl Signalling {
    /// `parallel` requests at once keep their connections.
    pub fn new(parallel: usize) -> Signalling {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections(parallel)
            .max_idle_connections_per_host(parallel)
            .user_agent("swarm")
            .build();
        Signalling { agent: config.new_agent() }
    }

    /// Offer to publish, to play, or both.
    pub fn join(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        wanted: Wanted,
        random: &mut Random,
    ) -> Result<Agreed, Error> {
        let (server, socket) = socket_towards(&endpoint.url)?;
        let offer = Offer {
            local: Credentials { ufrag: random.ice_chars(8), password: random.ice_chars(24) },
            fingerprint: *identity.fingerprint(),
            candidate: Some(socket.local_addr()?),
            ssrc: wanted.voice.then(|| random.number() as u32 | 1),
            slots: wanted.slots,
            video: wanted.video,
            video_slots: wanted.video_slots,
            session: random.number() as u32,
        };
        let (answer, resource) = self.post(endpoint, &offer.to_sdp())?;
        match offer.agree(&answer, server) {
            Ok(session) => Ok(Agreed { session, socket, resource }),
            Err(bad) => {
                // Nobody will use it; whether the server understands that too is its own affair.
                let _ = resource.map(|resource| self.delete(&resource));
                Err(Error::Answer(bad))
            }
        }
    }

    fn post(&self, endpoint: &Endpoint, offer: &str) -> Result<(String, Option<Resource>), Error> {
        let mut request = self.agent.post(&endpoint.url).header(header::CONTENT_TYPE, "application/sdp");
        if let Some(bearer) = &endpoint.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let mut response = request.send(offer).map_err(Box::new)?;
        if response.status() != 201 {
            return Err(Error::Status(response.status().as_u16()));
        }
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| resolve(&endpoint.url, location));
        let resource = url.map(|url| Resource { url, bearer: endpoint.bearer.clone() });
        let body = response.body_mut().with_config().limit(MAX_ANSWER);
        Ok((body.read_to_string().map_err(Box::new)?, resource))
    }

    /// End a session. One that has ended already counts as ended.
    pub fn delete(&self, resource: &Resource) -> Result<(), Error> {
        let mut request = self.agent.delete(&resource.url);
        if let Some(bearer) = &resource.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let response = request.call().map_err(Box::new)?;
        match response.status().as_u16() {
            200..=299 | 404 | 410 => Ok(()),
            status => Err(Error::Status(status)),
        }
    }
}

/// The server's address, and a UDP socket on the address of ours that leads there.
fn socket_towards(url: &str) -> Result<(IpAddr, UdpSocket), Error> {
    let unusable = || Error::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| unusable())?;
    let host = uri.host().ok_or_else(unusable)?;
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(default);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let server = (bare, port).to_socket_addrs().map_err(|_| unusable())?.next().ok_or_else(unusable)?;
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    // Connecting a UDP socket sends nothing and tells which address of ours the route begins at.
    let probe = UdpSocket::bind(any)?;
    probe.connect(server)?;
    let socket = UdpSocket::bind((probe.local_addr()?.ip(), 0))?;
    Ok((server.ip(), socket))
}

/// A Location against the URL that was asked (RFC 3986 §5.2, without dot segments).
fn resolve(base: &str, location: &str) -> Option<String> {
    if location.contains("://") {
        return Some(location.to_owned());
    }
    let base: Uri = base.parse().ok()?;
    let origin = format!("{}://{}", base.scheme_str()?, base.authority()?);
    if location.starts_with('/') {
        return Some(format!("{origin}{location}"));
    }
    let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{origin}{folder}/{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_against_the_endpoint() {
        let base = "http://node.example:8080/whip/room?token=1";
        let expect = |location: &str, url: &str| assert_eq!(resolve(base, location).as_deref(), Some(url));
        expect("/whip/room/7", "http://node.example:8080/whip/room/7");
        expect("room/7", "http://node.example:8080/whip/room/7");
        expect("https://other.example/7", "https://other.example/7");
    }

    #[test]
    fn a_socket_is_bound_where_the_server_can_reach_it() {
        let (server, socket) = socket_towards("http://127.0.0.1:9/whip/x").unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), server);
        assert!(matches!(socket_towards("nonsense"), Err(Error::Url(_))));
        assert!(matches!(socket_towards("http:///x"), Err(Error::Url(_))));
    }
}
