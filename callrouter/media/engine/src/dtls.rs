//! DTLS-SRTP (RFC 5763, RFC 5764): the handshake that gives a leg its SRTP keys, as values.
//!
//! The handshake itself is dimpl's.  The far end shows a certificate made for the occasion, which
//! is believed when it is the one whose fingerprint came by signalling.

mod fingerprint;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{
    CertificateError, Config, Dtls, DtlsCertificate, Error, KeyingMaterial, Output, SecurityError,
    SrtpProfile,
};

pub use fingerprint::Fingerprint;
pub use worker::{Done, Job, Stage, Worker};

use crate::srtp::{Keys, Master, Suite};

/// A handshake that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// First wait for an answer, doubled each time (RFC 6347 §4.2.4.1 says one second; a media path is
/// known by then, and half is what browsers' own stacks start with at most).
const FIRST_WAIT: Duration = Duration::from_millis(500);
const RETRIES: usize = 6;
/// Room for what is to be sent at a time.
const BUFFER: usize = 2048;

/// What this process shows of itself, and the rules of its handshakes.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCertificate,
    config: Arc<Config>,
}

impl Identity {
    /// A certificate and its private key (PKCS #8), both in DER.  None: no handshake can be made
    /// with them.
    pub fn new(certificate: Vec<u8>, private_key: Vec<u8>) -> Option<Self> {
        let config = Config::builder()
            // Only whoever has proved itself by ICE is spoken to: it needs no cookie as well.
            .use_server_cookie(false)
            .flight_start_rto(FIRST_WAIT)
            .flight_retries(RETRIES)
            .handshake_timeout(PATIENCE)
            .build()
            .ok()?;
        config.crypto_provider().key_provider.load_private_key(&private_key).ok()?;
        let certificate = DtlsCertificate { certificate, private_key };
        Some(Self { certificate, config: Arc::new(config) })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity")
    }
}

/// What offer and answer say about a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of the certificate that the far end will show.
    pub fingerprint: Fingerprint,
    /// We begin (`a=setup:active`).
    pub is_client: bool,
}

/// Why there will be no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The far end's certificate is not the one that was signalled.
    WrongCertificate,
    /// It has none, or none of elliptic curves.
    NoCertificate,
    /// It broke off.
    Refused,
    /// It fell silent.
    Unanswered,
    /// No common version, suite or SRTP profile, a forged message.
    Handshake,
}

impl Failure {
    fn of(error: &Error) -> Self {
        match error {
            Error::Timeout(_) => Self::Unanswered,
            Error::SecurityError(SecurityError::FatalAlert { .. }) => Self::Refused,
            Error::CertificateError(
                CertificateError::NoClientCertificateReceived | CertificateError::NoServerCertificateReceived,
            ) => Self::NoCertificate,
            _ => Self::Handshake,
        }
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Progress {
    pub packets: Vec<Vec<u8>>,
    pub keys: Option<Keys>,
    pub failure: Option<Failure>,
    /// The far end has taken its leave.
    pub is_closed: bool,
    pub wake: Option<Instant>,
}

pub struct Session {
    dtls: Dtls,
    terms: Terms,
    is_believed: bool,
    /// Nothing is said or heard any more.
    failure: Option<Failure>,
}

impl Session {
    pub fn new(identity: &Identity, terms: &Terms, now: Instant) -> Self {
        let mut dtls = Dtls::new_12(identity.config.clone(), identity.certificate.clone(), now);
        dtls.set_active(terms.is_client);
        Self { dtls, terms: terms.clone(), is_believed: false, failure: None }
    }

    /// Take what has come and do what is due.
    pub fn step(&mut self, datagrams: &[Vec<u8>], now: Instant) -> Progress {
        let mut progress = Progress::default();
        if self.failure.is_none()
            && let Err(error) = self.dtls.handle_timeout(now)
        {
            self.failure = Some(Failure::of(&error));
        }
        self.drain(&mut progress);
        for datagram in datagrams {
            if self.failure.is_some() {
                break;
            }
            let taken = self.dtls.handle_packet(datagram);
            // Also after an error: it may have an alert to send.
            self.drain(&mut progress);
            if let Err(error) = taken {
                self.failure = self.failure.or(Some(Failure::of(&error)));
            }
        }
        progress.failure = self.failure;
        progress
    }

    fn drain(&mut self, progress: &mut Progress) {
        let mut buffer = vec![0; BUFFER];
        while self.failure.is_none() {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => progress.packets.push(packet.to_vec()),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Timeout(at) => {
                    progress.wake = Some(at);
                    return;
                }
                Output::PeerCert(certificate) => {
                    self.is_believed = self.terms.fingerprint.is_of(certificate);
                    if !self.is_believed {
                        progress.packets.clear();
                        self.failure = Some(Failure::WrongCertificate);
                    }
                }
                Output::KeyingMaterial(material, profile) if self.is_believed => {
                    progress.keys = keys(&material, profile, self.terms.is_client);
                    if progress.keys.is_none() {
                        self.failure = Some(Failure::Handshake);
                    }
                }
                Output::CloseNotify => progress.is_closed = true,
                _ => {}
            }
        }
    }
}

/// The client's key, the server's, the client's salt, the server's (RFC 5764 §4.2).
fn keys(material: &KeyingMaterial, profile: SrtpProfile, is_client: bool) -> Option<Keys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::Gcm128,
        SrtpProfile::AEAD_AES_256_GCM => Suite::Gcm256,
        _ => return None,
    };
    let (key, salt) = (suite.key_length(), suite.salt_length());
    let master = |end: usize| {
        let key_at = end * key;
        let salt_at = 2 * key + end * salt;
        let parts = [material.get(key_at..key_at + key)?, material.get(salt_at..salt_at + salt)?];
        Master::new(suite, &parts.concat())
    };
    let (client, server) = (master(0)?, master(1)?);
    let (send, receive) = if is_client { (client, server) } else { (server, client) };
    Some(Keys { send, receive })
}

#[cfg(test)]
pub mod tests;
