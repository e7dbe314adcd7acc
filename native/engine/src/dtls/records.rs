use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::PKey,
    rand::rand_bytes,
    sign::Signer,
    ssl::SslRef,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};

/// RFC 6347 §4.1: type, version, epoch and sequence number, length.
const HEADER: usize = 13;

/// RFC 5246 §6.2.1: content types.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// As a record says it: DTLS 1.2.
const VERSION: [u8; 2] = [254, 253];

/// RFC 5246 §7.2: two bytes, level and description.
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// All three AEADs that we speak have tags of this length.
const TAG: usize = 16;

/// The bytes of a nonce that GCM sends along (RFC 5288 §3).
const EXPLICIT: usize = 8;

/// Epoch 1 and the sequence number of our goodbye, which is the only record that we make after the handshake: far above
/// what the handshake can have used.
const GOODBYE: u64 = 1 << 48 | 1 << 40;

/// What remains of an association after its handshake: enough to hear and to say goodbye, and to repeat our last flight to a
/// client that missed it. It is a hundredth of what libssl keeps (40 kB), and there is nothing else that either side has
/// to say: media goes by SRTP.
pub(super) struct Records {
    inbound: RecordKey,
    outbound: RecordKey,
    /// Empty where the peer had the last word.
    last_flight: Box<[Box<[u8]>]>,
}

/// What a datagram means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing that matters now.
    Nothing,
    /// The peer's handshake goes on: it has missed our last flight.
    Handshake,
    /// close_notify, or an alert that ends the connection.
    Closed,
}

struct RecordKey {
    cipher: Cipher,
    key: Box<[u8]>,
    /// GCM: the salt of 4 bytes. ChaCha20-Poly1305: all 12.
    iv: Box<[u8]>,
}

impl Records {
    /// From a connection whose handshake is complete; None if its cipher suite is not one of the AEADs.
    pub(super) fn new(ssl: &SslRef, is_client: bool, last_flight: &[Box<[u8]>]) -> Result<Option<Records>, ErrorStack> {
        let Some(suite) = ssl.current_cipher() else { return Ok(None) };
        let (Some(name), Some(hash)) = (suite.standard_name(), suite.handshake_digest()) else { return Ok(None) };
        let (cipher, iv_len) = match name.rsplit_once("WITH_").map(|(_, cipher)| cipher) {
            Some("AES_128_GCM_SHA256") => (Cipher::aes_128_gcm(), 4),
            Some("AES_256_GCM_SHA384") => (Cipher::aes_256_gcm(), 4),
            Some("CHACHA20_POLY1305_SHA256") => (Cipher::chacha20_poly1305(), 12),
            _ => return Ok(None),
        };
        let Some(session) = ssl.session() else { return Ok(None) };
        let (mut master, mut seed) = ([0; 48], [0; 64]);
        session.master_key(&mut master);
        let (server, client) = seed.split_at_mut(32);
        ssl.server_random(server);
        ssl.client_random(client);
        // RFC 5246 §6.3, for a cipher without a MAC key.
        let key_len = cipher.key_len();
        let block = expand(&master, hash, &seed, 2 * (key_len + iv_len))?;
        let (keys, ivs) = block.split_at(2 * key_len);
        let of = |index: usize| RecordKey {
            cipher,
            key: keys[index * key_len..][..key_len].into(),
            iv: ivs[index * iv_len..][..iv_len].into(),
        };
        let (client, server) = (of(0), of(1));
        let (inbound, outbound) = if is_client { (server, client) } else { (client, server) };
        Ok(Some(Records { inbound, outbound, last_flight: last_flight.into() }))
    }

    /// What the peer says in a datagram of records.
    pub(super) fn hear(&self, mut datagram: &[u8]) -> Heard {
        let mut heard = Heard::Nothing;
        while let Some((header, rest)) = datagram.split_first_chunk::<HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let Some((sealed, rest)) = rest.split_at_checked(length) else { break };
            datagram = rest;
            let epoch = [header[3], header[4]];
            match header[0] {
                HANDSHAKE => heard = Heard::Handshake,
                ALERT if epoch == [0, 1] => {
                    let alert = self.inbound.open(header, sealed);
                    if let Some([FATAL, _] | [_, CLOSE_NOTIFY]) = alert.as_deref() {
                        return Heard::Closed;
                    }
                }
                _ => {}
            }
        }
        heard
    }

    /// Our last flight once more, unless that is more than the `received` bytes which ask for it: whoever sent them may have
    /// lied about where they come from.
    pub(super) fn last_flight(&self, received: usize) -> &[Box<[u8]>] {
        let total: usize = self.last_flight.iter().map(|datagram| datagram.len()).sum();
        if total <= received { &self.last_flight } else { &[] }
    }

    /// The goodbye. To be called once: a nonce is for one record.
    pub(super) fn close_notify(&self) -> Result<Box<[u8]>, ErrorStack> {
        self.outbound.seal(ALERT, GOODBYE, &[WARNING, CLOSE_NOTIFY])
    }
}

impl RecordKey {
    fn open(&self, header: &[u8; HEADER], sealed: &[u8]) -> Option<Vec<u8>> {
        let number: &[u8; 8] = header[3..].first_chunk()?;
        let (explicit, sealed) =
            if self.sends_nonce() { sealed.split_at_checked(EXPLICIT)? } else { (&[][..], sealed) };
        let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let aad = additional_data(header[0], [header[1], header[2]], *number, sealed.len());
        decrypt_aead(self.cipher, &self.key, Some(&self.nonce(explicit, *number)), &aad, sealed, tag).ok()
    }

    fn seal(&self, content: u8, number: u64, plain: &[u8]) -> Result<Box<[u8]>, ErrorStack> {
        let number = number.to_be_bytes();
        let mut explicit = vec![0; if self.sends_nonce() { EXPLICIT } else { 0 }];
        // libssl counts up from a random number too, so ours is one of its own with probability 2^-60.
        rand_bytes(&mut explicit)?;
        let mut tag = [0; TAG];
        let aad = additional_data(content, VERSION, number, plain.len());
        let nonce = self.nonce(&explicit, number);
        let sealed = encrypt_aead(self.cipher, &self.key, Some(&nonce), &aad, plain, &mut tag)?;
        let length = (explicit.len() + sealed.len() + TAG) as u16;
        let (version, length) = (VERSION, length.to_be_bytes());
        Ok([&[content][..], &version, &number, &length, &explicit, &sealed, &tag].concat().into())
    }

    fn sends_nonce(&self) -> bool {
        self.iv.len() == 4
    }

    /// RFC 5288 §3 (the salt, and what the record says) or RFC 7905 §2 (the epoch and sequence number under a mask).
    fn nonce(&self, explicit: &[u8], number: [u8; 8]) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..self.iv.len()].copy_from_slice(&self.iv);
        if self.sends_nonce() {
            nonce[4..].copy_from_slice(explicit);
        } else {
            nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        }
        nonce
    }
}

/// RFC 5246 §6.2.3.3, with RFC 6347 §4.1.2.1's epoch in the number.
fn additional_data(content: u8, version: [u8; 2], number: [u8; 8], plain_len: usize) -> [u8; HEADER] {
    let mut data = [0; HEADER];
    data[..8].copy_from_slice(&number);
    data[8] = content;
    data[9..11].copy_from_slice(&version);
    data[11..].copy_from_slice(&(plain_len as u16).to_be_bytes());
    data
}

/// RFC 5246 §5: `P_hash` with the label of §6.3.
fn expand(master: &[u8], hash: MessageDigest, seed: &[u8; 64], length: usize) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(master)?;
    let hmac = |parts: &[&[u8]]| {
        let mut signer = Signer::new(hash, &key)?;
        parts.iter().try_for_each(|part| signer.update(part))?;
        signer.sign_to_vec()
    };
    let label = b"key expansion";
    let mut chained = hmac(&[label, seed])?;
    let mut block = Vec::new();
    while block.len() < length {
        block.extend(hmac(&[&chained, label, seed])?);
        chained = hmac(&[&chained])?;
    }
    block.truncate(length);
    Ok(block)
}
