//! What is to be run when a call is given up: `erlang.on_interrupt`.
//!
//! Code that waits in a C function cannot be interrupted, but another thread may be able to end the wait:
//! by cancelling the query, closing the socket, or waking the event loop. Libraries register how. It is
//! run by a thread of its own, as it may block itself; the interrupter runs nobody's code.

use crate::base::lock::{Condvar, Mutex, MutexGuard};
use crate::engine::main::kept;
use crate::engine::main::origin::{self, Origin};
use crate::pool::request::Request;
use crate::python::interpreter;
use crate::python::made::Made;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the end of a call, or the taking back of a function, waits for one that is running.
const PATIENCE: Duration = Duration::from_secs(1);

/// The functions that the code of a request has registered.
#[derive(Default)]
pub struct Functions {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    functions: Vec<Arc<Function>>,
    /// The one that is running.
    running: Option<Arc<Function>>,
    /// A thread is at work.
    served: bool,
    /// The request is over.
    over: bool,
}

struct Function {
    callable: Py<PyAny>,
    /// To be run at each interrupt, not only the first.
    again: bool,
}

impl Functions {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few moves. No reference to a Python object is dropped meanwhile.
        self.state.lock()
    }

    /// Whether something waits to be run that has not been.
    pub fn is_to_run(&self) -> bool {
        self.lock().is_to_run()
    }

    /// Waits until this one is not running, or none is. Not for ever: then it goes on alone.
    fn wait(&self, py: Python<'_>, function: Option<&Arc<Function>>) {
        let runs = |state: &mut State| match (&state.running, function) {
            (Some(running), Some(function)) => Arc::ptr_eq(running, function),
            (running, None) => running.is_some(),
            (None, _) => false,
        };
        if !runs(&mut self.lock()) {
            return;
        }
        py.detach(|| {
            let waited = self.changed.wait_timeout_while(self.lock(), PATIENCE, runs);
            drop(waited);
        });
    }

    /// The request is over: what it has registered does not run any more. What is to run, since it was given
    /// up, runs before that: code that could be interrupted is often faster.
    pub fn end(&self, py: Python<'_>, request: &Arc<Request>) {
        if request.is_over() {
            run(request);
            py.detach(|| {
                let serves = |state: &mut State| state.served && state.is_to_run();
                let waited = self
                    .changed
                    .wait_timeout_while(self.lock(), PATIENCE, serves);
                drop(waited);
            });
        }
        let functions = {
            let mut state = self.lock();
            state.over = true;
            std::mem::take(&mut state.functions)
        };
        drop(functions);
        self.wait(py, None);
    }
}

impl State {
    /// Whether something has not run yet that is to run once.
    fn is_to_run(&self) -> bool {
        self.functions.iter().any(|function| !function.again)
    }
}

/// Runs what the code of a request has registered, on a thread of its own. Waits for nothing.
pub fn run(request: &Arc<Request>) {
    let Some(functions) = kept::functions(request) else {
        return;
    };
    {
        let mut state = functions.lock();
        if state.served || state.over || state.functions.is_empty() {
            return;
        }
        state.served = true;
    }
    let own = Arc::clone(request);
    let started = std::thread::Builder::new()
        .name("py_on_interrupt".into())
        .stack_size(interpreter::stack_size())
        .spawn(move || {
            interpreter::enter(|py, _| serve(py, &own));
            interpreter::leave_for_good();
        });
    if started.is_err() {
        functions.lock().served = false;
    }
}

fn serve(py: Python<'_>, request: &Arc<Request>) {
    Origin::of(request).adopt();
    let Some(functions) = kept::functions(request) else {
        return;
    };
    loop {
        // The last one first, as with everything that is nested.
        let todo = functions.lock().functions.clone();
        for function in todo.into_iter().rev() {
            functions.call(py, function);
        }
        let mut state = functions.lock();
        // Meanwhile more may have been registered.
        if !state.is_to_run() {
            state.served = false;
            break;
        }
    }
    functions.changed.notify_all();
}

impl Functions {
    /// Runs one of them, unless it was taken back.
    fn call(&self, py: Python<'_>, function: Arc<Function>) {
        {
            let mut state = self.lock();
            let mut known = state.functions.iter();
            let Some(at) = known.position(|f| Arc::ptr_eq(f, &function)) else {
                return;
            };
            if !function.again {
                // `function` is a reference as well: none is dropped for good here.
                state.functions.remove(at);
            }
            state.running = Some(Arc::clone(&function));
        }
        if let Err(error) = function.callable.bind(py).call0() {
            error.write_unraisable(py, Some(function.callable.bind(py)));
        }
        let done = self.lock().running.take();
        self.changed.notify_all();
        drop(done);
    }
}

/// Registers what another thread runs when the call is given up (`connection.cancel`). Returns a function
/// that takes it back, after which it does not run. Code that belongs to no call is never given up.
#[pyfunction]
#[pyo3(signature = (function, /))]
pub fn on_interrupt(py: Python<'_>, function: Py<PyAny>) -> PyResult<Registered> {
    register(py, function, false)
}

/// The same, for what is run at each further interrupt too.
#[pyfunction]
#[pyo3(name = "_on_interrupts")]
pub fn on_interrupts(py: Python<'_>, function: Py<PyAny>) -> PyResult<Registered> {
    register(py, function, true)
}

fn register(py: Python<'_>, callable: Py<PyAny>, again: bool) -> PyResult<Registered> {
    if !callable.bind(py).is_callable() {
        let text = "expected a function without arguments, such as connection.cancel";
        return Err(pyo3::exceptions::PyTypeError::new_err(text));
    }
    let Some(request) = origin::request(py) else {
        return Ok(Registered(Made::new(None)));
    };
    let function = Arc::new(Function { callable, again });
    let Some(functions) = kept::make_functions(&request) else {
        return Ok(Registered(Made::new(None)));
    };
    {
        let mut state = functions.lock();
        if !state.over {
            state.functions.push(Arc::clone(&function));
        }
    }
    if request.is_over() && !again {
        run(&request);
    }
    let registered = Some((Arc::downgrade(&request), function));
    Ok(Registered(Made::new(registered)))
}

/// Takes back what was registered.
#[pyclass(frozen, module = "erlang", name = "_Registered")]
pub struct Registered(Made<Option<(Weak<Request>, Arc<Function>)>>);

#[pymethods]
impl Registered {
    fn __call__(&self, py: Python<'_>) {
        let Some(Some((request, function))) = self.0.get() else {
            return;
        };
        let Some(request) = request.upgrade() else {
            return;
        };
        let Some(functions) = kept::functions(&request) else {
            return;
        };
        let before = {
            let mut state = functions.lock();
            let at = state
                .functions
                .iter()
                .position(|f| Arc::ptr_eq(f, function));
            at.map(|at| state.functions.remove(at))
        };
        drop(before);
        functions.wait(py, Some(function));
    }
}
