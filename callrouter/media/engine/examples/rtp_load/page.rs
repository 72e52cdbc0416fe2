//! A far end as browsers are, as far as load goes: it checks the path, shakes hands and seals what it
//! says.  Whether browsers understand the engine is for tests with other software to show.

use std::io::{Error, ErrorKind};
use std::net::UdpSocket;
use std::time::Instant;

use _engine::clock::{MILLISECOND, now_ns};
use _engine::dtls::{Fingerprint, Identity, Session, Terms};
use _engine::srtp::Protection;
use is::stun::{StunMessage, TransId};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};

/// What offer and answer would have said; `media_server.py` says the same.
const USERNAME: &str = "server:loader";
const PASSWORD: &[u8] = b"a-password-for-benchmarks";
const CERTIFICATE: &[u8] = include_bytes!("../../tests/data/one.certificate.der");
const KEY: &[u8] = include_bytes!("../../tests/data/one.key.der");
/// How often browsers ask to be sent to.
const CHECK_EVERY: i64 = 2500 * MILLISECOND;

pub struct Page {
    handshake: Session,
    pub protection: Option<Protection>,
    check: Vec<u8>,
    checked_ns: i64,
}

pub fn identity() -> Result<Identity, Error> {
    Identity::new(CERTIFICATE.to_vec(), KEY.to_vec()).ok_or_else(|| Error::other("no certificate"))
}

impl Page {
    /// `digest` is of the server's certificate, by SHA-256.
    pub fn new(identity: &Identity, digest: &[u8]) -> Result<Self, Error> {
        let fingerprint =
            Fingerprint::new("sha-256", digest).ok_or_else(|| Error::other("no fingerprint"))?;
        let terms = Terms { fingerprint, is_client: false };
        let request = StunMessage::binding_request(USERNAME, TransId::new(), true, 7, 100, true);
        let hmac = |key: &[u8], parts: &[&[u8]]| DefaultSha1HmacProvider.sha1_hmac(key, parts);
        let mut bytes = [0; 256];
        let length = request
            .to_bytes(Some(PASSWORD), &mut bytes, hmac)
            .map_err(|error| Error::other(format!("no check: {error}")))?;
        Ok(Self {
            handshake: Session::new(identity, &terms, Instant::now()),
            protection: None,
            check: bytes[..length].to_vec(),
            checked_ns: i64::MIN / 2,
        })
    }

    /// Ask to be sent to, where it is time.
    pub fn consent(&mut self, socket: &UdpSocket) -> Result<(), Error> {
        let now = now_ns();
        if now - self.checked_ns < CHECK_EVERY {
            return Ok(());
        }
        self.checked_ns = now;
        socket.send(&self.check).map(|_| ())
    }

    /// Go on with the handshake; whether there are keys.
    pub fn connect(&mut self, socket: &UdpSocket) -> Result<bool, Error> {
        self.consent(socket)?;
        let (mut buffer, mut heard) = ([0; 2048], vec![]);
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) if matches!(buffer[0], 20..=63) => heard.push(buffer[..length].to_vec()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let progress = self.handshake.step(&heard, Instant::now());
        if let Some(failure) = progress.failure {
            return Err(Error::other(format!("the handshake failed: {failure:?}")));
        }
        for packet in &progress.packets {
            socket.send(packet)?;
        }
        if let Some(keys) = progress.keys {
            self.protection = Some(Protection::new(&keys));
        }
        Ok(self.protection.is_some())
    }
}
