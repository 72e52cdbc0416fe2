//! Commands as Python gives them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::answering;
use crate::coded;
use crate::command::{Action, Browser, Entrance, Negotiated};
use crate::dtls::{Fingerprint, Terms};
use crate::ear::KeyWish;
use crate::event::LegId;
use crate::g711::Codec;
use crate::ice::Credentials;
use crate::playback::Item;
use crate::python::{address, invalid};
use crate::recording::{RecordingPlan, Side, Track};
use crate::seat::{Part, RoomId};
use crate::srtp::{Keys, Master, Suite};
use crate::telephone_event::KeySet;
use crate::tone;
use crate::unread::{Framing, LineId, Place};

/// Commands on their way to the engine.
#[pyclass(frozen)]
#[derive(Default)]
pub struct Batch {
    pub commands: Mutex<Vec<Draft>>,
}

pub struct Draft {
    pub leg: LegId,
    pub action: DraftAction,
}

/// An action that lacks what only the engine has.
pub enum DraftAction {
    Ready(Action),
    Play(DraftPlay),
    Record(RecordingPlan),
    Tap { token: u64, sides: &'static [Side] },
}

pub struct DraftPlay {
    pub token: u64,
    pub items: Vec<DraftItem>,
    pub loops: u32,
    pub hearers: Hearers,
}

/// Who hears what is played.
pub enum Hearers {
    FarEnd {
        stop_keys: KeySet,
        /// When what it hears now has ended.
        follows: bool,
    },
    /// The far end, instead of whom the leg is with.
    Held,
    /// Everybody in the leg's room.
    Room,
}

pub enum DraftItem {
    Prompt(u64),
    Ready(Item),
}

/// Items as Python gives them: pairs of a kind (`prompt`, `silence`, `tone`, `digits`) and its
/// argument.
type Items<'py> = Vec<(String, Bound<'py, PyAny>)>;

impl Batch {
    fn push(&self, leg: u64, action: DraftAction) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push(Draft { leg: LegId(leg), action });
    }

    fn push_play(
        &self,
        leg: u64,
        token: u64,
        items: &Items<'_>,
        loops: u32,
        hearers: Hearers,
    ) -> PyResult<()> {
        let items = items.iter().map(|(kind, value)| draft_item(kind, value)).collect::<PyResult<_>>()?;
        self.push(leg, DraftAction::Play(DraftPlay { token, items, loops, hearers }));
        Ok(())
    }

    fn ready(&self, leg: u64, action: Action) {
        self.push(leg, DraftAction::Ready(action));
    }
}

#[pymethods]
impl Batch {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    #[pyo3(signature = (leg, *, remote, remote_rtcp, codec, payload_type, event_type, may_send, may_receive, srtp=None, event_rate=8000, browser=None, own_type=None, own_event_type=None, noise_type=None, longest_ms=0, is_early=false))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per negotiated property")]
    fn set_remote(
        &self,
        leg: u64,
        remote: (String, u16),
        remote_rtcp: Option<(String, u16)>,
        codec: &str,
        payload_type: u8,
        event_type: Option<u8>,
        may_send: bool,
        may_receive: bool,
        srtp: Option<SrtpDraft>,
        event_rate: u32,
        browser: Option<BrowserDraft>,
        own_type: Option<u8>,
        own_event_type: Option<u8>,
        noise_type: Option<u8>,
        longest_ms: usize,
        is_early: bool,
    ) -> PyResult<()> {
        let coded = coded::Codec::named(codec);
        let law = Codec::named(codec).or(coded.map(|_| Codec::Pcmu));
        let codec = law.ok_or_else(|| invalid(format!("{codec:?} is not a codec of this engine")))?;
        let event_scale = match event_rate {
            8000 => 1,
            48_000 => 6,
            _ => return Err(invalid("telephone events have a clock of 8000 or 48000")),
        };
        let numbers = [Some(payload_type), event_type, own_type, own_event_type, noise_type];
        if numbers.into_iter().flatten().any(|number| number > 127) {
            return Err(invalid("payload types are below 128"));
        }
        let remote_rtcp = remote_rtcp.map(|(host, port)| address(&host, port)).transpose()?;
        let remote = address(&remote.0, remote.1)?;
        let keys = srtp.as_ref().map(keys).transpose()?.map(Box::new);
        let browser = browser.map(browser_of).transpose()?;
        let agreed = Negotiated {
            remote,
            remote_rtcp,
            codec,
            coded,
            payload_type,
            event_type,
            own_type,
            own_event_type,
            event_scale,
            noise_type,
            longest: if longest_ms == 0 { usize::MAX } else { longest_ms.saturating_mul(8) },
            may_send,
            may_receive,
            is_early,
            keys,
            browser,
        };
        self.ready(leg, Action::SetRemote(agreed));
        Ok(())
    }

    fn play(
        &self,
        leg: u64,
        token: u64,
        items: Items<'_>,
        loops: u32,
        stop_digits: &str,
        follows: bool,
    ) -> PyResult<()> {
        let stop_keys = KeySet::of(stop_digits);
        self.push_play(leg, token, &items, loops, Hearers::FarEnd { stop_keys, follows })
    }

    fn stop_play(&self, leg: u64) {
        self.ready(leg, Action::StopPlay);
    }

    fn join(&self, a: u64, b: u64) {
        self.ready(a, Action::Join { with: LegId(b) });
    }

    fn part(&self, leg: u64) {
        self.ready(leg, Action::Part);
    }

    /// `channels` lists, for each channel, pairs of a leg and a side: `received`, `sent`, `room`.
    #[pyo3(signature = (leg, token, path, channels, *, max_ms, max_size, silence_ms, stop_digits, trim))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per property of a recording")]
    fn start_recording(
        &self,
        leg: u64,
        token: u64,
        path: PathBuf,
        channels: Vec<Vec<(u64, String)>>,
        max_ms: u64,
        max_size: u64,
        silence_ms: u64,
        stop_digits: &str,
        trim: bool,
    ) -> PyResult<()> {
        if channels.is_empty() || channels.len() > 8 || path.file_name().is_none() {
            return Err(invalid("a recording needs one to eight channels and a file name"));
        }
        let channels = channels
            .into_iter()
            .map(|tracks| tracks.into_iter().map(track).collect())
            .collect::<PyResult<Vec<Vec<Track>>>>()?;
        let stop_keys = KeySet::of(stop_digits);
        let plan =
            RecordingPlan { id: 0, token, path, channels, max_ms, max_size, silence_ms, stop_keys, trim };
        self.push(leg, DraftAction::Record(plan));
        Ok(())
    }

    fn stop_recording(&self, leg: u64, token: u64) {
        self.ready(leg, Action::StopRecording { token });
    }

    fn pause_recording(&self, leg: u64, token: u64, with_silence: bool) {
        self.ready(leg, Action::PauseRecording { token, with_silence });
    }

    fn resume_recording(&self, leg: u64, token: u64) {
        self.ready(leg, Action::ResumeRecording { token });
    }

    fn send_digits(&self, leg: u64, token: u64, digits: String) {
        self.ready(leg, Action::SendDigits { token, keys: digits });
    }

    fn feed_digit(&self, leg: u64, digit: char, duration_ms: u32) {
        self.ready(leg, Action::FeedDigit { key: digit.to_ascii_uppercase(), duration_ms });
    }

    /// `gain` is a factor; a tone's name may be empty; a `rate` of 0 is the members'.
    #[pyo3(signature = (leg, room, *, muted, gain, coaching, enter_tone, leave_tone, rate=0))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per property of a member")]
    fn enter_room(
        &self,
        leg: u64,
        room: u64,
        muted: bool,
        gain: f32,
        coaching: Option<u64>,
        enter_tone: &str,
        leave_tone: &str,
        rate: u32,
    ) -> PyResult<()> {
        let scale = match rate {
            0 => None,
            8000 => Some(1),
            16_000 => Some(2),
            48_000 => Some(6),
            _ => return Err(invalid("a room mixes at 8000, 16000 or 48000 Hz")),
        };
        let tone = |name: &str| if name.is_empty() { Ok(None) } else { named_tone(name).map(Some) };
        let part = part(muted, gain, coaching)?;
        let (enter_sound, leave_sound) = (tone(enter_tone)?, tone(leave_tone)?);
        let entrance = Entrance { room: RoomId(room), part, scale, enter_sound, leave_sound };
        self.ready(leg, Action::EnterRoom(entrance));
        Ok(())
    }

    #[pyo3(signature = (leg, *, muted, gain, coaching))]
    fn set_part(&self, leg: u64, muted: bool, gain: f32, coaching: Option<u64>) -> PyResult<()> {
        self.ready(leg, Action::SetPart(part(muted, gain, coaching)?));
        Ok(())
    }

    fn leave_room(&self, leg: u64) {
        self.ready(leg, Action::LeaveRoom);
    }

    fn announce(&self, leg: u64, token: u64, items: Items<'_>, loops: u32) -> PyResult<()> {
        self.push_play(leg, token, &items, loops, Hearers::Room)
    }

    fn stop_announcement(&self, leg: u64, token: u64) {
        self.ready(leg, Action::StopAnnouncement { token });
    }

    fn hold(&self, leg: u64, token: u64, items: Items<'_>, loops: u32) -> PyResult<()> {
        self.push_play(leg, token, &items, loops, Hearers::Held)
    }

    fn resume(&self, leg: u64) {
        self.ready(leg, Action::Resume);
    }

    /// `keys` is `needed`, `always` or `never`.
    fn listen(&self, leg: u64, voice: bool, keys: &str) -> PyResult<()> {
        let keys = match keys {
            "needed" => KeyWish::Needed,
            "always" => KeyWish::Always,
            "never" => KeyWish::Never,
            _ => return Err(invalid(format!("{keys:?} is not a way to listen for keys"))),
        };
        self.ready(leg, Action::Listen { voice, keys });
        Ok(())
    }

    #[pyo3(signature = (leg, token, *, to_end, timeout_ms, speech_ms, speech_end_ms, silence_ms, greeting_end_ms))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per threshold")]
    fn detect_answer(
        &self,
        leg: u64,
        token: u64,
        to_end: bool,
        timeout_ms: u32,
        speech_ms: u32,
        speech_end_ms: u32,
        silence_ms: u32,
        greeting_end_ms: u32,
    ) {
        let plan = answering::Plan {
            token,
            to_end,
            timeout_ms,
            speech_ms,
            speech_end_ms,
            silence_ms,
            greeting_end_ms,
        };
        self.ready(leg, Action::DetectAnswer(plan));
    }

    fn stop_detecting(&self, leg: u64) {
        self.ready(leg, Action::StopDetecting);
    }

    /// `side` is `received`, `sent`, `both` of them, or the `room` the leg is in.
    fn start_tap(&self, leg: u64, token: u64, side: &str) -> PyResult<()> {
        let sides: &[Side] = match side {
            "received" => &[Side::Received],
            "sent" => &[Side::Sent],
            "both" => &[Side::Received, Side::Sent],
            "room" => &[Side::Room],
            _ => return Err(invalid(format!("{side:?} is not a side to listen at"))),
        };
        self.push(leg, DraftAction::Tap { token, sides });
        Ok(())
    }

    fn stop_tap(&self, leg: u64, token: u64) {
        self.ready(leg, Action::StopTap { token });
    }

    fn open_feed(&self, leg: u64, token: u64, to_room: bool) {
        self.ready(leg, Action::OpenFeed { token, to_room });
    }

    /// `audio` is µ-law at 8 kHz, of any length.
    fn feed_audio(&self, leg: u64, token: u64, audio: &[u8]) {
        self.ready(leg, Action::FeedAudio { token, words: audio.to_vec() });
    }

    fn feed_mark(&self, leg: u64, token: u64, mark: u64) {
        self.ready(leg, Action::FeedMark { token, mark });
    }

    fn clear_feed(&self, leg: u64, token: u64) {
        self.ready(leg, Action::ClearFeed { token });
    }

    /// `framing` is `rtp` or `udptl`.
    #[pyo3(signature = (leg, line, *, remote, control, framing))]
    fn set_line(
        &self,
        leg: u64,
        line: u64,
        remote: (String, u16),
        control: Option<(String, u16)>,
        framing: &str,
    ) -> PyResult<()> {
        let framing = match framing {
            "rtp" => Framing::Rtp,
            "udptl" => Framing::Udptl,
            _ => return Err(invalid(format!("{framing:?} is not a framing of this engine"))),
        };
        let control = control.map(|(host, port)| address(&host, port)).transpose()?;
        let place = Place { framing, remote: address(&remote.0, remote.1)?, control };
        self.ready(leg, Action::SetLine { line: LineId(line), place });
        Ok(())
    }

    fn join_lines(&self, leg: u64, line: u64, with: u64, other: u64) {
        let (line, other) = (LineId(line), LineId(other));
        self.ready(leg, Action::JoinLines { line, with: LegId(with), other });
    }

    fn close_line(&self, leg: u64, line: u64) {
        self.ready(leg, Action::CloseLine { line: LineId(line) });
    }

    fn close(&self, leg: u64) {
        self.ready(leg, Action::Close);
    }
}

/// Local and remote username fragment, local password, hash and digest of the far end's certificate,
/// and whether we begin the handshake.
type BrowserDraft = (String, String, String, String, Vec<u8>, bool);

fn browser_of(draft: BrowserDraft) -> PyResult<Browser> {
    let (local_ufrag, remote_ufrag, local_password, hash, digest, is_client) = draft;
    let fingerprint = Fingerprint::new(&hash, &digest)
        .ok_or_else(|| invalid(format!("no fingerprint of {hash} has {} octets", digest.len())))?;
    let credentials = Credentials { local_ufrag, local_password, remote_ufrag };
    Ok(Browser { credentials, terms: Terms { fingerprint, is_client } })
}

/// The keys of a suite, each with its salt behind it, and what they are called in packets.
type SrtpDraft = (String, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn keys((suite, send, receive, send_mki, mki): &SrtpDraft) -> PyResult<Keys> {
    let named = Suite::named(suite).ok_or_else(|| invalid(format!("{suite:?} is not a crypto suite")))?;
    let master = |bytes, mki| match Master::new(named, bytes) {
        Some(master) => Ok(master.with_mki(mki)),
        None => Err(invalid(format!("a key of {suite} has another length"))),
    };
    Ok(Keys { send: master(send, send_mki)?, receive: master(receive, mki)? })
}

fn draft_item(kind: &str, value: &Bound<'_, PyAny>) -> PyResult<DraftItem> {
    let item = match kind {
        "prompt" => return Ok(DraftItem::Prompt(value.extract()?)),
        "silence" => Item::Silence(value.extract::<u64>()?.saturating_mul(8)),
        "digits" => Item::Digits(value.extract()?),
        "tone" => named_tone(&value.extract::<String>()?)?,
        _ => return Err(invalid(format!("{kind:?} is not a kind of play item"))),
    };
    Ok(DraftItem::Ready(item))
}

fn named_tone(name: &str) -> PyResult<Item> {
    tone::named(name).ok_or_else(|| invalid(format!("{name:?} is not a tone of this engine")))
}

fn track((leg, side): (u64, String)) -> PyResult<Track> {
    let side = match side.as_str() {
        "received" => Side::Received,
        "sent" => Side::Sent,
        "room" => Side::Room,
        _ => return Err(invalid(format!("{side:?} is not a side of a leg"))),
    };
    Ok(Track { leg: LegId(leg), side })
}

fn part(muted: bool, gain: f32, coaching: Option<u64>) -> PyResult<Part> {
    if !(0.0..=64.0).contains(&gain) {
        return Err(invalid(format!("a gain of {gain} is not between 0 and 64 times")));
    }
    Ok(Part { muted, gain, coaching: coaching.map(LegId) })
}
