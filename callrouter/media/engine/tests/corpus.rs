//! The bodies of the fuzz targets over their corpora, and over some thousand changes of each: what a
//! fuzzer has found once stays found, with every run of the tests.

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../src/chance.rs"]
#[allow(dead_code, reason = "shared with the detectors' tests")]
mod chance;

use std::fs;
use std::path::Path;

use chance::Chance;

const CHANGES: usize = 400;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("is read").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has seeds");
    paths.into_iter().map(|path| fs::read(path).expect("is read")).collect()
}

/// One to four small changes, as a network, a bug or an attacker makes them.
fn change(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.next() % 4 {
        let at = chance.next() as usize % (bytes.len() + 1);
        match chance.next() % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, chance.next() as u8),
            2 => {
                let copy = bytes[at..].to_vec();
                bytes.extend(&copy[..copy.len().min(64)]);
            }
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][chance.next() as usize % 5],
            _ if at < bytes.len() => bytes[at] ^= 1 << (chance.next() % 8),
            _ => {}
        }
    }
}

fn run(target: &str, body: fn(&[u8])) {
    run_some(target, body, CHANGES);
}

fn run_some(target: &str, body: fn(&[u8]), changes: usize) {
    let mut chance = Chance::new(target.len() as u64 + 11);
    for seed in seeds(target) {
        body(&seed);
        for _ in 0..changes {
            let mut bytes = seed.clone();
            change(&mut bytes, &mut chance);
            body(&bytes);
        }
    }
}

#[test]
fn rtp() {
    run("rtp", bodies::rtp);
}

#[test]
fn rtcp() {
    run("rtcp", bodies::rtcp);
}

#[test]
fn telephone_event() {
    run("telephone_event", bodies::telephone_event);
}

#[test]
fn stun() {
    run("stun", bodies::stun);
}

#[test]
fn ice() {
    run("ice", bodies::browser::ice);
}

#[test]
fn dtls() {
    // Handshakes are dear: fewer changes reach as far.
    run_some("dtls", bodies::browser::dtls, 40);
}

#[test]
fn srtp() {
    run("srtp", bodies::srtp);
}

#[test]
fn coded() {
    run("coded", bodies::coded);
}
