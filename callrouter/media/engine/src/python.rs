//! The Python face of the engine: `callrouter._engine`.  Everything that may wait lets go
//! of the GIL first; nothing that has it is ever waited for by a media thread.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::PoisonError;

mod batch;
mod events;
mod loading;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sip_door::python::{PyDoor, turned_away};

use crate::command::{Action, Command};
use crate::counters::Counters;
use crate::dtls::Identity;
use crate::engine::{Config, Engine};
use crate::event::LegId;
use crate::long_prompt::Reader;
use crate::playback::Item;
use crate::prompt::{Prompts, load};
use crate::resample::RATE;
use crate::{clock, mixdown};
use batch::{Batch, Draft, DraftAction, DraftItem, DraftPlay, Hearers};
use events::{add_frames, add_tuples};
use loading::Rest;

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
    reader: Reader,
}

#[pymethods]
impl PyEngine {
    #[new]
    #[pyo3(signature = (*, addresses, first_port, last_port, threads, quarantine_ms, rtp_timeout_ms, report_interval_ms, identity=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword-only, one per setting")]
    fn new(
        addresses: Vec<String>,
        first_port: u16,
        last_port: u16,
        threads: usize,
        quarantine_ms: u32,
        rtp_timeout_ms: u32,
        report_interval_ms: u32,
        identity: Option<(Vec<u8>, Vec<u8>)>,
    ) -> PyResult<Self> {
        let identity = identity
            .map(|(certificate, key)| {
                Identity::new(certificate, key).ok_or_else(|| invalid("the private key is not one of ECDSA"))
            })
            .transpose()?;
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
            identity,
        };
        Ok(Self { engine: Engine::start(&config)?, prompts: Prompts::default(), reader: Reader::start()? })
    }

    /// Becomes readable when there are events, or frames of taps.
    fn fileno(&self) -> i32 {
        self.engine.events().descriptor()
    }

    fn open(&self, family: u8) -> PyResult<(u64, u16)> {
        let (leg, port) =
            self.engine.open(family == 6).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok((leg.0, port))
    }

    /// Another pair of ports for a leg; the line's number and its first port.
    fn open_line(&self, leg: u64) -> PyResult<(u64, u16)> {
        let opened = self.engine.open_line(LegId(leg));
        let (line, port) = opened.map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok((line.0, port))
    }

    /// Carry out a batch in one step, and leave it empty.
    fn submit(&self, batch: &Batch) {
        let commands = std::mem::take(&mut *batch.commands.lock().unwrap_or_else(PoisonError::into_inner));
        let commands = commands.into_iter().map(|command| self.complete(command)).collect();
        self.engine.submit(commands);
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut tuples = vec![];
        for event in self.engine.events().take() {
            add_tuples(py, event, &mut tuples)?;
        }
        for tap in self.engine.taps.ready() {
            add_frames(py, &tap, &mut tuples)?;
        }
        Ok(tuples)
    }

    /// Decode, resample and encode a file: the prompt's id, its size in memory, and, of one of more than
    /// `longest_ms`, which is kept in a file in `folder`, the rest that is still to be decoded.
    fn load_prompt(
        &self,
        py: Python<'_>,
        path: PathBuf,
        content_type: &str,
        longest_ms: usize,
        folder: PathBuf,
    ) -> PyResult<(u64, usize, Option<Rest>)> {
        let longest = longest_ms.saturating_mul(RATE as usize / 1000);
        let loaded = py.detach(|| load(&path, content_type, longest, &folder, &self.reader));
        let loaded = loaded.map_err(invalid)?;
        Ok((self.prompts.add(loaded.item), loaded.bytes, loaded.rest.map(Rest::new)))
    }

    /// Forget a prompt; legs that play it go on.
    fn drop_prompt(&self, prompt: u64) {
        self.prompts.remove(prompt);
    }

    fn has_prompt(&self, prompt: u64) -> bool {
        self.prompts.get(prompt).is_some()
    }

    /// Sums of the counters over all legs there have been, the number of live legs, of those that
    /// decode or encode, and the thousandths that each thread is busy.
    fn totals(&self) -> (Vec<u64>, u64, u64, Vec<u64>) {
        let sums = self.engine.totals();
        (sums.counts.to_vec(), sums.legs, sums.transcoding, sums.loads)
    }

    /// Close every leg and end the threads; the events that are left.
    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut tuples = vec![];
        for event in py.detach(|| self.engine.stop()) {
            add_tuples(py, event, &mut tuples)?;
        }
        Ok(tuples)
    }
}

impl PyEngine {
    fn complete(&self, draft: Draft) -> Command {
        let action = match draft.action {
            DraftAction::Ready(action) => action,
            DraftAction::Play(DraftPlay { token, items, loops, hearers }) => {
                let items = items.into_iter().filter_map(|item| self.item(item)).collect();
                match hearers {
                    Hearers::FarEnd { stop_keys, follows } => {
                        Action::Play { token, items, loops, stop_keys, follows }
                    }
                    Hearers::Held => Action::Hold { token, items, loops },
                    Hearers::Room => Action::Announce { token, items, loops },
                }
            }
            DraftAction::Tap { token, sides } => {
                Action::StartTap(self.engine.taps.open(draft.leg, token, sides))
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
            DraftItem::Prompt(id) => self.prompts.get(id),
            DraftItem::Ready(item) => Some(item),
        }
    }
}

/// Write the channels of a recording, added up, to a file of its own.
#[pyfunction]
fn mix_down(py: Python<'_>, source: PathBuf, target: PathBuf) -> PyResult<()> {
    py.detach(|| mixdown::mix_down(&source, &target))
        .map_err(|error| PyOSError::new_err(format!("{} cannot be mixed down: {error}", source.display())))
}

/// What Python was told of this engine when it was built: Python compares it with what it is told
/// now, so that an engine that was left from another version is found out at once.
const INTERFACE: &str = include_str!("../../../_engine.pyi");

#[pymodule(gil_used = true)]
mod _engine {
    #[pymodule_export]
    use super::{Batch, PyDoor, PyEngine, Rest, mix_down, turned_away};
    use super::{Bound, Counters, INTERFACE, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("COUNTERS", Counters::NAMES.to_vec())?;
        module.add("INTERFACE", INTERFACE)
    }
}
