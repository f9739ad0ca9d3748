//! What only the VM knows, and this process waits for. A question is answered on a thread of the VM that waits for
//! nothing. When the VM is gone, so is this process.

use crate::link;
use erlang_python_wire::{Reader, Writer, frame::to_vm};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Default)]
struct State {
    asked: u64,
    /// The answers that have come: the bytes of terms.
    answers: HashMap<u64, Vec<u8>>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
static ANSWERED: Condvar = Condvar::new();

/// The term that the VM gives in return. None if it cannot be asked. `write`: what is asked about.
pub fn ask(kind: u8, write: impl FnOnce(&mut Writer)) -> Option<Vec<u8>> {
    let number = {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.get_or_insert_default();
        state.asked += 1;
        state.asked
    };
    let mut frame = Writer::frame(to_vm::QUESTION);
    frame.u64(number);
    frame.u8(kind);
    write(&mut frame);
    if !link::send(frame) {
        return None;
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(answer) = state.as_mut()?.answers.remove(&number) {
            return Some(answer);
        }
        state = ANSWERED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// An answer has come.
pub fn answered(number: u64, term: Reader<'_>) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = &mut state.get_or_insert_default().answers;
    answers.insert(number, term.rest().to_vec());
    drop(state);
    ANSWERED.notify_all();
}
