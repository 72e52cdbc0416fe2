//! Prompts as Python has them loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::prompt;

/// What of a long prompt is still to be decoded.
#[pyclass(frozen)]
pub struct Rest {
    rest: Mutex<Option<prompt::Rest>>,
    is_unwanted: AtomicBool,
}

impl Rest {
    pub fn new(rest: prompt::Rest) -> Self {
        Self { rest: Mutex::new(Some(rest)), is_unwanted: AtomicBool::new(false) }
    }
}

#[pymethods]
impl Rest {
    /// Decode it; the size of its file in bytes.  Blocks, without the GIL.
    fn finish(&self, py: Python<'_>) -> PyResult<u64> {
        let Some(rest) = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(0);
        };
        let finished = py.detach(|| rest.finish(|| self.is_unwanted.load(Ordering::Relaxed)));
        finished.map_err(|error| PyOSError::new_err(error.to_string()))
    }

    /// Leave it at what has been decoded.
    fn stop(&self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}
