//! What a request asks of Python: resolve, convert, call, convert back.

use crate::base::atoms;
use crate::base::term_env::{SavedTerm, TermEnv};
use crate::engine::main::fill;
use crate::engine::main::isolation::Isolated;
use crate::engine::main::items;
use crate::engine::main::kept;
use crate::engine::main::own;
use crate::pool::request::Request;
use crate::pool::stream::{Limits, Stream};
use crate::python::arguments::Arguments;
use crate::python::child;
use crate::python::code::{self, Kind, Place};
use crate::python::convert::{Decoder, Encoder, Failure, Unconvertible};
use crate::python::exception;
use crate::python::growth::Touched;
use crate::python::helpers::{self, Helpers};
use crate::python::names;
use crate::python::namespace::{self, Namespace};
use crate::python::object;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use rustler::sys::enif_get_tuple;
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// An answer, built in the environment that `perform` was given.
pub struct Outcome {
    answer: SavedTerm,
    failed: bool,
    /// To be dropped when the answer is on its way, with the GIL held.
    pub leftovers: Leftovers,
}

/// Arguments and results of calls that take long to free. Nobody notices when that is: it runs no
/// other code.
#[derive(Default)]
pub struct Leftovers(RefCell<Vec<Py<PyAny>>>);

impl Leftovers {
    fn add(&self, object: Bound<'_, PyAny>) {
        self.0.borrow_mut().push(object.unbind());
    }
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

/// Why an operation gave no value.
pub enum Error {
    /// An argument cannot become a Python object.
    Encode {
        place: String,
        what: Unconvertible,
    },
    /// The result cannot become a term.
    Decode(Unconvertible),
    Exception(PyErr),
    /// One of many calls failed: which, and why.
    At(usize, Box<Error>),
    /// The request itself makes no sense. The Elixir side lets none of these through.
    BadRequest(&'static str),
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Error::Exception(error)
    }
}

impl Error {
    /// What Python has raised.
    fn exception(&self) -> Option<&PyErr> {
        match self {
            Error::Exception(error) => Some(error),
            Error::At(_, error) => error.exception(),
            Error::Encode { .. } | Error::Decode(_) | Error::BadRequest(_) => None,
        }
    }

    /// A failure to convert what is to be found at `place`.
    fn encode(place: impl FnOnce() -> String) -> impl FnOnce(Failure) -> Self {
        move |failure| match failure {
            Failure::Value(what) => Error::Encode {
                place: place(),
                what: *what,
            },
            Failure::Python(raised) => Error::Exception(raised.into_error(&place())),
        }
    }

    pub fn decode(failure: Failure) -> Self {
        match failure {
            Failure::Value(what) => Error::Decode(*what),
            Failure::Python(raised) => Error::Exception(raised.into_error("the result")),
        }
    }

    /// The reason as Elixir knows it.
    pub fn into_term<'a>(self, py: Python<'_>, env: Env<'a>, keep_locals: bool) -> Term<'a> {
        match self {
            Error::Encode { place, what } => {
                let tag = if what.is_struct {
                    atoms::encode_struct()
                } else {
                    atoms::encode()
                };
                (tag, what.reason.as_str(), place, what.path()).encode(env)
            }
            Error::Decode(what) => (atoms::decode(), what.reason.as_str(), what.path()).encode(env),
            Error::Exception(error) => exception::to_term(py, env, &error, keep_locals),
            Error::At(index, error) => (
                atoms::error(),
                index as u64,
                error.into_term(py, env, keep_locals),
            )
                .encode(env),
            Error::BadRequest(text) => (atoms::bad_request(), text).encode(env),
        }
    }
}

/// How many elements an operation has at most, its tag among them.
const MOST_OPERANDS: usize = 5;

/// The elements of an operation's tuple.
struct Operands<'r> {
    terms: [Term<'r>; MOST_OPERANDS],
    count: usize,
}

impl<'r> Operands<'r> {
    /// None if it is no tuple, or one with more elements than any operation has.
    fn of(tuple: Term<'r>) -> Option<Self> {
        let env = tuple.get_env();
        let (mut count, mut first) = (0, std::ptr::null());
        // SAFETY: a valid term of a valid environment; the elements are the environment's.
        let elements = unsafe {
            if enif_get_tuple(env.as_c_arg(), tuple.as_c_arg(), &mut count, &mut first) == 0
                || count == 0
            {
                return None;
            }
            std::slice::from_raw_parts(first, usize::try_from(count).ok()?)
        };
        let mut terms = [tuple; MOST_OPERANDS];
        let places = terms.get_mut(..elements.len())?;
        for (place, &element) in places.iter_mut().zip(elements) {
            // SAFETY: an element of a tuple belongs to the environment of the tuple.
            *place = unsafe { Term::new(env, element) };
        }
        Some(Operands {
            terms,
            count: elements.len(),
        })
    }
}

impl<'r> std::ops::Deref for Operands<'r> {
    type Target = [Term<'r>];

    fn deref(&self) -> &[Term<'r>] {
        &self.terms[..self.count]
    }
}

/// One request at work.
pub struct Work<'py, 's, 'r, 'a> {
    pub py: Python<'py>,
    pub helpers: &'static Helpers,
    pub request: &'s Arc<Request>,
    /// Where the answer is built.
    pub env: Env<'a>,
    /// The operation's arguments.
    pub operands: &'s [Term<'r>],
    pub isolated: &'s Isolated<'py>,
    /// Whether somebody still waits for the answer.
    wanted: &'s dyn Fn() -> bool,
    leftovers: &'s Leftovers,
    pub touched: &'s Touched<'r>,
}

/// Performs an operation, whatever comes of it: exceptions, values that cannot cross and even
/// panics of ours are answers.
pub fn perform(
    request: &Arc<Request>,
    operation: Term<'_>,
    reply: &mut TermEnv,
    isolated: &Isolated<'_>,
) -> Outcome {
    let leftovers = Leftovers::default();
    let (built, failed) = answer(isolated, request, operation, reply.env(), &leftovers);
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
    match answer(isolated, request, operation, env, &Leftovers::default()) {
        (Built::InReply(answer), failed) => (answer.load(env), failed),
        (Built::Elsewhere(own, answer), failed) => (own.term(answer).in_env(env), failed),
    }
}

/// An answer, in the reply's environment or in another that is to take its place.
pub enum Answer<'a> {
    Here(Term<'a>),
    Elsewhere(TermEnv, SavedTerm),
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
) -> (Built, bool) {
    let py = isolated.py();
    let touched = Touched::default();
    let answer = answer_only(isolated, request, operation, env, leftovers, &touched);
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
) -> (Built, bool) {
    let py = isolated.py();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let operation =
            Operands::of(operation).ok_or(Error::BadRequest("an operation is a tuple"))?;
        let [tag, operands @ ..] = &*operation else {
            return Err(Error::BadRequest("an operation has a tag"));
        };
        let tag: Atom = tag
            .decode()
            .map_err(|_| Error::BadRequest("an operation's tag is an atom"))?;
        let helpers = helpers::get().ok_or(Error::BadRequest("the interpreter has not started"))?;
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
        work.dispatch(tag)
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

impl<'py, 's, 'r, 'a> Work<'py, 's, 'r, 'a> {
    fn dispatch(&self, tag: Atom) -> Result<Answer<'a>, Error> {
        if let (Some(stream), Some(items)) = (Stream::of(self.request), items::of(self.request)) {
            return if tag == atoms::close() {
                fill::close(self, stream, items)
            } else {
                fill::fill(self, stream, items)
            };
        }
        let answer = if tag == atoms::call() || tag == atoms::eval() {
            self.value(self.result(tag)?)
        } else if tag == atoms::exec() {
            self.exec()?;
            Ok(atoms::ok().to_term(self.env))
        } else if tag == atoms::map() {
            self.map()
        } else if tag == atoms::stream() {
            self.stream()
        } else if tag == atoms::convert() {
            self.value(self.convert()?)
        } else if tag == atoms::describe() {
            self.describe()
        } else {
            Err(Error::BadRequest("there is no operation of this name"))
        };
        answer.map(Answer::Here)
    }

    /// What a call or an eval gives.
    fn result(&self, tag: Atom) -> Result<Bound<'py, PyAny>, Error> {
        if tag == atoms::call() {
            self.call()
        } else {
            self.eval()
        }
    }

    /// `{:stream, max_items, max_wait, prefetch, call_or_eval}`: `{:ok, consumer}`.
    fn stream(&self) -> Result<Term<'a>, Error> {
        let &[max_items, max_wait, prefetch, source] = self.operands else {
            return Err(Error::BadRequest("a stream has four operands"));
        };
        let number = |term: Term<'r>| {
            term.decode::<u64>()
                .map_err(|_| Error::BadRequest("a stream's limits are numbers"))
        };
        let limits = Limits {
            max_items: number(max_items)? as usize,
            max_wait: Duration::from_millis(number(max_wait)?),
            prefetch: number(prefetch)? as usize,
        };
        let source = Operands::of(source).ok_or(Error::BadRequest("a source is a tuple"))?;
        let [tag, operands @ ..] = &*source else {
            return Err(Error::BadRequest("a source has a tag"));
        };
        let tag: Atom = tag
            .decode()
            .map_err(|_| Error::BadRequest("a source's tag is an atom"))?;
        let object = Work { operands, ..*self }.result(tag)?;
        fill::open(self, &object, limits)
    }

    /// `{:ok, value}`
    fn value(&self, object: Bound<'py, PyAny>) -> Result<Term<'a>, Error> {
        child::end_if_child(self.py);
        let mut decoder = self.decoder();
        let value = if self.request.flags.return_object() {
            decoder.object(&object)
        } else {
            decoder.value(&object).map_err(Error::decode)?
        };
        if value.is_map() {
            self.touched.result(&object);
        }
        if decoder.leaves_much() {
            self.leftovers.add(object);
        }
        Ok((atoms::ok(), value).encode(self.env))
    }

    pub fn decoder(&self) -> Decoder<'py, 'a, 's> {
        Decoder::with_flags(self.py, self.env, self.request.flags).while_wanted(self.wanted)
    }

    /// `{:call, target, name, arguments, keywords}`
    fn call(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[target, name, arguments, keywords] = self.operands else {
            return Err(Error::BadRequest("a call has four operands"));
        };
        let callable = self.callable(target, name)?;
        let mut encoder = Encoder::new(self.py);
        let arguments = self.arguments(&mut encoder, arguments)?;
        let keywords = self.keywords(&mut encoder, keywords)?;
        self.touched.extend(std::mem::take(&mut encoder.handles));
        let result = arguments.apply(&callable, keywords.as_ref());
        if encoder.leaves_much() {
            arguments
                .into_objects()
                .for_each(|object| self.leftovers.add(object));
        }
        Ok(result?)
    }

    /// `{:map, target, name, lists_of_arguments, keywords}`
    fn map(&self) -> Result<Term<'a>, Error> {
        let &[target, name, calls, keywords] = self.operands else {
            return Err(Error::BadRequest("a map has four operands"));
        };
        let callable = self.callable(target, name)?;
        let mut encoder = Encoder::new(self.py);
        let keywords = self.keywords(&mut encoder, keywords)?;
        let calls: Vec<Term<'r>> = calls
            .decode()
            .map_err(|_| Error::BadRequest("the calls are a list"))?;
        // All arguments before the first call: nothing is run if one of them cannot cross.
        let calls = calls
            .into_iter()
            .enumerate()
            .map(|(index, arguments)| {
                self.arguments(&mut encoder, arguments)
                    .map_err(|error| Error::At(index, Box::new(error)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.touched.extend(std::mem::take(&mut encoder.handles));
        let mut results = Vec::with_capacity(calls.len());
        for (index, arguments) in calls.into_iter().enumerate() {
            self.go_on()?;
            let result = arguments
                .apply(&callable, keywords.as_ref())
                .map_err(Error::from)
                .and_then(|result| {
                    if self.request.flags.return_object() {
                        Ok(self.decoder().object(&result))
                    } else {
                        self.decoder().value(&result).map_err(Error::decode)
                    }
                })
                .map_err(|error| Error::At(index, Box::new(error)))?;
            results.push(result);
        }
        Ok((atoms::ok(), results).encode(self.env))
    }

    /// `{:eval, source, variables, place}`
    fn eval(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[source, variables, place] = self.operands else {
            return Err(Error::BadRequest("an eval has three operands"));
        };
        let source = self.source(source)?;
        let place = self.place(place)?;
        let mut names = Vec::new();
        let mut values = Vec::new();
        let variables: rustler::MapIterator = variables
            .decode()
            .map_err(|_| Error::BadRequest("variables are a map"))?;
        let mut encoder = Encoder::new(self.py);
        for (key, value) in variables {
            let name = crate::python::convert::name_text(key).ok_or(Error::BadRequest(
                "a variable's name is an atom or a string",
            ))?;
            let value = encoder
                .value(value)
                .map_err(Error::encode(|| format!("variable {name}")))?;
            names.push(name);
            values.push(value);
        }
        self.touched.extend(std::mem::take(&mut encoder.handles));
        // Before it is compiled: then a function is made that sees them.
        let main = namespace::names_for_code(self.py, self.helpers, self.own())?;
        let code = code::compiled(self.py, self.helpers, Kind::Eval, source, &names, place)?;
        if names.is_empty() {
            self.run(&code, &main)
        } else {
            let values = pyo3::types::PyTuple::new(self.py, values)?;
            let function = match self.namespace() {
                Some(_) => namespace::rebound(&code, &main)?,
                None => code,
            };
            Ok(Arguments::Many(values.into_any()).apply(&function, None)?)
        }
    }

    /// `{:exec, source, place}`
    fn exec(&self) -> Result<(), Error> {
        let &[source, place] = self.operands else {
            return Err(Error::BadRequest("an exec has two operands"));
        };
        let source = self.source(source)?;
        let place = self.place(place)?;
        let code = code::compiled(self.py, self.helpers, Kind::Exec, source, &[], place)?;
        let main = namespace::names_for_code(self.py, self.helpers, self.own())?;
        self.run(&code, &main).map(drop)
    }

    /// `{:convert, value}`: the value as it is in Python.
    fn convert(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[value] = self.operands else {
            return Err(Error::BadRequest("a convert has one operand"));
        };
        let mut encoder = Encoder::new(self.py);
        let value = encoder
            .value(value)
            .map_err(Error::encode(|| "the value".into()))?;
        self.touched.extend(std::mem::take(&mut encoder.handles));
        Ok(value)
    }

    /// `{:describe, object, limit}`: its class and its text, `{:ok, {class, text}}`.
    fn describe(&self) -> Result<Term<'a>, Error> {
        let &[object, limit] = self.operands else {
            return Err(Error::BadRequest("a describe has two operands"));
        };
        let object = self.handle(object)?;
        let limit: usize = limit
            .decode()
            .map_err(|_| Error::BadRequest("a limit is a number"))?;
        let described = self
            .helpers
            .represent
            .bind(self.py)
            .call1((object, limit))?;
        let described = self.decoder().value(&described).map_err(Error::decode)?;
        Ok((atoms::ok(), described).encode(self.env))
    }

    /// Ends a loop of ours when nobody waits for its result any more. Python's own loops are ended
    /// by an exception, which takes effect between two bytecodes; calls of C functions have none.
    pub fn go_on(&self) -> Result<(), Error> {
        child::end_if_child(self.py);
        if self.request.is_over() {
            Err(Error::BadRequest("the request was cancelled"))
        } else {
            Ok(())
        }
    }

    /// The object of a `%Python.Object{}`'s reference.
    pub fn handle(&self, reference: Term<'r>) -> Result<Bound<'py, PyAny>, Error> {
        let handle = object::of_reference(reference);
        handle
            .inspect(|handle| self.touched.add(*handle))
            .and_then(|handle| handle.object(self.py))
            .ok_or(Error::BadRequest("this is no handle to a Python object"))
    }

    /// What is to be called; with the name `nil` the target itself.
    fn callable(&self, target: Term<'r>, name: Term<'r>) -> Result<Bound<'py, PyAny>, Error> {
        let object = if target.is_ref() {
            let object = self.handle(target)?;
            if atoms::nil() == name {
                return Ok(object);
            }
            object
        } else {
            let module = names::name(self.py, target)?.ok_or(Error::BadRequest(
                "a target is a module's name or an object",
            ))?;
            if module.is_main {
                return self.callable_of_main(name);
            }
            module.module(self.py, self.helpers.modules.bind(self.py))?
        };
        Ok(self.name(name)?.attribute(object)?)
    }

    /// Not by way of `sys.modules`: somebody may have put another module in its place.
    fn callable_of_main(&self, name: Term<'r>) -> Result<Bound<'py, PyAny>, Error> {
        let name = self.name(name)?;
        let found = match self.namespace() {
            Some(main) => name.attribute(main.into_any()),
            None => {
                let main = self.helpers.main.bind(self.py).clone();
                name.attribute_of_main(main.into_any(), self.helpers.main_names.bind(self.py))
            }
        };
        Ok(found?)
    }

    fn name(&self, name: Term<'r>) -> Result<names::Found, Error> {
        names::name(self.py, name)?.ok_or(Error::BadRequest("a name is an atom or a string"))
    }

    fn arguments(
        &self,
        encoder: &mut Encoder<'py, 'r>,
        arguments: Term<'r>,
    ) -> Result<Arguments<'py>, Error> {
        encoder
            .arguments(arguments)
            .map_err(Error::encode(|| "arguments".into()))
    }

    fn keywords(
        &self,
        encoder: &mut Encoder<'py, 'r>,
        keywords: Term<'r>,
    ) -> Result<Option<Bound<'py, PyAny>>, Error> {
        encoder
            .keywords(keywords)
            .map_err(Error::encode(|| "keyword arguments".into()))
    }

    fn own(&self) -> Option<&'s Namespace> {
        own::namespace(&self.request.pool)
    }

    /// The `__main__` of the context that this runs in, if it is one.
    fn namespace(&self) -> Option<Bound<'py, PyModule>> {
        self.own()?.module(self.py)
    }

    /// Runs a code object in `__main__`.
    fn run(
        &self,
        code: &Bound<'py, PyAny>,
        main: &Bound<'py, PyDict>,
    ) -> Result<Bound<'py, PyAny>, Error> {
        let main = main.as_ptr();
        // SAFETY: the GIL is held; a code object and a dict. A new reference, or null with an
        // exception set.
        let result = unsafe {
            let result = ffi::PyEval_EvalCode(code.as_ptr(), main, main);
            Bound::from_owned_ptr_or_err(self.py, result)
        };
        Ok(result?)
    }

    /// `nil` or `{file, line}`, where code stands.
    fn place(&self, place: Term<'r>) -> Result<Place<'r>, Error> {
        if place.is_atom() {
            return Ok(Place::default());
        }
        let (file, line): (Option<&'r str>, u32) = place
            .decode()
            .map_err(|_| Error::BadRequest("a place is a file and a line"))?;
        Ok(Place { file, line })
    }

    fn source(&self, source: Term<'r>) -> Result<&'r str, Error> {
        let binary: rustler::Binary<'r> = source
            .decode()
            .map_err(|_| Error::BadRequest("code is a binary"))?;
        std::str::from_utf8(binary.as_slice()).map_err(|error| Error::Encode {
            place: "code".into(),
            what: Unconvertible::new(format!(
                "Python code is UTF-8, which this is not from byte {} on",
                error.valid_up_to()
            )),
        })
    }
}
