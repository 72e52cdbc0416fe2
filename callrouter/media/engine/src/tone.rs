//! Generated tones: the beep and the ringing tones of the countries of the Dial `ringTone` list.
//! Frequencies and cadences are those of ITU-T E.180 Supplement 2 (various tones used in
//! national networks), national regulators' newer figures where they differ.

use std::f64::consts::PI;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::g711::Codec;
use crate::playback::Item;
use crate::prompt::Prompt;
use crate::resample::RATE;
use crate::rtp::FRAME;

/// Each component at -13 dBm0 or so: clearly heard, two of them far from clipping.
const AMPLITUDE: f64 = 5000.0;
/// Rise and fall of every burst, so that it does not click, in samples.
const RAMP: usize = 40;

/// Frequencies in hertz sounding together, then (on, off) pairs in milliseconds.
struct Ringing {
    country: &'static str,
    hertz: &'static [f64],
    /// One carrier modulated by the second frequency instead of two components.
    modulated: bool,
    cadence: &'static [(u32, u32)],
}

const fn ringing(country: &'static str, hertz: &'static [f64], cadence: &'static [(u32, u32)]) -> Ringing {
    Ringing { country, hertz, modulated: false, cadence }
}

const fn modulated(country: &'static str, hertz: &'static [f64], cadence: &'static [(u32, u32)]) -> Ringing {
    Ringing { country, hertz, modulated: true, cadence }
}

const DOUBLE_RING: &[(u32, u32)] = &[(400, 200), (400, 2000)];
const ONE_FOUR: &[(u32, u32)] = &[(1000, 4000)];
const TWO_FOUR: &[(u32, u32)] = &[(2000, 4000)];

static RINGINGS: &[Ringing] = &[
    ringing("at", &[420.0], &[(1000, 5000)]),
    modulated("au", &[413.0, 12.5], DOUBLE_RING),
    ringing("bg", &[425.0], ONE_FOUR),
    ringing("br", &[425.0], ONE_FOUR),
    ringing("be", &[440.0], &[(1000, 3000)]),
    ringing("ch", &[425.0], ONE_FOUR),
    ringing("cl", &[400.0], &[(1000, 3000)]),
    ringing("cn", &[450.0], ONE_FOUR),
    ringing("cz", &[425.0], ONE_FOUR),
    ringing("de", &[425.0], ONE_FOUR),
    ringing("dk", &[425.0], ONE_FOUR),
    ringing("ee", &[425.0], ONE_FOUR),
    ringing("es", &[425.0], &[(1500, 3000)]),
    ringing("fi", &[425.0], ONE_FOUR),
    ringing("fr", &[440.0], &[(1500, 3500)]),
    ringing("gr", &[425.0], ONE_FOUR),
    ringing("hu", &[425.0], &[(1250, 3750)]),
    ringing("il", &[400.0], &[(1000, 3000)]),
    modulated("in", &[400.0, 25.0], DOUBLE_RING),
    ringing("it", &[425.0], ONE_FOUR),
    ringing("lt", &[425.0], ONE_FOUR),
    modulated("jp", &[400.0, 16.0], &[(1000, 2000)]),
    ringing("mx", &[425.0], ONE_FOUR),
    modulated("my", &[425.0, 25.0], DOUBLE_RING),
    ringing("nl", &[425.0], ONE_FOUR),
    ringing("no", &[425.0], ONE_FOUR),
    ringing("nz", &[400.0, 450.0], DOUBLE_RING),
    ringing("ph", &[425.0, 480.0], ONE_FOUR),
    ringing("pl", &[425.0], ONE_FOUR),
    ringing("pt", &[425.0], &[(1000, 5000)]),
    ringing("ru", &[425.0], &[(800, 3200)]),
    ringing("se", &[425.0], &[(1000, 5000)]),
    modulated("sg", &[425.0, 24.0], DOUBLE_RING),
    ringing("th", &[400.0], ONE_FOUR),
    ringing("uk", &[400.0, 450.0], DOUBLE_RING),
    ringing("us", &[440.0, 480.0], TWO_FOUR),
    modulated("us-old", &[420.0, 40.0], TWO_FOUR),
    ringing("tw", &[440.0, 480.0], &[(1000, 2000)]),
    ringing("ve", &[425.0], ONE_FOUR),
    modulated("za", &[400.0, 33.0], DOUBLE_RING),
];

fn find(country: &str) -> Option<&'static Ringing> {
    RINGINGS.iter().find(|ringing| ringing.country == country)
}

fn burst(ringing: &Ringing, ms: u32, out: &mut Vec<i16>) {
    let length = (ms * (RATE / 1000)) as usize;
    for n in 0..length {
        let t = n as f64 / f64::from(RATE);
        let edge = (n.min(length - 1 - n) as f64 / RAMP as f64).min(1.0);
        let sound = match ringing.hertz {
            &[carrier, by] if ringing.modulated => {
                (2.0 * PI * carrier * t).sin() * (1.0 + 0.8 * (2.0 * PI * by * t).sin())
            }
            all => all.iter().map(|hertz| (2.0 * PI * hertz * t).sin()).sum(),
        };
        out.push((sound * edge * AMPLITUDE) as i16);
    }
}

fn render(ringing: &Ringing) -> Vec<i16> {
    let mut out = vec![];
    for &(on, off) in ringing.cadence {
        burst(ringing, on, &mut out);
        out.resize(out.len() + (off * (RATE / 1000)) as usize, 0);
    }
    out
}

const BEEP: Ringing = ringing("", &[1000.0], &[(500, 0)]);
/// Somebody enters a room, and leaves it: short, and told apart by their pitch.
const ENTER: Ringing = ringing("", &[880.0], &[(180, 0)]);
const LEAVE: Ringing = ringing("", &[587.0], &[(180, 0)]);

type Rendered = Vec<(String, Arc<Prompt>)>;

static RENDERED: LazyLock<Mutex<Rendered>> = LazyLock::new(Mutex::default);

/// The playable tone of a name: `beep`, `enter` and `leave`, which end, or `ringback-XX`, which repeats until it is
/// stopped.  None for a name that is not known.  Rendered once; not for media threads.
pub fn named(name: &str) -> Option<Item> {
    let ringing = match name.strip_prefix("ringback-") {
        Some(country) => find(country)?,
        None => match name {
            "beep" => &BEEP,
            "enter" => &ENTER,
            "leave" => &LEAVE,
            _ => return None,
        },
    };
    let mut rendered = RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
    let prompt = match rendered.iter().find(|(known, _)| known == name) {
        Some((_, prompt)) => prompt.clone(),
        None => {
            let prompt = Arc::new(Prompt::new(&render(ringing)));
            rendered.push((name.to_owned(), prompt.clone()));
            prompt
        }
    };
    Some(if ringing.country.is_empty() { Item::Prompt(prompt) } else { Item::Endless(prompt) })
}

/// Rows and columns of the telephone's keys, in hertz (ITU-T Q.23).
pub const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// Row and column of each event code of RFC 4733 §3.2.
pub const KEYS: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];
/// Frames of 20 ms that a key sounds.
const KEY_FRAMES: u16 = 5;
const KEY_AMPLITUDE: f32 = 5000.0;

/// Frame number `frame` of a key that is sent as sound.
pub fn key(code: u8, frame: u16, out: &mut [u8; FRAME], codec: Codec) {
    let Some(&(row, column)) = KEYS.get(usize::from(code)).filter(|_| frame < KEY_FRAMES) else {
        return out.fill(codec.silence());
    };
    let turn = std::f32::consts::TAU / RATE as f32;
    for (n, word) in out.iter_mut().enumerate() {
        let t = (usize::from(frame) * FRAME + n) as f32 * turn;
        let sound = (LOW[row] * t).sin() + (HIGH[column] * t).sin();
        *word = codec.encode((sound * KEY_AMPLITUDE) as i16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Dial `ringTone` list.
    const LIST: &str = "at au bg br be ch cl cn cz de dk ee es fi fr gr hu il in it lt jp mx my nl no \
                        nz ph pl pt ru se sg th uk us us-old tw ve za";

    #[test]
    fn every_country_of_the_list_rings_and_no_other() {
        for country in LIST.split_whitespace() {
            let item = named(&format!("ringback-{country}"));
            assert!(
                matches!(item, Some(Item::Endless(p)) if p.samples() % 80 == 0 && p.samples() >= 16_000),
                "{country}"
            );
        }
        assert_eq!(LIST.split_whitespace().count(), RINGINGS.len());
        assert!(named("ringback-xx").is_none() && named("boop").is_none());
    }

    #[test]
    fn the_american_ring_is_two_seconds_of_440_and_480_hertz_then_four_of_silence() {
        let us = render(find("us").expect("is listed"));
        assert_eq!(us.len(), 48_000);
        assert!(us[16_000..].iter().all(|&sample| sample == 0));
        let power = |hertz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &sample) in us[..16_000].iter().enumerate() {
                let angle = 2.0 * PI * hertz * n as f64 / 8000.0;
                re += f64::from(sample) * angle.cos();
                im += f64::from(sample) * angle.sin();
            }
            (re * re + im * im).sqrt() / 8000.0
        };
        assert!((power(440.0) - AMPLITUDE).abs() < 100.0 && (power(480.0) - AMPLITUDE).abs() < 100.0);
        assert!(power(460.0) < 50.0);
    }

    /// Country, what is heard at once in hertz, and milliseconds of sound and silence in turn
    /// (ITU-T E.180 Supplement 2).  A modulated tone is heard as its carrier between two weaker ones.
    const HEARD: &str = "\
        at 420: 1000 5000|au 400.5 413 425.5: 400 200 400 2000|bg 425: 1000 4000|\
        br 425: 1000 4000|be 440: 1000 3000|ch 425: 1000 4000|cl 400: 1000 3000|cn 450: 1000 4000|\
        cz 425: 1000 4000|de 425: 1000 4000|dk 425: 1000 4000|ee 425: 1000 4000|es 425: 1500 3000|\
        fi 425: 1000 4000|fr 440: 1500 3500|gr 425: 1000 4000|hu 425: 1250 3750|il 400: 1000 3000|\
        in 375 400 425: 400 200 400 2000|it 425: 1000 4000|lt 425: 1000 4000|\
        jp 384 400 416: 1000 2000|mx 425: 1000 4000|my 400 425 450: 400 200 400 2000|\
        nl 425: 1000 4000|no 425: 1000 4000|nz 400 450: 400 200 400 2000|ph 425 480: 1000 4000|\
        pl 425: 1000 4000|pt 425: 1000 5000|ru 425: 800 3200|se 425: 1000 5000|\
        sg 401 425 449: 400 200 400 2000|th 400: 1000 4000|uk 400 450: 400 200 400 2000|\
        us 440 480: 2000 4000|us-old 380 420 460: 2000 4000|tw 440 480: 1000 2000|\
        ve 425: 1000 4000|za 367 400 433: 400 200 400 2000";

    /// Sound and silence in turn, in milliseconds, by windows of 10 ms.
    fn cadence(samples: &[i16]) -> Vec<u32> {
        let mut turns: Vec<(bool, u32)> = vec![];
        for window in samples.chunks(80) {
            let sounds = window.iter().any(|sample| sample.unsigned_abs() > 400);
            match turns.last_mut() {
                Some((before, ms)) if *before == sounds => *ms += 10,
                _ => turns.push((sounds, 10)),
            }
        }
        assert!(turns[0].0, "it begins with sound");
        turns.into_iter().map(|(_, ms)| ms).collect()
    }

    /// The frequencies from 300 to 600 Hz that are heard, to half a hertz.
    fn frequencies(burst: &[i16]) -> Vec<f64> {
        let length = burst.len() as f64;
        let level = |half: usize| {
            let turn = 2.0 * PI * (half as f64 / 2.0) / f64::from(RATE);
            let part = |wave: fn(f64) -> f64| -> f64 {
                let hann = |n: f64| 0.5 - 0.5 * (2.0 * PI * n / length).cos();
                let terms = burst.iter().zip(0..);
                terms.map(|(&s, n)| f64::from(s) * hann(f64::from(n)) * wave(turn * f64::from(n))).sum()
            };
            part(f64::sin).hypot(part(f64::cos))
        };
        let levels: Vec<f64> = (600..=1200).map(level).collect();
        let loudest = levels.iter().copied().fold(0.0, f64::max);
        let is_peak = |n: &usize| {
            levels[*n] > 0.25 * loudest && levels[*n] >= levels[n - 1] && levels[*n] > levels[n + 1]
        };
        (1..levels.len() - 1).filter(is_peak).map(|n| 300.0 + n as f64 / 2.0).collect()
    }

    #[test]
    fn every_country_is_heard_with_its_frequencies_and_cadence() {
        let numbers = |words: &str| -> Vec<f64> {
            words.split_whitespace().map(|word| word.parse().expect("a number")).collect()
        };
        let mut countries = vec![];
        for line in HEARD.split('|') {
            let (sound, times) = line.split_once(": ").expect("frequencies and times");
            let (country, pitches) = sound.split_once(' ').expect("a country and its frequencies");
            let (pitches, times) = (numbers(pitches), numbers(times));
            let Some(Item::Endless(prompt)) = named(&format!("ringback-{country}")) else {
                panic!("{country} does not ring")
            };
            let words = prompt.words(Codec::Pcmu).iter();
            let heard: Vec<i16> = words.map(|&word| Codec::Pcmu.decode(word)).collect();
            let turns: Vec<f64> = cadence(&heard).into_iter().map(f64::from).collect();
            assert_eq!(turns, times, "{country}");
            let found = frequencies(&heard[..3200]);
            let is_near = found.iter().zip(&pitches).all(|(a, b)| (a - b).abs() <= 1.5);
            assert!(is_near && found.len() == pitches.len(), "{country}: {found:?}, not {pitches:?}");
            countries.push(country);
        }
        assert_eq!(countries, LIST.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn every_key_sounds_as_its_two_frequencies_and_no_other() {
        for code in 0..16u8 {
            let mut sound = vec![];
            for frame in 0..7 {
                let mut words = [0; FRAME];
                key(code, frame, &mut words, Codec::Pcmu);
                sound.extend(words.map(|word| f64::from(Codec::Pcmu.decode(word))));
            }
            assert!(sound[800..].iter().all(|&sample| sample == 0.0));
            let level = |hertz: f32| {
                let turn = 2.0 * PI * f64::from(hertz) / f64::from(RATE);
                let part = |wave: fn(f64) -> f64| {
                    sound[..800].iter().enumerate().map(|(n, s)| s * wave(turn * n as f64)).sum::<f64>()
                };
                part(f64::sin).hypot(part(f64::cos)) / 400.0
            };
            let heard = |all: [f32; 4]| (0..4).filter(|&n| level(all[n]) > 4000.0).collect::<Vec<_>>();
            let (row, column) = KEYS[usize::from(code)];
            assert_eq!((heard(LOW), heard(HIGH)), (vec![row], vec![column]), "event {code}");
        }
    }

    #[test]
    fn the_beep_ends_and_is_rendered_once() {
        let (Some(Item::Prompt(one)), Some(Item::Prompt(two))) = (named("beep"), named("beep")) else {
            panic!("the beep is a prompt");
        };
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(one.samples(), 4000);
    }
}
