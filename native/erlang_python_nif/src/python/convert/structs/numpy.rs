//! numpy's scalars.

use super::Result;
use crate::python::classes::Numpy;
use crate::python::convert::Decoder;
use crate::python::current;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyType};
use rustler::Term;

/// None if it is not imported: then what calls itself numpy's is not.
fn numpy(py: Python<'_>) -> PyResult<&'static Numpy> {
    if let Some(numpy) = current::get().classes.numpy.get() {
        return Ok(numpy);
    }
    let numpy = py.import("sys")?.getattr("modules")?.get_item("numpy")?;
    let class = |name: &str| -> PyResult<Py<PyType>> {
        Ok(numpy.getattr(name)?.cast_into::<PyType>()?.unbind())
    };
    let numpy = Numpy {
        numbers: [class("number")?, class("bool_")?],
        timedelta: class("timedelta64")?,
        datetime: class("datetime64")?,
        isnat: numpy.getattr("isnat")?.unbind(),
        item: numpy.getattr("generic")?.getattr("item")?.unbind(),
    };
    Ok(current::get().classes.numpy.get_or_init(|| numpy))
}

/// The term for a scalar that is a number, or a missing date or span of time. None for others.
pub fn to_term<'py, 'a>(
    decoder: &mut Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
) -> Result<Option<Term<'a>>> {
    let py = object.py();
    // Anybody can write numpy's name into a class, whether there is a numpy or not.
    let Ok(numpy) = numpy(py) else {
        return Ok(None);
    };
    let class = object.get_type();
    let is_a = |base: &Py<PyType>| class.is_subclass(base.bind(py));
    if is_a(&numpy.timedelta)? || is_a(&numpy.datetime)? {
        let missing = numpy.isnat.bind(py).call1((object,))?.is_truthy()?;
        return Ok(missing.then(|| decoder.none().to_term(decoder.env())));
    }
    if !(is_a(&numpy.numbers[0])? || is_a(&numpy.numbers[1])?) {
        return Ok(None);
    }
    let item = numpy.item.bind(py).call1((object,))?;
    // The items of others are complex, or as wide as no number of Python's is.
    if item.is_exact_instance_of::<PyInt>()
        || item.is_exact_instance_of::<PyFloat>()
        || item.is_exact_instance_of::<PyBool>()
    {
        decoder.value(&item).map(Some)
    } else {
        Ok(None)
    }
}
