//! Workers that a pool has beside its own ones while these wait (`pool/growth.rs`).

use crate::base::term_env::Sender;
use crate::engine::Drained;
use crate::engine::main::drain::drain;
use crate::pool::growth::{Arrival, STAYS};
use crate::pool::worker::{EXTRA, Wake};
use crate::pool::{Pool, Worker};
use crate::python::current;
use crate::python::interpreter;
use pyo3::prelude::*;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Starts a thread that drains when the worker is woken, until it has had nothing to do for a while.
pub fn spawn(pool: Arc<Pool>) -> io::Result<Arc<Worker>> {
    let worker = Worker::new(EXTRA, Wake::thread());
    pool.join(&worker);
    let own = Arc::clone(&worker);
    std::thread::Builder::new()
        .name("py_extra".into())
        .stack_size(interpreter::stack_size())
        .spawn(move || {
            if let Some(sender) = Sender::own_thread() {
                serve(&pool, &own, sender);
                own.stop();
                pool.remove(&own, sender);
                interpreter::leave_for_good();
            }
        })?;
    Ok(worker)
}

fn serve(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) {
    loop {
        if worker.wait_for(STAYS) {
            if let Drained::Stop = drain(pool, worker, sender) {
                return;
            }
        } else if pool.dismiss(worker) {
            return;
        }
    }
}

/// What is to be known of an extra worker that has come into Python.
pub fn arrival(py: Python<'_>, asked: Instant) -> Arrival {
    let interval = current::helpers().and_then(|helpers| {
        let seconds = helpers.switch_interval.bind(py).call0().ok()?;
        seconds.extract::<f64>().ok()
    });
    Arrival {
        asked,
        interval: interval.map(|seconds| (seconds * 1e6) as u64),
    }
}
