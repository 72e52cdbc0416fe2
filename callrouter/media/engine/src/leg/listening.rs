//! What a leg's sound is listened to for: voice, silence, keys, who answered.

use crate::answering::{self, Answer, Answering};
use crate::dtmf::KeyDetector;
use crate::ear::{Heard, KeyWish};
use crate::event::{EventSender, Told};
use crate::g711::Codec;
use crate::leg::{Leg, Wishes};
use crate::outgoing::MAX_PAYLOAD;
use crate::rtp::{FRAME, Packet};
use crate::voice::Turn;

impl Leg {
    pub fn wish(&mut self, wishes: Wishes) {
        self.wishes = wishes;
        self.attune();
    }

    /// Find out who answered; a detection that goes on is given up.
    pub fn detect_answer(&mut self, plan: answering::Plan, now_ns: i64, events: &EventSender) {
        self.stop_detecting(now_ns, events);
        self.ear.get_or_insert_default().answering = Some(Box::new(Answering::new(plan)));
    }

    /// Give up finding out who answered: it is unknown.
    pub fn stop_detecting(&mut self, now_ns: i64, events: &EventSender) {
        let Some(answering) = self.ear.as_mut().and_then(|ear| ear.answering.take()) else { return };
        let (token, after_ms) = (answering.token(), answering.elapsed_ms());
        let told = Told::AnswerDetected { token, answer: Answer::Unknown, after_ms };
        events.send(self.id, now_ns, told);
        self.attune();
    }

    /// Listen for what is wanted, and not at all when nothing is.
    pub fn attune(&mut self) {
        let agreed = self.remote.as_ref().is_some_and(|remote| remote.event_type.is_some());
        let wants_keys = match self.wishes.keys {
            KeyWish::Needed => self.remote.is_some() && !agreed,
            KeyWish::Always => true,
            KeyWish::Never => false,
        };
        let detects = self.ear.as_ref().is_some_and(|ear| ear.answering.is_some());
        let measures = self.seat.is_some() || self.recordings.iter().any(|one| one.minds_silence());
        if !(wants_keys || detects || measures || self.wishes.voice) {
            self.ear = None;
            return;
        }
        let ear = self.ear.get_or_insert_default();
        ear.tells_voice = self.wishes.voice;
        if !wants_keys {
            ear.keys = None;
        } else if ear.keys.is_none() {
            ear.keys = Some(Box::new(KeyDetector::default()));
        }
    }

    pub(super) fn listen_to(
        &mut self,
        packet: &Packet<'_>,
        codec: Codec,
        in_order: bool,
        now_ns: i64,
        events: &EventSender,
    ) {
        if self.ear.is_none() || packet.payload.len() > MAX_PAYLOAD {
            return;
        }
        let table = codec.table();
        let mut space = [0; MAX_PAYLOAD];
        let samples = &mut space[..packet.payload.len()];
        samples.iter_mut().zip(packet.payload).for_each(|(to, &word)| *to = table[usize::from(word)]);
        // A late packet would be heard out of its turn.
        let voiced = if in_order { self.listen_through(samples, now_ns, events) } else { None };
        if let Some(seat) = &mut self.seat {
            seat.hear(packet.timestamp, in_order, voiced, samples);
        }
    }

    /// The level of the loudest voice in it.
    fn listen_through(&mut self, samples: &[i16], now_ns: i64, events: &EventSender) -> Option<f32> {
        let mut voiced: Option<f32> = None;
        for piece in samples.chunks(FRAME) {
            // Gone when a detection that is over was all there was to listen for.
            let heard = self.ear.as_mut()?.hear(piece);
            if heard.judged.voiced {
                voiced = Some(voiced.unwrap_or(-100.0).max(heard.judged.level));
            }
            for recording in &mut self.recordings {
                recording.hear(piece.len(), !heard.judged.voiced, now_ns);
            }
            self.tell_heard(&heard, now_ns, events);
        }
        voiced
    }

    /// Silence that the far end described: it counts as silence, whatever it sounds like.
    pub(super) fn listen_to_silence(&mut self, samples: &[i16; FRAME], now_ns: i64, events: &EventSender) {
        let Some(heard) = self.ear.as_mut().map(|ear| ear.hear_silence(samples)) else { return };
        for recording in &mut self.recordings {
            recording.hear(FRAME, true, now_ns);
        }
        self.tell_heard(&heard, now_ns, events);
    }

    /// A slot went by.  Nothing may have come for a while: that is silence, too, unless the far end is
    /// not to be heard now.
    pub(super) fn hear_nothing(&mut self, now_ns: i64, events: &EventSender) {
        let Some(ear) = &mut self.ear else { return };
        let Some(heard) = ear.tick() else { return };
        let unheard = ear.unheard();
        if unheard > 0 && self.remote.as_ref().is_some_and(|remote| remote.may_receive) {
            for recording in &mut self.recordings {
                recording.hear(unheard, true, now_ns);
            }
        }
        self.tell_heard(&heard, now_ns, events);
    }

    /// The leg closes: what was being heard is over.
    pub(super) fn stop_listening(&mut self, now_ns: i64, events: &EventSender) {
        self.stop_detecting(now_ns, events);
        if let Some(heard) = self.ear.as_mut().map(|ear| ear.finish()) {
            self.tell_heard(&heard, now_ns, events);
        }
    }

    fn tell_heard(&mut self, heard: &Heard, now_ns: i64, events: &EventSender) {
        match heard.turn {
            Some(Turn::Started { silent_ms }) => {
                events.send(self.id, now_ns, Told::VoiceStarted { silent_ms });
            }
            Some(Turn::Stopped { spoke_ms }) => {
                events.send(self.id, now_ns, Told::VoiceStopped { spoke_ms });
            }
            None => {}
        }
        if let Some(press) = heard.keys.ended {
            self.pressed(press, true, now_ns, events);
        }
        if let Some(key) = heard.keys.began {
            self.key_began(key, true, now_ns, events);
        }
        if let Some((token, answer, after_ms)) = heard.answer {
            events.send(self.id, now_ns, Told::AnswerDetected { token, answer, after_ms });
            self.attune();
        }
    }
}
