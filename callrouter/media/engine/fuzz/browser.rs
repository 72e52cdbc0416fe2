//! What a browser leg reads ahead of audio: connectivity checks, and the records of a handshake.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use _engine::dtls::{Fingerprint, Identity, Session, Terms};
use _engine::ice::{CONSENT, Credentials, Lite, MAX_ANSWER};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};
use sha2::{Digest, Sha256};

use crate::bodies::datagrams;

const PASSWORD: &str = "a-password-that-no-corpus-knows";
/// Ahead of a STUN message's attributes: type, length, cookie, transaction.
const STUN_HEADER: usize = 20;
const INTEGRITY: [u8; 4] = [0, 8, 0, 20];
const FINGERPRINT: [u8; 4] = [0x80, 0x28, 0, 4];
/// Sealed, a message is no longer than this.
const LONGEST: usize = 1200;

fn lite() -> Lite {
    Lite::new(Credentials {
        local_ufrag: "ours".into(),
        local_password: PASSWORD.into(),
        remote_ufrag: "theirs".into(),
    })
}

/// Attributes of a fuzzer's, in a message that is keyed as the far end's are.
fn sealed(attributes: &[u8], is_request: bool) -> Vec<u8> {
    let mut message = vec![u8::from(!is_request), 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    message.resize(STUN_HEADER, 7);
    message.extend([0, 6, 0, 11]);
    message.extend(b"ours:theirs\0");
    message.extend(&attributes[..attributes.len().min(LONGEST) & !3]);
    let set_length = |message: &mut Vec<u8>, more: usize| {
        let length = (message.len() + more - STUN_HEADER) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    };
    set_length(&mut message, 24);
    let code = DefaultSha1HmacProvider.sha1_hmac(PASSWORD.as_bytes(), &[&message]);
    message.extend(INTEGRITY);
    message.extend(code);
    set_length(&mut message, 8);
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&message) ^ 0x5354_554E;
    message.extend(FINGERPRINT);
    message.extend(checksum.to_be_bytes());
    message
}

/// Checks, forged and keyed, from two addresses: only the keyed are answered, with no more than a
/// few octets above what they brought, and only one that chooses moves the audio.
pub fn ice(data: &[u8]) {
    let addresses = [5000u16, 5002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let (mut lite, mut answer) = (lite(), [0; MAX_ANSWER]);
    let mut now = 0;
    for (how, datagram) in datagrams(data) {
        now += i64::from(how >> 3) * CONSENT / 16;
        let from = addresses[usize::from(how & 1)];
        let before = lite.nominated();
        if how & 2 == 0 {
            assert!(lite.check(datagram, from, now, &mut answer).is_none(), "forged");
            assert_eq!(lite.nominated(), before);
            continue;
        }
        let message = sealed(datagram, how & 4 == 0);
        let Some(given) = lite.check(&message, from, now, &mut answer) else { continue };
        assert!(how & 4 == 0, "an answer is not answered");
        assert!(given.length <= message.len() + 64, "{} for {}", given.length, message.len());
        assert_eq!(answer[..2], [1, answer[1]]);
        assert_eq!(given.nominates, lite.nominated() != before);
        assert!(lite.nominated() == before || lite.nominated() == Some(from));
        assert!(lite.target(now).is_none_or(|target| Some(target) == lite.nominated()));
    }
}

const ONE: (&[u8], &[u8]) =
    (include_bytes!("../tests/data/one.certificate.der"), include_bytes!("../tests/data/one.key.der"));
const TWO: (&[u8], &[u8]) =
    (include_bytes!("../tests/data/two.certificate.der"), include_bytes!("../tests/data/two.key.der"));
/// What a step may have to say: the longest flight, and that once more for each datagram.
const MOST_PACKETS: usize = 8;

/// Made once: an identity tries all of its primitives, which takes a hundred handshakes' time.
static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| {
    [ONE, TWO].map(|(certificate, key)| {
        Identity::new(certificate.to_vec(), key.to_vec()).expect("a certificate with its key")
    })
});

/// The client shows the first certificate, the server the second.
fn session(is_client: bool, now: Instant) -> Session {
    let (own, other) = if is_client { (&IDENTITIES[0], TWO.0) } else { (&IDENTITIES[1], ONE.0) };
    let fingerprint = Fingerprint::new("sha-256", &Sha256::digest(other)).expect("is one");
    Session::new(own, &Terms { fingerprint, is_client }, now)
}

/// A handshake in which a fuzzer has a hand: each of its datagrams is sent to one of the two ends, or
/// says what happens to the flight that is under way.  Nobody panics or talks without end, and both
/// ends have the same keys, if they have any.
pub fn dtls(data: &[u8]) {
    let mut now = Instant::now();
    let mut ends = [session(true, now), session(false, now)];
    let mut waiting = [vec![], vec![]];
    let mut keys = [None, None];
    for (how, datagram) in datagrams(data).take(24) {
        let end = usize::from(how & 1);
        now += Duration::from_millis(u64::from(how >> 4) * 40);
        let mut given: Vec<Vec<u8>> = std::mem::take(&mut waiting[end]);
        match how >> 1 & 7 {
            0 => given.push(datagram.to_vec()),
            1 => given.insert(0, datagram.to_vec()),
            2 => given.clear(),
            3 => given.extend(given.clone()),
            4 => given.reverse(),
            5 => alter(&mut given, datagram),
            _ => {}
        }
        given.truncate(16);
        let progress = ends[end].step(&given, now);
        assert!(progress.packets.len() <= MOST_PACKETS * (given.len() + 1), "{}", progress.packets.len());
        assert!(progress.failure.is_none() || progress.keys.is_none());
        waiting[1 - end].extend(progress.packets);
        if progress.keys.is_some() {
            keys[end] = progress.keys;
        }
    }
    if let [Some(client), Some(server)] = keys {
        assert!(client.send == server.receive && client.receive == server.send);
    }
}

/// Pairs of a place and what is changed there.
fn alter(given: &mut [Vec<u8>], changes: &[u8]) {
    let Some(packet) = given.first_mut() else { return };
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % packet.len().max(1);
        if let Some(octet) = packet.get_mut(at) {
            *octet ^= change[2];
        }
    }
}
