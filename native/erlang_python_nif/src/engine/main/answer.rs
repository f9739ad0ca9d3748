//! The answer to a request: what its operation gives, or why it gives nothing.

use crate::base::atoms;
use crate::base::operands::Operands;
use crate::base::term_env::{SavedTerm, TermEnv};
use crate::engine::main::call::{Answer, Leftovers, Work};
use crate::engine::main::error::Error;
use crate::engine::main::isolation::Isolated;
use crate::engine::main::kept;
use crate::pool::request::Request;
use crate::python::child;
use crate::python::current;
use crate::python::growth::Touched;
use crate::python::object;
use rustler::{Atom, Env, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// An answer, built in the environment that `perform` was given.
pub struct Outcome {
    answer: SavedTerm,
    failed: bool,
    /// To be dropped when the answer is on its way, with the GIL held.
    pub leftovers: Leftovers,
}

impl Outcome {
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// `env` must be the environment that `perform` was given.
    pub fn into_term(self, env: Env<'_>) -> Term<'_> {
        self.answer.load(env)
    }
}

/// Performs an operation, whatever comes of it: exceptions, values that cannot cross and even
/// panics of ours are answers.
pub fn perform(
    request: &Arc<Request>,
    operation: Term<'_>,
    reply: &mut TermEnv,
    isolated: &Isolated<'_>,
) -> Outcome {
    perform_by(request, operation, reply, isolated, |work, tag| {
        work.dispatch(tag)
    })
}

/// The same for a part of an operation, or another way to do it: `dispatch`.
pub fn perform_by(
    request: &Arc<Request>,
    operation: Term<'_>,
    reply: &mut TermEnv,
    isolated: &Isolated<'_>,
    dispatch: impl for<'py, 's, 'r, 'a> FnOnce(
        &Work<'py, 's, 'r, 'a>,
        Atom,
    ) -> Result<Answer<'a>, Error>,
) -> Outcome {
    let leftovers = Leftovers::default();
    let (built, failed) = answer(
        isolated,
        request,
        operation,
        reply.env(),
        &leftovers,
        dispatch,
    );
    let answer = match built {
        Built::InReply(answer) => answer,
        Built::Elsewhere(env, answer) => {
            *reply = env;
            answer
        }
    };
    Outcome {
        answer,
        failed,
        leftovers,
    }
}

/// The same, with the answer in `env`, and whether it is a failure.
pub fn perform_here<'a>(
    request: &Arc<Request>,
    operation: Term<'_>,
    env: Env<'a>,
    isolated: &Isolated<'_>,
) -> (Term<'a>, bool) {
    let leftovers = Leftovers::default();
    match answer(
        isolated,
        request,
        operation,
        env,
        &leftovers,
        |work, tag| work.dispatch(tag),
    ) {
        (Built::InReply(answer), failed) => (answer.load(env), failed),
        (Built::Elsewhere(own, answer), failed) => (own.term(answer).in_env(env), failed),
    }
}

/// An `Answer` that no longer borrows the reply's environment.
enum Built {
    InReply(SavedTerm),
    Elsewhere(TermEnv, SavedTerm),
}

fn answer(
    isolated: &Isolated<'_>,
    request: &Arc<Request>,
    operation: Term<'_>,
    env: Env<'_>,
    leftovers: &Leftovers,
    dispatch: impl for<'py, 's, 'r, 'a> FnOnce(
        &Work<'py, 's, 'r, 'a>,
        Atom,
    ) -> Result<Answer<'a>, Error>,
) -> (Built, bool) {
    let py = isolated.py();
    let touched = Touched::default();
    let answer = answer_only(
        isolated, request, operation, env, leftovers, &touched, dispatch,
    );
    if touched.any() {
        // Nothing depends on it.
        let grown = catch_unwind(AssertUnwindSafe(|| touched.weigh(py)));
        match &answer.0 {
            Built::InReply(_) => object::ballast(env, grown.unwrap_or(0)),
            Built::Elsewhere(env, _) => object::ballast(env.env(), grown.unwrap_or(0)),
        }
    }
    if let Some(handed_out) = kept::handed_out(request) {
        let _ = catch_unwind(AssertUnwindSafe(|| handed_out.end(py)));
    }
    answer
}

fn answer_only<'r>(
    isolated: &Isolated<'_>,
    request: &Arc<Request>,
    operation: Term<'r>,
    env: Env<'_>,
    leftovers: &Leftovers,
    touched: &Touched<'r>,
    dispatch: impl for<'py, 's, 'o, 'a> FnOnce(
        &Work<'py, 's, 'o, 'a>,
        Atom,
    ) -> Result<Answer<'a>, Error>,
) -> (Built, bool) {
    let py = isolated.py();
    let done = catch_unwind(AssertUnwindSafe(|| {
        // Not `ok_or`, which makes an error each time, to be dropped.
        let Some(operation) = Operands::of(operation) else {
            return Err(Error::BadRequest("expected an operation, a tuple"));
        };
        let [tag, operands @ ..] = &*operation else {
            return Err(Error::BadRequest("expected an operation with a tag"));
        };
        let tag: Atom = tag
            .decode()
            .map_err(|_| Error::BadRequest("expected the tag of an operation to be an atom"))?;
        let Some(helpers) = current::helpers() else {
            return Err(Error::BadRequest("the interpreter has not started"));
        };
        let work = Work {
            py,
            helpers,
            request,
            env,
            operands,
            isolated,
            wanted: &|| request.is_pending(),
            leftovers,
            touched,
        };
        dispatch(&work, tag)
    }));
    let reason = match done {
        Ok(Ok(Answer::Here(term))) => return (Built::InReply(SavedTerm::save(term)), false),
        Ok(Ok(Answer::Elsewhere(env, term))) => return (Built::Elsewhere(env, term), false),
        // To describe it may take long, and nobody wants to know.
        Ok(Err(_)) if request.is_over() => atoms::cancelled().to_term(env),
        Ok(Err(error)) => {
            child::end_if_child_failed(py, error.exception());
            let keep_locals = request.keep_locals();
            let reason = catch_unwind(AssertUnwindSafe(|| error.into_term(py, env, keep_locals)));
            reason.unwrap_or_else(|_| panicked(env))
        }
        Err(_) => panicked(env),
    };
    let answer = SavedTerm::save(env.error_tuple(reason));
    (Built::InReply(answer), true)
}

fn panicked(env: Env<'_>) -> Term<'_> {
    atoms::panic().to_term(env)
}
