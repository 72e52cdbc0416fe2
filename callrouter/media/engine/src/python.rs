//! The Python face of the engine: `callrouter.media._engine`.  Everything that may wait lets go
//! of the GIL first; nothing that has it is ever waited for by a media thread.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::command::{Action, Command, Negotiated};
use crate::counters::Counters;
use crate::engine::{Config, Engine};
use crate::event::{Event, LegId, PlayEnd, RecordingEnd, Told};
use crate::g711::Codec;
use crate::playback::Item;
use crate::prompt::{Prompt, Prompts};
use crate::recording::{RecordingPlan, Track};
use crate::srtp::{Keys, Master, Suite};
use crate::telephone_event::KeySet;
use crate::{clock, decode, tone};

fn invalid(message: impl Into<String>) -> PyErr {
    PyValueError::new_err(message.into())
}

fn address(host: &str, port: u16) -> PyResult<SocketAddr> {
    let ip: IpAddr = host.parse().map_err(|_| invalid(format!("{host:?} is not an IP address")))?;
    Ok(SocketAddr::new(ip, port))
}

#[pyclass(frozen, name = "Engine")]
struct PyEngine {
    engine: Engine,
    prompts: Prompts,
}

#[pymethods]
impl PyEngine {
    #[new]
    #[pyo3(signature = (*, addresses, first_port, last_port, threads, quarantine_ms, rtp_timeout_ms, report_interval_ms))]
    fn new(
        addresses: Vec<String>,
        first_port: u16,
        last_port: u16,
        threads: usize,
        quarantine_ms: u32,
        rtp_timeout_ms: u32,
        report_interval_ms: u32,
    ) -> PyResult<Self> {
        let addresses = addresses
            .iter()
            .map(|host| host.parse().map_err(|_| invalid(format!("{host:?} is not an IP address"))))
            .collect::<PyResult<Vec<IpAddr>>>()?;
        let config = Config {
            addresses,
            ports: first_port..last_port.saturating_add(1),
            threads,
            quarantine_ns: i64::from(quarantine_ms) * clock::MILLISECOND,
            rtp_timeout_ns: i64::from(rtp_timeout_ms) * clock::MILLISECOND,
            report_interval_ns: i64::from(report_interval_ms) * clock::MILLISECOND,
        };
        Ok(Self { engine: Engine::start(&config)?, prompts: Prompts::default() })
    }

    /// Becomes readable when there are events.
    fn fileno(&self) -> i32 {
        self.engine.events().descriptor()
    }

    fn open(&self, family: u8) -> PyResult<(u64, u16)> {
        let (leg, port) =
            self.engine.open(family == 6).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok((leg.0, port))
    }

    /// Carry out a batch in one step, and leave it empty.
    fn submit(&self, batch: &Batch) {
        let commands = std::mem::take(&mut *batch.commands.lock().unwrap_or_else(PoisonError::into_inner));
        let commands = commands.into_iter().map(|command| self.complete(command)).collect();
        self.engine.submit(commands);
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.engine.events().take().into_iter().map(|event| to_tuple(py, event)).collect()
    }

    /// Decode, resample and encode a file; the prompt's id and its size in bytes.
    fn load_prompt(&self, py: Python<'_>, path: PathBuf, content_type: &str) -> PyResult<(u64, usize)> {
        let prompt = py.detach(|| decode::decode(&path, content_type).map(|samples| Prompt::new(&samples)));
        let prompt = prompt.map_err(invalid)?;
        let bytes = prompt.bytes();
        Ok((self.prompts.add(prompt), bytes))
    }

    /// Forget a prompt; legs that play it go on.
    fn drop_prompt(&self, prompt: u64) {
        self.prompts.remove(prompt);
    }

    fn has_prompt(&self, prompt: u64) -> bool {
        self.prompts.get(prompt).is_some()
    }

    /// Sums of the counters over all legs there have been, and the number of live legs.
    fn totals(&self) -> (Vec<u64>, u64) {
        let (sums, legs) = self.engine.totals();
        (sums.to_vec(), legs)
    }

    /// Close every leg and end the threads; the events that are left.
    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = py.detach(|| self.engine.stop());
        events.into_iter().map(|event| to_tuple(py, event)).collect()
    }
}

impl PyEngine {
    fn complete(&self, draft: Draft) -> Command {
        let action = match draft.action {
            DraftAction::Ready(action) => action,
            DraftAction::Play { token, items, loops, stop_keys } => {
                let items = items.into_iter().filter_map(|item| self.item(item)).collect();
                Action::Play { token, items, loops, stop_keys }
            }
            DraftAction::Record(mut plan) => {
                plan.id = self.engine.recording_id();
                Action::StartRecording(plan)
            }
        };
        Command { leg: draft.leg, action }
    }

    fn item(&self, item: DraftItem) -> Option<Item> {
        match item {
            DraftItem::Prompt(id) => self.prompts.get(id).map(Item::Prompt),
            DraftItem::Ready(item) => Some(item),
        }
    }
}

/// Commands on their way to the engine.
#[pyclass(frozen)]
#[derive(Default)]
struct Batch {
    commands: Mutex<Vec<Draft>>,
}

struct Draft {
    leg: LegId,
    action: DraftAction,
}

/// An action whose prompts have yet to be looked up.
enum DraftAction {
    Ready(Action),
    Play { token: u64, items: Vec<DraftItem>, loops: u32, stop_keys: KeySet },
    Record(RecordingPlan),
}

enum DraftItem {
    Prompt(u64),
    Ready(Item),
}

impl Batch {
    fn push(&self, leg: u64, action: DraftAction) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push(Draft { leg: LegId(leg), action });
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

    #[pyo3(signature = (leg, *, remote, remote_rtcp, codec, payload_type, event_type, may_send, may_receive, srtp=None))]
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
        srtp: Option<(String, Vec<u8>, Vec<u8>)>,
    ) -> PyResult<()> {
        let codec =
            Codec::named(codec).ok_or_else(|| invalid(format!("{codec:?} is not a codec of this engine")))?;
        if payload_type > 127 || event_type.is_some_and(|number| number > 127) {
            return Err(invalid("payload types are below 128"));
        }
        let remote_rtcp = remote_rtcp.map(|(host, port)| address(&host, port)).transpose()?;
        let remote = address(&remote.0, remote.1)?;
        let keys = srtp.map(|(suite, send, receive)| keys(&suite, &send, &receive)).transpose()?;
        let agreed =
            Negotiated { remote, remote_rtcp, codec, payload_type, event_type, may_send, may_receive, keys };
        self.ready(leg, Action::SetRemote(agreed));
        Ok(())
    }

    /// `items` are pairs of a kind (`prompt`, `silence`, `tone`, `digits`) and its argument.
    fn play(
        &self,
        leg: u64,
        token: u64,
        items: Vec<(String, Bound<'_, PyAny>)>,
        loops: u32,
        stop_digits: &str,
    ) -> PyResult<()> {
        let items = items.iter().map(|(kind, value)| draft_item(kind, value)).collect::<PyResult<_>>()?;
        self.push(leg, DraftAction::Play { token, items, loops, stop_keys: KeySet::of(stop_digits) });
        Ok(())
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

    /// `channels` lists, for each channel, pairs of a leg and whether its sent side is meant.
    #[pyo3(signature = (leg, token, path, channels, *, max_ms, silence_ms, stop_digits, trim))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per property of a recording")]
    fn start_recording(
        &self,
        leg: u64,
        token: u64,
        path: PathBuf,
        channels: Vec<Vec<(u64, bool)>>,
        max_ms: u64,
        silence_ms: u64,
        stop_digits: &str,
        trim: bool,
    ) -> PyResult<()> {
        if channels.is_empty() || channels.len() > 8 || path.file_name().is_none() {
            return Err(invalid("a recording needs one to eight channels and a file name"));
        }
        let track = |(leg, sent)| Track { leg: LegId(leg), sent };
        let channels = channels.into_iter().map(|tracks| tracks.into_iter().map(track).collect()).collect();
        let stop_keys = KeySet::of(stop_digits);
        let plan = RecordingPlan { id: 0, token, path, channels, max_ms, silence_ms, stop_keys, trim };
        self.push(leg, DraftAction::Record(plan));
        Ok(())
    }

    fn stop_recording(&self, leg: u64, token: u64) {
        self.ready(leg, Action::StopRecording { token });
    }

    fn send_digits(&self, leg: u64, token: u64, digits: String) {
        self.ready(leg, Action::SendDigits { token, keys: digits });
    }

    fn feed_digit(&self, leg: u64, digit: char, duration_ms: u32) {
        self.ready(leg, Action::FeedDigit { key: digit.to_ascii_uppercase(), duration_ms });
    }

    fn close(&self, leg: u64) {
        self.ready(leg, Action::Close);
    }
}

/// The keys of a suite, each with its salt behind it.
fn keys(suite: &str, send: &[u8], receive: &[u8]) -> PyResult<Keys> {
    let named = Suite::named(suite).ok_or_else(|| invalid(format!("{suite:?} is not a crypto suite")))?;
    let master = |bytes| {
        Master::new(named, bytes).ok_or_else(|| invalid(format!("a key of {suite} has another length")))
    };
    Ok(Keys { send: master(send)?, receive: master(receive)? })
}

fn draft_item(kind: &str, value: &Bound<'_, PyAny>) -> PyResult<DraftItem> {
    let item = match kind {
        "prompt" => return Ok(DraftItem::Prompt(value.extract()?)),
        "silence" => Item::Silence(value.extract::<u64>()? * 8),
        "digits" => Item::Digits(value.extract()?),
        "tone" => {
            let name: String = value.extract()?;
            tone::named(&name).ok_or_else(|| invalid(format!("{name:?} is not a tone of this engine")))?
        }
        _ => return Err(invalid(format!("{kind:?} is not a kind of play item"))),
    };
    Ok(DraftItem::Ready(item))
}

fn play_end(reason: PlayEnd) -> &'static str {
    match reason {
        PlayEnd::Finished => "finished",
        PlayEnd::Stopped => "stopped",
        PlayEnd::Digit => "digit",
        PlayEnd::Replaced => "replaced",
        PlayEnd::Closed => "closed",
    }
}

fn recording_end(reason: RecordingEnd) -> &'static str {
    match reason {
        RecordingEnd::Stopped => "stopped",
        RecordingEnd::Silence => "silence",
        RecordingEnd::Digit => "digit",
        RecordingEnd::MaxLength => "max-length",
        RecordingEnd::Closed => "closed",
        RecordingEnd::Failed => "failed",
    }
}

fn text(key: Option<char>) -> String {
    key.map(String::from).unwrap_or_default()
}

/// An event as (name, leg, nanoseconds, arguments…), in the order of the fields in `ports.py`.
fn to_tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    let (leg, at) = (event.leg.0, event.at_ns);
    match event.told {
        Told::PlayEnded { token, reason, key, played_ms } => {
            ("play-ended", leg, at, token, play_end(reason), text(key), played_ms).into_pyobject(py)
        }
        Told::DigitReceived { key, duration_ms } => {
            ("digit-received", leg, at, key, duration_ms).into_pyobject(py)
        }
        Told::DigitsSent { token } => ("digits-sent", leg, at, token).into_pyobject(py),
        Told::RecordingEnded { token, reason, key, duration_ms, size_bytes, error } => {
            let reason = recording_end(reason);
            ("recording-ended", leg, at, token, reason, text(key), duration_ms, size_bytes, error)
                .into_pyobject(py)
        }
        Told::AudioStarted => ("audio-started", leg, at).into_pyobject(py),
        Told::AudioLost { silent_ms } => ("audio-lost", leg, at, silent_ms).into_pyobject(py),
        Told::LegClosed { counters } => ("leg-closed", leg, at, counters.values().to_vec()).into_pyobject(py),
    }
}

#[pymodule(gil_used = true)]
mod _engine {
    #[pymodule_export]
    use super::{Batch, PyEngine};
    use super::{Bound, Counters, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("COUNTERS", Counters::NAMES.to_vec())
    }
}
