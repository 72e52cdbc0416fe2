//! Events as Python takes them: tuples in the order of the fields in `ports`.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::answering::Answer;
use crate::clock::now_ns;
use crate::dtls::Failure;
use crate::event::{Event, PlayEnd, RecordingEnd, Told, Unsecured};
use crate::tap;

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
        RecordingEnd::MaxSize => "max-size",
        RecordingEnd::Closed => "closed",
        RecordingEnd::Failed => "failed",
    }
}

fn text(key: Option<char>) -> String {
    key.map(String::from).unwrap_or_default()
}

fn answer_name(answer: Answer) -> &'static str {
    match answer {
        Answer::Human => "human",
        Answer::MachineStart => "machine_start",
        Answer::MachineEndBeep => "machine_end_beep",
        Answer::MachineEndSilence => "machine_end_silence",
        Answer::MachineEndOther => "machine_end_other",
        Answer::Fax => "fax",
        Answer::Unknown => "unknown",
    }
}

fn loss_name(loss: Unsecured) -> &'static str {
    match loss {
        Unsecured::ByHandshake(Failure::WrongCertificate) => "wrong-certificate",
        Unsecured::ByHandshake(Failure::NoCertificate) => "no-certificate",
        Unsecured::ByHandshake(Failure::Refused) => "refused",
        Unsecured::ByHandshake(Failure::Unanswered) => "unanswered",
        Unsecured::ByHandshake(Failure::Handshake) => "handshake",
        Unsecured::ByConsent => "consent",
        Unsecured::ByLeave => "closed",
    }
}

type Tuples<'py> = Vec<Bound<'py, PyTuple>>;

/// The frames that wait in a tap, as one event.
pub fn add_frames<'py>(py: Python<'py>, tap: &tap::Shared, tuples: &mut Tuples<'py>) -> PyResult<()> {
    let frames = tap.take();
    if !frames.is_empty() {
        let frames: Vec<_> =
            frames.iter().map(|frame| (frame.sent, frame.number, PyBytes::new(py, &frame.words))).collect();
        let head = ("tap-frames", tap.leg.0, now_ns(), tap.token, frames, tap.dropped());
        tuples.push(head.into_pyobject(py)?);
    }
    Ok(())
}

/// An event as (name, leg, nanoseconds, arguments…).
pub fn add_tuples<'py>(py: Python<'py>, event: Event, tuples: &mut Tuples<'py>) -> PyResult<()> {
    let (leg, at) = (event.leg.0, event.at_ns);
    let tuple = match event.told {
        Told::PlayEnded { token, reason, key, played_ms } => {
            ("play-ended", leg, at, token, play_end(reason), text(key), played_ms).into_pyobject(py)
        }
        Told::DigitBegan { key } => ("digit-began", leg, at, key).into_pyobject(py),
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
        Told::Secured { suite } => ("secured", leg, at, suite.name()).into_pyobject(py),
        Told::NotSecured { why } => ("not-secured", leg, at, loss_name(why)).into_pyobject(py),
        Told::VoiceStarted { silent_ms } => ("voice-started", leg, at, silent_ms).into_pyobject(py),
        Told::VoiceStopped { spoke_ms } => ("voice-stopped", leg, at, spoke_ms).into_pyobject(py),
        Told::SpeakerChanged { room } => ("speaker-changed", leg, at, room).into_pyobject(py),
        Told::AnswerDetected { token, answer, after_ms } => {
            ("answer-detected", leg, at, token, answer_name(answer), after_ms).into_pyobject(py)
        }
        Told::MarkReached { token, mark, cleared } => {
            ("mark-reached", leg, at, token, mark, cleared).into_pyobject(py)
        }
        Told::TapEnded { tap } => {
            add_frames(py, &tap, tuples)?;
            ("tap-ended", leg, at, tap.token, tap.dropped()).into_pyobject(py)
        }
        Told::AudioLost { silent_ms } => ("audio-lost", leg, at, silent_ms).into_pyobject(py),
        Told::LegClosed { counters } => ("leg-closed", leg, at, counters.values().to_vec()).into_pyobject(py),
    };
    tuples.push(tuple?);
    Ok(())
}
