//! The Python face of the door.  What may wait lets go of the GIL; the thread that reads never has it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::desk::Wishes;
use crate::door::Door;
use crate::keyed::Key;
use crate::refusal;
use crate::scan::{Kind, scan};

fn failed(error: &io::Error) -> PyErr {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_owned();
    PyOSError::new_err((error.raw_os_error().unwrap_or_default(), reason))
}

/// An IP literal, of IPv6 with the number of its zone where it has one.
fn address(host: &str, port: u16) -> PyResult<SocketAddr> {
    let invalid = || PyValueError::new_err(format!("{host:?} is not an IP address"));
    let Some((literal, zone)) = host.split_once('%') else {
        return Ok(SocketAddr::new(host.parse().map_err(|_| invalid())?, port));
    };
    let ip: Ipv6Addr = literal.parse().map_err(|_| invalid())?;
    let zone = zone.parse().map_err(|_| invalid())?;
    Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, zone)))
}

fn host_of(source: &SocketAddr) -> String {
    match source {
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            format!("{}%{}", address.ip(), address.scope_id())
        }
        _ => source.ip().to_string(),
    }
}

/// A datagram, the host and port it came from, and the number of the listener it came to.
type Taken<'py> = (Bound<'py, PyBytes>, String, u16, u32);

#[pyclass(frozen, name = "Door")]
pub struct PyDoor(Door);

#[pymethods]
impl PyDoor {
    #[new]
    fn new(calls_per_second: f64, answers_where_via_says: bool) -> PyResult<Self> {
        let wishes = Wishes { calls_per_second, answers_where_via_says };
        Ok(Self(Door::new(wishes).map_err(|error| failed(&error))?))
    }

    fn bind(&self, py: Python<'_>, listener: u32, host: &str, port: u16, advertised: &str) -> PyResult<u16> {
        py.detach(|| self.0.bind(listener, host, port, advertised)).map_err(|error| failed(&error))
    }

    fn start(&self) -> PyResult<()> {
        self.0.start().map_err(|error| failed(&error))
    }

    /// Readable while something waits to be taken.
    fn fileno(&self) -> i32 {
        self.0.descriptor()
    }

    /// A tag or branch that is known as ours when it comes back.
    fn sign(&self, token: &str) -> String {
        self.0.sign(token)
    }

    fn take<'py>(&self, py: Python<'py>, new_calls: usize) -> Vec<Taken<'py>> {
        let taken = self.0.take(new_calls);
        taken
            .iter()
            .map(|each| {
                (PyBytes::new(py, &each.octets), host_of(&each.source), each.source.port(), each.listener)
            })
            .collect()
    }

    fn send(&self, listener: u32, data: &[u8], host: &str, port: u16) -> PyResult<()> {
        let to = address(host, port)?;
        self.0.send(listener, data, to).map_err(|error| failed(&error))
    }

    fn ban(&self, host: &str, seconds: u32) -> PyResult<()> {
        let host: IpAddr = address(host, 0)?.ip();
        self.0.ban(host, u64::from(seconds) * 1_000_000_000);
        Ok(())
    }

    /// Since the start: new calls turned away, datagrams of banned sources, and others dropped.
    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.0.counts();
        (counts.turned_away, counts.banned, counts.dropped)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

/// The 503 to a datagram from there, were it a new call for which there is no room; None: it is not
/// the door's to answer.
#[pyfunction]
pub fn turned_away<'py>(
    py: Python<'py>,
    data: &[u8],
    host: &str,
    port: u16,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let source = address(host, port)?;
    let Kind::NewCall(request) = scan(data) else { return Ok(None) };
    let tag = Key::default().tag(request.call_id);
    Ok(Some(PyBytes::new(py, &refusal::write(&request, source, &tag, 0))))
}
