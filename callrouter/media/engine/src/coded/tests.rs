//! Opus as far ends send it: packets of other lengths than ours, two channels, losses, pauses.

use super::*;
use opus::{Application, Channels, Encoder as Opus};
use std::f32::consts::TAU;

const HERTZ: f32 = 1000.0;
const RATE: usize = 48_000;

fn encoder(channels: Channels) -> Opus {
    let mut encoder = Opus::new(RATE as u32, channels, Application::Voip).expect("there is memory");
    encoder.set_inband_fec(true).expect("it can");
    encoder.set_packet_loss_perc(20).expect("it can");
    encoder
}

/// Three seconds of a tone in packets of so many milliseconds, of which `lost` do not come; what is
/// heard in each slot of 20 ms: how loud the tone is, and how loud all is; None: nothing.
fn hear(edge: &mut Edge, ms: usize, channels: Channels, lost: fn(usize) -> bool) -> Vec<Option<(f32, f32)>> {
    let mut encoder = encoder(channels);
    let (length, width) = (RATE / 1000 * ms, if channels == Channels::Stereo { 2 } else { 1 });
    let (mut number, mut said) = (0, 0);
    (0..150)
        .map(|slot| {
            while said <= slot * 20 {
                let tone = |n: usize| ((number * length + n) as f32 * HERTZ / RATE as f32 * TAU).sin();
                let samples: Vec<i16> =
                    (0..length * width).map(|n| (tone(n / width) * 8000.0) as i16).collect();
                let packet = encoder.encode_vec(&samples, 1000).expect("is encoded");
                if !lost(number) {
                    edge.hear((number + 65_530) as u16, number == 0, &packet);
                }
                number += 1;
                said += ms;
            }
            edge.decode(true, slot as i64 * 20 * MILLISECOND)
                .map(|frame| (tone_of(&frame), loudness_of(&frame)))
        })
        .collect()
}

/// How loud the tone is in a frame.
fn tone_of(frame: &[u8; FRAME]) -> f32 {
    let (mut x, mut y) = (0.0, 0.0);
    for (n, &word) in frame.iter().enumerate() {
        let (sin, cos) = (n as f32 * HERTZ / 8000.0 * TAU).sin_cos();
        x += f32::from(Law::Pcmu.decode(word)) * cos;
        y += f32::from(Law::Pcmu.decode(word)) * sin;
    }
    (x * x + y * y).sqrt() / (FRAME as f32 / 2.0)
}

fn loudness_of(frame: &[u8; FRAME]) -> f32 {
    let power = frame.iter().map(|&word| f32::from(Law::Pcmu.decode(word)).powi(2)).sum::<f32>();
    (power / FRAME as f32 * 2.0).sqrt()
}

#[test]
fn packets_of_any_length_and_of_two_channels_are_heard_without_a_gap() {
    for ms in [10, 20, 40, 60] {
        for channels in [Channels::Mono, Channels::Stereo] {
            let mut edge = Edge::new(Codec::Opus);
            let heard = hear(&mut edge, ms, channels, |_| false);
            let begun = heard.iter().position(Option::is_some).expect("is heard");
            assert!(begun * 20 <= 3 * ms.max(20), "{ms} ms: {begun} slots");
            for (slot, level) in heard.iter().enumerate().skip(begun + 5) {
                let (level, _) = level.expect("goes on");
                assert!((5000.0..11_000.0).contains(&level), "{ms} ms, slot {slot}: {level}");
            }
            assert_eq!((edge.counts.recovered, edge.counts.too_late), (0, 0));
            assert!(edge.counts.concealed <= 1, "{ms} ms: {:?}", edge.counts);
        }
    }
}

/// What is lost is as long as what comes: nothing is heard later for it, or earlier.
#[test]
fn lost_packets_of_any_length_are_made_up_in_their_length() {
    for ms in [10, 20, 40, 60] {
        let mut edge = Edge::new(Codec::Opus);
        let heard = hear(&mut edge, ms, Channels::Mono, |number| number % 9 == 8);
        let lost = 3000 / ms / 9;
        let made_up = edge.counts.recovered + edge.counts.concealed;
        assert!((lost - 1..=lost + 3).contains(&(made_up as usize)), "{ms} ms: {:?}", edge.counts);
        assert_eq!(edge.counts.too_late, 0);
        // What is made up need not be in step with the tone, and fades.
        let quiet = heard.iter().skip(20).filter(|level| level.is_none_or(|(_, loud)| loud < 2000.0)).count();
        assert!(quiet <= lost * ms / 40, "{ms} ms: {quiet} slots of silence");
    }
}

/// Discontinuous transmission: numbers go on, and nothing comes for a while.
#[test]
fn a_pause_of_the_far_end_is_silence_and_it_is_heard_again_at_once() {
    let mut edge = Edge::new(Codec::Opus);
    let mut encoder = encoder(Channels::Mono);
    let packet = encoder.encode_vec(&[4000; 960], 1000).expect("is encoded");
    let mut number = 0u16;
    let mut slots = |edge: &mut Edge, count: i64, talks: bool| -> usize {
        (0..count)
            .filter(|slot| {
                if talks {
                    edge.hear(number, number == 0, &packet);
                    number += 1;
                }
                edge.decode(true, slot * 20 * MILLISECOND).is_some()
            })
            .count()
    };
    assert!(slots(&mut edge, 50, true) >= 48);
    assert!(slots(&mut edge, 50, false) < 15, "made up for a moment");
    assert!(slots(&mut edge, 50, true) >= 48);
}
