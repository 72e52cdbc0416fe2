//! The limits of ITU-T Q.24 table A-1, on tones made here; talk-off on speech and noise made here.

use super::*;
use crate::chance::Chance;
use crate::g711::Codec;
use crate::synthetic_speech::Talker;
use crate::telephone_event::key_of;

/// One press and its surroundings.
#[derive(Clone, Copy)]
struct Sound {
    code: usize,
    ms: f32,
    low_dbm0: f32,
    high_dbm0: f32,
    /// Share by which both frequencies are off.
    low_off: f32,
    high_off: f32,
}

fn sound(code: usize) -> Sound {
    Sound { code, ms: 60.0, low_dbm0: -10.0, high_dbm0: -10.0, low_off: 0.0, high_off: 0.0 }
}

fn sine(hertz: f32, dbm0: f32, n: usize) -> f32 {
    DBM0 * 10f32.powf(dbm0 / 20.0) * (TAU * hertz / RATE * n as f32 + 0.7).sin()
}

/// Append a sound, then silence, through the µ-law.
fn append(line: &mut Vec<i16>, sound: &Sound, pause_ms: f32) {
    let (row, column) = KEYS[sound.code];
    for n in 0..(sound.ms * 8.0) as usize {
        let low = sine(LOW[row] * (1.0 + sound.low_off), sound.low_dbm0, n);
        let high = sine(HIGH[column] * (1.0 + sound.high_off), sound.high_dbm0, n);
        line.push(Codec::Pcmu.decode(Codec::Pcmu.encode((low + high).clamp(-32768.0, 32767.0) as i16)));
    }
    line.resize(line.len() + (pause_ms * 8.0) as usize, 0);
}

fn add_noise(line: &mut [i16], dbm0: f32, chance: &mut Chance) {
    let peak = DBM0 / 2f32.sqrt() * 10f32.powf(dbm0 / 20.0) * 3f32.sqrt();
    line.iter_mut().for_each(|sample| *sample = sample.saturating_add((chance.unit() * peak) as i16));
}

fn keys(line: &[i16]) -> Vec<Press> {
    let mut detector = KeyDetector::default();
    let mut pressed: Vec<Press> = line.chunks(160).filter_map(|frame| detector.hear(frame).ended).collect();
    pressed.extend(detector.finish());
    pressed
}

/// How many of `many` presses of one sound, at every place in a window, are heard.
fn heard_of(sound: &Sound, many: usize, pause_ms: f32) -> usize {
    let mut line = vec![0; 400];
    for n in 0..many {
        append(&mut line, sound, pause_ms);
        line.resize(line.len() + n * 7 % 40, 0);
    }
    line.resize(line.len() + 800, 0);
    let name = key_of(sound.code as u8);
    keys(&line).iter().filter(|press| Some(press.key) == name).count()
}

fn assert_all(sound: &Sound, what: &str) {
    assert_eq!(heard_of(sound, 40, 60.0), 40, "{what}, event {}", sound.code);
}

fn assert_none(sound: &Sound, what: &str) {
    assert_eq!(heard_of(sound, 40, 60.0), 0, "{what}, event {}", sound.code);
}

#[test]
fn every_key_is_heard_once_at_every_level_from_0_to_25_below() {
    for code in 0..16 {
        for dbm0 in [-25.0, -20.0, -10.0, -5.0, -3.0, 0.0] {
            assert_all(&Sound { low_dbm0: dbm0, high_dbm0: dbm0, ..sound(code) }, &format!("{dbm0} dBm0"));
        }
        for dbm0 in [-29.0, -40.0] {
            assert_none(&Sound { low_dbm0: dbm0, high_dbm0: dbm0, ..sound(code) }, &format!("{dbm0} dBm0"));
        }
    }
}

#[test]
fn either_group_may_be_the_louder_one_within_limits() {
    for code in 0..16 {
        for twist in [-8.0, -5.0, 4.0, 5.0] {
            let sound = Sound { low_dbm0: -12.0, high_dbm0: -12.0 + twist, ..sound(code) };
            assert_all(&sound, &format!("twist {twist} dB"));
        }
        for twist in [-14.0, 10.0] {
            let sound = Sound { low_dbm0: -12.0, high_dbm0: -12.0 + twist, ..sound(code) };
            assert_none(&sound, &format!("twist {twist} dB"));
        }
    }
}

#[test]
fn frequencies_may_be_off_by_a_little_and_not_by_more() {
    for code in 0..16 {
        for off in [-0.018, -0.015, 0.015, 0.018] {
            assert_all(&Sound { low_off: off, high_off: off, ..sound(code) }, &format!("{off} off"));
        }
        for off in [-0.035, -0.03, 0.03, 0.035] {
            assert_none(&Sound { low_off: off, ..sound(code) }, &format!("low group {off} off"));
            assert_none(&Sound { high_off: off, ..sound(code) }, &format!("high group {off} off"));
        }
    }
}

#[test]
fn forty_milliseconds_are_a_key_and_twenty_four_are_none() {
    for code in 0..16 {
        assert_all(&Sound { ms: 40.0, ..sound(code) }, "40 ms");
        assert_none(&Sound { ms: 24.0, ..sound(code) }, "24 ms");
    }
}

#[test]
fn a_pause_parts_two_keys_and_an_interruption_does_not() {
    for code in 0..16 {
        let key = Sound { ms: 50.0, ..sound(code) };
        assert_eq!(heard_of(&key, 40, 30.0), 40, "30 ms of pause, event {code}");
        let mut line = vec![0; 123];
        append(&mut line, &key, 10.0);
        append(&mut line, &key, 100.0);
        assert_eq!(keys(&line).len(), 1, "10 ms of interruption, event {code}");
    }
}

#[test]
fn one_key_after_another_without_a_pause_is_two() {
    let mut line = vec![];
    append(&mut line, &sound(1), 0.0);
    append(&mut line, &sound(5), 100.0);
    assert_eq!(keys(&line).iter().map(|press| press.key).collect::<String>(), "15");
}

#[test]
fn the_duration_told_is_that_of_the_tone() {
    for ms in [40.0, 65.0, 100.0, 250.0, 3000.0] {
        let mut line = vec![0; 77];
        append(&mut line, &Sound { ms, ..sound(9) }, 100.0);
        let told = keys(&line);
        assert_eq!(told.len(), 1);
        assert!((told[0].duration_ms as f32 - ms).abs() <= 10.0, "{ms} ms told as {}", told[0].duration_ms);
    }
}

#[test]
fn keys_are_heard_through_noise_fifteen_decibels_below() {
    let mut chance = Chance::new(3);
    for code in 0..16 {
        let mut line = vec![0; 400];
        (0..40).for_each(|_| append(&mut line, &sound(code), 60.0));
        add_noise(&mut line, -10.0 - 12.0, &mut chance);
        assert_eq!(keys(&line).len(), 40, "event {code}");
    }
}

#[test]
fn a_key_is_told_down_before_it_is_told_up() {
    let mut line = vec![];
    append(&mut line, &Sound { ms: 200.0, ..sound(3) }, 100.0);
    let mut detector = KeyDetector::default();
    let told: Vec<Heard> = line.chunks(160).map(|frame| detector.hear(frame)).collect();
    let began = told.iter().position(|heard| heard.began == Some('3')).expect("goes down");
    let ended = told.iter().position(|heard| heard.ended.is_some()).expect("goes up");
    assert!(began <= 3 && (10..=12).contains(&ended), "{began} {ended}");
}

#[test]
fn single_tones_and_harmonies_are_no_keys() {
    let one = Sound { high_dbm0: -99.0, ms: 500.0, ..sound(1) };
    assert_none(&one, "a single tone");
    for hertz in [[350.0, 440.0], [440.0, 480.0], [480.0, 620.0], [697.0, 1394.0], [1100.0, 2100.0]] {
        let line: Vec<i16> =
            (0..8000).map(|n| hertz.iter().map(|&h| sine(h, -10.0, n)).sum::<f32>() as i16).collect();
        assert_eq!(keys(&line), [], "{hertz:?}");
    }
}

#[test]
fn a_third_tone_of_the_same_level_makes_it_no_key() {
    let mut line = vec![];
    append(&mut line, &Sound { ms: 500.0, ..sound(1) }, 0.0);
    line.iter_mut().enumerate().for_each(|(n, sample)| *sample += sine(1800.0, -10.0, n) as i16);
    assert_eq!(keys(&line), []);
}

#[test]
fn ten_minutes_of_speech_of_twenty_voices_press_no_key() {
    for voice in 1..=20 {
        let mut talker = Talker::new(voice);
        let line: Vec<i16> = (0..8000 * 30).map(|_| talker.sample()).collect();
        assert_eq!(keys(&line), [], "voice {voice}");
    }
}

#[test]
fn noise_presses_no_key() {
    for dbm0 in [-30.0, -15.0, -5.0] {
        let mut line = vec![0; 8000 * 60];
        add_noise(&mut line, dbm0, &mut Chance::new(5));
        assert_eq!(keys(&line), [], "{dbm0}");
    }
}

#[test]
fn keys_pressed_while_somebody_speaks_softly_are_heard() {
    let mut talker = Talker::new(77);
    let mut line = vec![0; 400];
    (0..40).for_each(|n| append(&mut line, &Sound { ms: 100.0, ..sound(n % 16) }, 100.0));
    line.iter_mut().for_each(|sample| *sample = sample.saturating_add(talker.sample() / 12));
    let told = keys(&line).len();
    assert!((38..=42).contains(&told), "{told}");
}
