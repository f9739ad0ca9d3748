//! Workers that a pool has beside its own ones while these wait (`pool/growth.rs`).

use crate::base::term_env::Sender;
use crate::engine::Drained;
use crate::engine::main::drain::drain;
use crate::pool::growth::STAYS;
use crate::pool::worker::{EXTRA, Wake};
use crate::pool::{Pool, Worker};
use crate::python::interpreter;
use std::io;
use std::sync::Arc;

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
