//! What a request asks of Python: resolve, convert, call, convert back.

use crate::base::atoms;
use crate::base::operands::Operands;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::engine::main::error::Error;
use crate::engine::main::fill;
use crate::engine::main::isolation::Isolated;
use crate::engine::main::items;
use crate::engine::main::own;
use crate::engine::main::seat;
use crate::pool::request::Request;
use crate::pool::stream::{Consumer, Limits, Stream};
use crate::python::arguments::Arguments;
use crate::python::child;
use crate::python::code::{Kind, Place};
use crate::python::convert::{Decoder, Encoder, Form, Unconvertible, array_from, table_from};
use crate::python::current;
use crate::python::growth::Touched;
use crate::python::helpers::Helpers;
use crate::python::names;
use crate::python::namespace::{self, Namespace};
use crate::python::object;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// An answer, in the reply's environment or in another that is to take its place.
pub enum Answer<'a> {
    Here(Term<'a>),
    Elsewhere(TermEnv, SavedTerm),
}

/// What is left of a request when its answer is on its way.
#[derive(Default)]
pub struct Leftovers {
    /// Arguments and results of calls that take long to free. Nobody notices when that is: it runs no
    /// other code.
    objects: RefCell<Vec<Py<PyAny>>>,
    /// The stream that it has opened.
    opened: Cell<Option<Arc<Stream>>>,
}

impl Leftovers {
    fn add(&self, object: Bound<'_, PyAny>) {
        self.objects.borrow_mut().push(object.unbind());
    }

    pub fn opened(&self, consumer: &Consumer) {
        self.opened.set(Some(Arc::clone(&consumer.0)));
    }

    /// The answer has been sent. The first chunk of a stream is what its consumer asks for next.
    pub fn sent(&self, sender: Sender) {
        if let Some(stream) = self.opened.take() {
            stream.prefetch(sender);
        }
    }
}

/// Calls of one function.
pub struct Calls<'py> {
    pub callable: Bound<'py, PyAny>,
    pub arguments: Vec<Arguments<'py>>,
    pub keywords: Option<Bound<'py, PyAny>>,
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
    pub wanted: &'s dyn Fn() -> bool,
    pub leftovers: &'s Leftovers,
    pub touched: &'s Touched<'r>,
}

impl<'py, 's, 'r, 'a> Work<'py, 's, 'r, 'a> {
    pub fn dispatch(&self, tag: Atom) -> Result<Answer<'a>, Error> {
        if let (Some(stream), Some(items)) = (Stream::of(self.request), items::of(self.request)) {
            return if tag == atoms::close() {
                fill::close(self, stream, items)
            } else {
                fill::fill(self, stream, items)
            };
        }
        // Numbers that are compared one after the other, the most frequent first: the enums that rustler derives are
        // such a chain too, and would be matched once more.
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
        } else if tag == atoms::array_of() {
            self.array()
        } else if tag == atoms::table_of() {
            self.table()
        } else {
            Err(Error::BadRequest("unknown operation"))
        };
        answer.map(Answer::Here)
    }

    /// What a call or an eval gives.
    pub fn result(&self, tag: Atom) -> Result<Bound<'py, PyAny>, Error> {
        if tag == atoms::call() {
            self.call()
        } else {
            self.eval()
        }
    }

    /// `{:stream, max_items, max_wait, prefetch, call_or_eval}`: `{:ok, consumer}`.
    fn stream(&self) -> Result<Term<'a>, Error> {
        let (object, limits) = self.source_of_stream()?;
        fill::open(self, &object, limits)
    }

    /// What a stream is to have its items from.
    pub fn source_of_stream(&self) -> Result<(Bound<'py, PyAny>, Limits), Error> {
        let &[max_items, max_wait, prefetch, source] = self.operands else {
            return Err(Error::BadRequest("expected four operands of a stream"));
        };
        let number = |term: Term<'r>| {
            term.decode::<u64>()
                .map_err(|_| Error::BadRequest("expected the limits of a stream to be numbers"))
        };
        let limits = Limits {
            max_items: number(max_items)? as usize,
            max_wait: Duration::from_millis(number(max_wait)?),
            prefetch: number(prefetch)? as usize,
        };
        let source = Operands::of(source).ok_or(Error::BadRequest("expected a source, a tuple"))?;
        let [tag, operands @ ..] = &*source else {
            return Err(Error::BadRequest("expected a source with a tag"));
        };
        let tag: Atom = tag
            .decode()
            .map_err(|_| Error::BadRequest("expected the tag of a source to be an atom"))?;
        let object = Work { operands, ..*self }.result(tag)?;
        Ok((object, limits))
    }

    /// `{:ok, value}`
    pub fn value(&self, object: Bound<'py, PyAny>) -> Result<Term<'a>, Error> {
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
            return Err(Error::BadRequest("expected four operands of a call"));
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
        let calls = self.calls()?;
        let mut results = Vec::with_capacity(calls.arguments.len());
        for (index, arguments) in calls.arguments.into_iter().enumerate() {
            self.go_on()?;
            let result = arguments
                .apply(&calls.callable, calls.keywords.as_ref())
                .map_err(Error::from)
                .and_then(|result| self.item(&result))
                .map_err(|error| Error::At(index, Box::new(error)))?;
            results.push(result);
        }
        Ok((atoms::ok(), results).encode(self.env))
    }

    /// The calls of a `:map`.
    pub fn calls(&self) -> Result<Calls<'py>, Error> {
        let &[target, name, calls, keywords] = self.operands else {
            return Err(Error::BadRequest("expected four operands of a map"));
        };
        let callable = self.callable(target, name)?;
        let mut encoder = Encoder::new(self.py);
        let keywords = self.keywords(&mut encoder, keywords)?;
        let calls: Vec<Term<'r>> = calls
            .decode()
            .map_err(|_| Error::BadRequest("expected a list of calls"))?;
        // All arguments before the first call: nothing is run if one of them cannot cross.
        let arguments = calls
            .into_iter()
            .enumerate()
            .map(|(index, arguments)| {
                self.arguments(&mut encoder, arguments)
                    .map_err(|error| Error::At(index, Box::new(error)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.touched.extend(std::mem::take(&mut encoder.handles));
        Ok(Calls {
            callable,
            arguments,
            keywords,
        })
    }

    /// One of the results of a `:map`.
    pub fn item(&self, result: &Bound<'py, PyAny>) -> Result<Term<'a>, Error> {
        if self.request.flags.return_object() {
            Ok(self.decoder().object(result))
        } else {
            self.decoder().value(result).map_err(Error::decode)
        }
    }

    /// `{:eval, source, variables, place}`
    fn eval(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[source, variables, place] = self.operands else {
            return Err(Error::BadRequest("expected three operands of an eval"));
        };
        let source = self.source(source)?;
        let place = self.place(place)?;
        let mut names = Vec::new();
        let mut values = Vec::new();
        let variables: rustler::MapIterator = variables
            .decode()
            .map_err(|_| Error::BadRequest("expected variables as a map"))?;
        let mut encoder = Encoder::new(self.py);
        for (key, value) in variables {
            let Some(name) = crate::python::convert::name_text(key) else {
                return Err(Error::BadRequest(
                    "expected the name of a variable, an atom or a string",
                ));
            };
            let value = encoder
                .value(value)
                .map_err(Error::encode(|| format!("variable {name}")))?;
            names.push(name);
            values.push(value);
        }
        self.touched.extend(std::mem::take(&mut encoder.handles));
        // Before it is compiled: then a function is made that sees them.
        let main = namespace::names_for_code(self.py, self.helpers, self.own())?;
        let kind = if seat::is_loop() {
            Kind::EvalInLoop
        } else {
            Kind::Eval
        };
        let code =
            current::get()
                .code
                .compiled(self.py, self.helpers, kind, source, &names, place)?;
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

    /// `{:exec, source, place}`: in an event loop it may give a coroutine.
    pub fn exec(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[source, place] = self.operands else {
            return Err(Error::BadRequest("expected two operands of an exec"));
        };
        let source = self.source(source)?;
        let place = self.place(place)?;
        let kind = if seat::is_loop() {
            Kind::ExecInLoop
        } else {
            Kind::Exec
        };
        let code = current::get()
            .code
            .compiled(self.py, self.helpers, kind, source, &[], place)?;
        let main = namespace::names_for_code(self.py, self.helpers, self.own())?;
        self.run(&code, &main)
    }

    /// `{:convert, value}`: the value as it is in Python.
    fn convert(&self) -> Result<Bound<'py, PyAny>, Error> {
        let &[value] = self.operands else {
            return Err(Error::BadRequest("expected one operand of a convert"));
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
            return Err(Error::BadRequest("expected two operands of a describe"));
        };
        let object = self.handle(object)?;
        let limit: usize = limit
            .decode()
            .map_err(|_| Error::BadRequest("expected the limit to be a number"))?;
        let described = self
            .helpers
            .represent
            .bind(self.py)
            .call1((object, limit))?;
        let described = self.decoder().value(&described).map_err(Error::decode)?;
        Ok((atoms::ok(), described).encode(self.env))
    }

    /// `{:array_of, object, shares}`: the items of an array, `{:ok, %Python.Array{}}`.
    fn array(&self) -> Result<Term<'a>, Error> {
        let &[object, shares] = self.operands else {
            return Err(Error::BadRequest("expected two operands of an array"));
        };
        let object = self.handle(object)?;
        let array = array_from(&self.decoder(), &object, atoms::true_() == shares);
        let array = array.map_err(Error::decode)?;
        Ok((atoms::ok(), array).encode(self.env))
    }

    /// `{:table_of, object, rows, nan_is_nil}`: the columns or the rows of a data frame, `{:ok, list}`.
    fn table(&self) -> Result<Term<'a>, Error> {
        let &[object, rows, nan_is_nil] = self.operands else {
            return Err(Error::BadRequest("expected three operands of a table"));
        };
        let object = self.handle(object)?;
        let form = Form {
            rows: atoms::true_() == rows,
            nan_is_nil: atoms::true_() == nan_is_nil,
            settings: self.request.flags.settings(),
        };
        let table = table_from(&mut self.decoder(), &object, form, self.wanted);
        Ok((atoms::ok(), table.map_err(Error::decode)?).encode(self.env))
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
        if let Some(handle) = object::of_reference(reference) {
            self.touched.add(handle);
            if let Some(object) = handle.object(self.py) {
                return Ok(object);
            }
        }
        Err(Error::BadRequest(
            "expected a handle to an object in the Python that the call runs in, got one of a pool or context with another \
             engine, or one that Python did not return. Leave out :pool and :context, so that the call runs where the \
             object is, or convert the object with Python.to_term/2",
        ))
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
            let Some(module) = self.names().name(self.py, target)? else {
                return Err(Error::BadRequest(
                    "expected the name of a module or an object as the target",
                ));
            };
            if module.is_main {
                return self.callable_of_main(name);
            }
            module.module(self.py, self.helpers)?
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

    fn names(&self) -> &'static names::Names {
        &current::get().names
    }

    fn name(&self, name: Term<'r>) -> Result<names::Found, Error> {
        match self.names().name(self.py, name)? {
            Some(name) => Ok(name),
            None => Err(Error::BadRequest("expected a name, an atom or a string")),
        }
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
            .map_err(|_| Error::BadRequest("expected a place, a file and a line"))?;
        Ok(Place { file, line })
    }

    fn source(&self, source: Term<'r>) -> Result<&'r str, Error> {
        let binary: rustler::Binary<'r> = source
            .decode()
            .map_err(|_| Error::BadRequest("expected Python code, a binary"))?;
        std::str::from_utf8(binary.as_slice()).map_err(|error| Error::Encode {
            place: "code".into(),
            what: Unconvertible::new(format!(
                "expected Python code in UTF-8, got: invalid UTF-8 at byte {}",
                error.valid_up_to()
            )),
        })
    }
}
