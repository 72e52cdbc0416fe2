//! Rooms in virtual time: members of all slots, who come, go, talk, are muted and coach as chance has it.

use super::*;
use crate::chance::Chance;
use crate::event::{EventReceiver, PlayEnd, events};
use crate::limiter::Limiter;
use crate::playback::Playback;
use crate::seat::Part;
use crate::telephone_event::KeySet;

const SLOT_SAMPLES: i64 = 20;

/// A member, who says one value all the time: what is heard tells who is.
struct Member {
    leg: LegId,
    seat: Seat,
    phase: usize,
    value: i16,
    talks: bool,
    is_held: bool,
    sent: u32,
    /// The tick since which it is as it is.
    since: i64,
}

impl Member {
    fn turn(&mut self, tick: i64) -> Turn<'_> {
        let from = tick * FRAME as i64 + self.phase as i64 * SLOT_SAMPLES;
        Turn { leg: self.leg, seat: &mut self.seat, phase: self.phase, from, is_held: self.is_held }
    }
}

struct Hall {
    room: Room,
    members: Vec<Member>,
    sender: EventSender,
    told: EventReceiver,
    next: u64,
}

impl Hall {
    fn new(scale: usize) -> Self {
        let (sender, told) = events().expect("an eventfd");
        let mut room = Room::new(RoomId(1));
        room.fix(scale);
        Self { room, members: vec![], sender, told, next: 0 }
    }

    fn enter(&mut self, phase: usize, value: i16, tick: i64) -> LegId {
        self.next += 1;
        let (leg, part) = (LegId(self.next), Part { muted: false, gain: 1.0, coaching: None });
        let mut seat = Seat::new(RoomId(1), part);
        seat.rescale(self.room.scale());
        self.room.members.push(leg);
        self.members.push(Member {
            leg,
            seat,
            phase,
            value,
            talks: true,
            is_held: false,
            sent: 0,
            since: tick,
        });
        leg
    }

    fn leave(&mut self, at: usize) -> Member {
        let member = self.members.swap_remove(at);
        self.room.leave(member.leg, 0, &self.sender);
        member
    }

    /// 20 ms; what each member heard, by leg.
    fn tick(&mut self, tick: i64) -> Vec<(LegId, Vec<i16>)> {
        let mut heard = vec![];
        for phase in 0..SLOTS {
            for member in self.members.iter_mut().filter(|member| member.phase == phase) {
                let voiced = member.talks.then_some(-20.0);
                let value = if member.talks { member.value } else { 0 };
                member.seat.hear(member.sent * FRAME as u32, true, voiced, &[value; FRAME]);
                member.sent += 1;
                let mut turn = member.turn(tick);
                self.room.speak(&mut turn, 0, &self.sender);
                heard.push((turn.leg, linear(&mut self.room, &mut turn)));
            }
        }
        heard
    }

    fn member(&mut self, leg: LegId) -> &mut Member {
        self.members.iter_mut().find(|member| member.leg == leg).expect("is a member")
    }

    /// What a member should hear of those who have been as they are for long.
    fn expected(&self, leg: LegId) -> i16 {
        let others = self.members.iter().filter(|other| other.leg != leg);
        let audible = others.filter(|other| {
            let part = other.seat.part;
            other.talks && !other.is_held && !part.muted && part.coaching.is_none_or(|coached| coached == leg)
        });
        audible.map(|other| other.value).sum()
    }
}

/// What `hear` encodes, before it does; that it encodes this is asserted.
fn linear(room: &mut Room, turn: &mut Turn<'_>) -> Vec<i16> {
    let before = turn.seat.limiter;
    let mut frame = vec![0; FRAME];
    if room.hears_its_own(turn) {
        room.hear_apart(turn, &mut frame);
        turn.seat.limiter = before;
    } else if !room.is_silent(turn) {
        frame.copy_from_slice(&room.output(turn, 1).frame);
    }
    let mut words = [0; FRAME];
    room.hear(turn, Codec::Pcma, &mut words);
    assert!(words.iter().zip(&frame).all(|(&word, &sample)| word == Codec::Pcma.encode(sample)));
    frame
}

/// Values of which every sum tells its parts.
fn value(bit: usize) -> i16 {
    16 << bit
}

#[test]
fn whoever_comes_goes_and_changes_everybody_hears_all_others_and_never_themselves() {
    for (seed, scale) in [(3, 1), (5, 1), (7, 2), (11, 6)] {
        let mut chance = Chance::new(seed);
        let mut hall = Hall::new(scale);
        let mut settled = 0;
        for tick in 0..1500i64 {
            // Times of change in every slot, then half a second in which all is as it is.
            if tick % 60 < 35 {
                change(&mut hall, &mut chance, tick);
            }
            for (leg, frame) in hall.tick(tick) {
                let own = hall.member(leg).value;
                let is_old = tick - hall.member(leg).since > 2;
                if scale == 1 {
                    let echo = frame.iter().find(|&&sample| sample & own != 0 && is_old);
                    assert_eq!(echo, None, "{leg:?} with {own} hears itself in tick {tick}");
                }
                if tick % 60 == 59 {
                    let expected = hall.expected(leg);
                    let off = frame.iter().map(|sample| (sample - expected).abs()).max();
                    let most = if scale == 1 { 0 } else { 2 + expected / 500 };
                    assert!(off <= Some(most), "{leg:?} hears {frame:?}, not {expected} ({scale})");
                    settled += i16::from(expected > 0);
                }
            }
        }
        assert!(settled > 50, "{settled}");
    }
}

fn change(hall: &mut Hall, chance: &mut Chance, tick: i64) {
    let count = hall.members.len();
    let pick = |chance: &mut Chance| chance.next() as usize % count.max(1);
    match chance.next() % 8 {
        0 | 1 if count < 8 => {
            let mut free = (0..10).map(value).filter(|value| hall.members.iter().all(|m| m.value != *value));
            if let Some(value) = free.next_back() {
                hall.enter(chance.next() as usize % SLOTS, value, tick);
            }
        }
        2 if count > 2 => drop(hall.leave(pick(chance))),
        3 if count > 0 => {
            let at = pick(chance);
            hall.members[at].talks ^= true;
        }
        4 if count > 0 => {
            let at = pick(chance);
            hall.members[at].seat.part.muted ^= true;
        }
        5 if count > 0 => {
            let at = pick(chance);
            hall.members[at].is_held ^= true;
        }
        6 if count > 1 => {
            let (coach, coached) = (pick(chance), pick(chance));
            let coached = hall.members[coached].leg;
            let part = &mut hall.members[coach].seat.part;
            part.coaching = match part.coaching {
                None => Some(coached),
                Some(_) => None,
            };
        }
        _ => {}
    }
}

#[test]
fn a_member_moved_with_its_room_goes_on_without_a_gap() {
    let mut hall = Hall::new(1);
    let (talker, listener) = (hall.enter(2, 160, 0), hall.enter(6, 0, 0));
    hall.member(listener).talks = false;
    for tick in 0..50 {
        if tick == 20 {
            // As a thread hands it to another: nothing of it is made anew.
            let mut rooms = crate::rooms::Rooms::default();
            let room = std::mem::replace(&mut hall.room, Room::new(RoomId(9)));
            rooms.put(room);
            assert!(rooms.take(RoomId(1), &[talker]).is_none(), "not without all of its members");
            hall.room = rooms.take(RoomId(1), &[talker, listener]).expect("goes with them");
        }
        let heard = hall.tick(tick);
        if tick > 3 {
            assert_eq!(heard[1], (listener, vec![160; FRAME]), "tick {tick}");
        }
    }
}

#[test]
fn those_who_say_nothing_are_given_the_same_packets_encoded_once_a_slot() {
    for (codec, scale) in [(coded::Codec::Opus, 6), (coded::Codec::Opus, 1), (coded::Codec::G722, 2)] {
        let mut hall = Hall::new(scale);
        hall.enter(0, 4000, 0);
        for member in 0..40 {
            let leg = hall.enter(member % SLOTS, 0, 0);
            hall.member(leg).talks = false;
        }
        for tick in 0..30 {
            hall.tick(tick);
            let mut fresh = [0; SLOTS];
            let mut packets: [Option<Vec<u8>>; SLOTS] = Default::default();
            for member in &mut hall.members[1..] {
                let mut turn = member.turn(tick);
                let phase = turn.phase;
                let (packet, is_fresh) = hall.room.hear_coded(&mut turn, codec, scale).expect("shares");
                assert!(!packet.is_empty());
                assert_eq!(*packets[phase].get_or_insert_with(|| packet.to_vec()), packet);
                fresh[phase] += i32::from(is_fresh);
            }
            assert_eq!(fresh, [1; SLOTS]);
        }
    }
}

#[test]
fn who_talks_is_given_packets_of_its_own_and_for_a_while_after() {
    let mut hall = Hall::new(1);
    let leg = hall.enter(0, 4000, 0);
    let mut shared = vec![];
    for tick in 0..260 {
        hall.member(leg).talks = (50..60).contains(&tick);
        hall.tick(tick);
        let mut turn = hall.members[0].turn(tick);
        shared.push(hall.room.hear_coded(&mut turn, coded::Codec::G722, 1).is_some());
    }
    let apart: Vec<usize> = (0..260).filter(|&tick| !shared[tick]).collect();
    assert!((50..53).contains(&apart[0]), "{}", apart[0]);
    assert_eq!(apart.len(), apart[apart.len() - 1] - apart[0] + 1, "in one piece");
    assert!((160..200).contains(&apart.len()), "{}", apart.len());
}

#[test]
fn the_loudest_crowd_neither_wraps_nor_clips_into_a_square() {
    for scale in [1, 2, 6] {
        let mut hall = Hall::new(scale);
        for member in 0..12 {
            hall.enter(member % SLOTS, 30_000, 0);
        }
        for tick in 0..40 {
            for (_, frame) in hall.tick(tick) {
                // As it begins, the filters of the higher rates swing.
                let wraps = tick > 3 && frame.iter().any(|&sample| sample < 0);
                assert!(!wraps, "{scale}: wrapped in tick {tick}");
                let whole = frame.iter().all(|&sample| (30_500..=31_500).contains(&sample));
                assert!(tick < 20 || whole, "{scale}: {frame:?}");
            }
        }
    }
}

#[test]
fn the_speaker_changes_at_once_after_silence_and_to_a_louder_one_when_it_has_settled() {
    let mut hall = Hall::new(1);
    let (one, other) = (hall.enter(0, 500, 0), hall.enter(1, 500, 0));
    let mut changes = vec![];
    for tick in 0..400 {
        hall.member(one).talks = tick < 100;
        hall.member(other).talks = (90..300).contains(&tick);
        hall.tick(tick);
        for event in hall.told.take() {
            assert_eq!(event.told, Told::SpeakerChanged { room: 1 });
            changes.push((event.leg, tick));
        }
    }
    assert_eq!(changes[0], (one, 0));
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[1].0 == other && (100..150).contains(&changes[1].1), "{changes:?}");
}

#[test]
fn a_sound_for_all_is_heard_by_all_to_the_sample_whoever_sits_where() {
    let mut hall = Hall::new(1);
    let listeners: Vec<LegId> = (0..SLOTS).map(|phase| hall.enter(phase, 0, 0)).collect();
    listeners.iter().for_each(|&leg| hall.member(leg).talks = false);
    let prompt = crate::prompt::Prompt::new(&(0..1000).map(|n| n * 8).collect::<Vec<i16>>());
    let words: Vec<i16> = prompt.words(Codec::Pcmu).iter().map(|&word| Codec::Pcmu.decode(word)).collect();
    let item = crate::playback::Item::Prompt(std::sync::Arc::new(prompt));
    let mut heard = vec![vec![]; SLOTS];
    for tick in 0..20 {
        if tick == 5 {
            let playback = Playback::new(4, vec![item.clone()], 1, KeySet::default());
            hall.room.play(playback, Some(listeners[0]));
        }
        for (leg, frame) in hall.tick(tick) {
            heard[leg.0 as usize - 1].extend(frame);
        }
    }
    for frames in &heard {
        let begin = frames.iter().position(|&sample| sample != 0).expect("is heard");
        let first = words.iter().position(|&sample| sample != 0).expect("has sound");
        assert_eq!(frames[begin..begin + 1000 - first], words[first..]);
    }
    let told: Vec<Told> = hall.told.take().into_iter().map(|event| event.told).collect();
    let ended = Told::PlayEnded { token: 4, reason: PlayEnd::Finished, key: None, played_ms: 125 };
    assert_eq!(told, [ended]);
}

#[test]
fn going_from_the_others_packets_to_own_ones_and_back_is_hardly_heard() {
    // One says a tone; one who listens says a word in the middle.
    let mut limiter = Limiter::default();
    let mut hall = Hall::new(1);
    let tone: Vec<i16> = (0..600 * FRAME)
        .map(|n| (8000.0 * (2.0 * std::f32::consts::PI * 440.0 * n as f32 / 8000.0).sin()) as i16)
        .collect();
    let listener = hall.enter(0, 1, 0);
    let mut own = crate::coded::Encoder::new(coded::Codec::G722, 1).expect("memory");
    let mut decoder =
        audio_codec::g722::G722Decoder::with_options(audio_codec::g722::Bitrate::Mode1_64000, false, true);
    let mut heard: Vec<i16> = vec![];
    for tick in 0..500usize {
        hall.room.sum.add((tick * FRAME + FRAME) as i64, &tone[tick * FRAME..(tick + 1) * FRAME]);
        hall.member(listener).talks = (100..110).contains(&tick);
        hall.tick(tick as i64);
        let mut turn = hall.members[0].turn(tick as i64);
        let mut space = [0; coded::MAX_CODED];
        let packet = match hall.room.hear_coded(&mut turn, coded::Codec::G722, 1) {
            Some((packet, _)) => packet.to_vec(),
            None => {
                let mut mix = [0; FRAME];
                hall.room.hear_apart(&mut turn, &mut mix);
                let mut frame = [0; FRAME];
                limiter.limit(&mix.map(i32::from), &mut frame);
                let length = own.encode(&frame, &mut space);
                space[..length].to_vec()
            }
        };
        let mut out = [0; FRAME];
        let decoded = decoder.decode_frame_into(&packet, &mut out);
        assert_eq!(decoded.map(|samples| samples == FRAME).ok(), Some(true));
        heard.extend(out);
    }
    let loud = |frame: &[i16]| frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let levels: Vec<u16> = heard.chunks(FRAME).map(loud).collect();
    let odd = levels[5..].iter().filter(|level| !(7000..9500).contains(*level)).count();
    assert!(odd <= 3, "{odd} frames of 495 are not as loud as the tone");
}

/// `cargo test --release --no-default-features --lib cost_of_a_wide_room -- --ignored --nocapture`
#[test]
#[ignore = "prints what it costs, which is nothing to assert"]
fn cost_of_a_wide_room() {
    const LISTENERS: usize = 97;
    const TICKS: i64 = 250;
    for (codec, scale) in [(coded::Codec::Opus, 6), (coded::Codec::G722, 2)] {
        for is_apart in [false, true] {
            let mut hall = Hall::new(scale);
            (0..3).for_each(|talker| {
                hall.enter(talker, 2000, 0);
            });
            let listeners: Vec<LegId> = (0..LISTENERS).map(|n| hall.enter(n % SLOTS, 0, 0)).collect();
            listeners.iter().for_each(|&leg| hall.member(leg).talks = false);
            let mut encoders: Vec<_> =
                (0..LISTENERS).map(|_| crate::coded::Encoder::new(codec, scale).expect("memory")).collect();
            let mut spent = std::time::Duration::ZERO;
            for tick in 0..TICKS {
                hall.tick(tick);
                let begun = std::time::Instant::now();
                for (member, encoder) in hall.members[3..].iter_mut().zip(&mut encoders) {
                    let mut turn = member.turn(tick);
                    let (mut wide, mut packet) = ([0; FRAME * WIDEST], [0; coded::MAX_CODED]);
                    if is_apart {
                        let wide = &mut wide[..FRAME * scale];
                        hall.room.hear_apart(&mut turn, wide);
                        encoder.encode(wide, &mut packet);
                    } else if let Some((shared, _)) = hall.room.hear_coded(&mut turn, codec, scale) {
                        packet[..shared.len()].copy_from_slice(shared);
                    }
                }
                spent += begun.elapsed();
            }
            let share = spent.as_secs_f64() / (TICKS as f64 * 0.02) * 100.0;
            let how = if is_apart { "each for itself" } else { "shared" };
            println!("{codec:?}, {LISTENERS} listeners, {how}: {share:.2} % of a core to mix and encode");
        }
    }
}
