//! Tables: the columns or the rows of a data frame, from Arrow's C stream interface or from what the library has.
//!
//! What a frame has is found out in `priv/python/erlang/_frames.py`; the cells are converted here.

mod arrow;
mod cells;
mod columns;
mod half;
mod lists;
mod types;

use self::arrow::{Array, Stream};
use self::columns::{Cells, Style};
use self::half::{brain, half};
use self::types::{Kind, Type, Unit};
use super::structs::array_items;
use super::unconvertible::answered;
use super::{Decoder, Failure, Step, Unconvertible};
use crate::python::current;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rustler::sys::ErlNifTerm;
use rustler::{Encoder as _, Env, Term};
use std::collections::HashSet;
use std::ops::Range;

type Result<T> = std::result::Result<T, Failure>;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Form {
    /// A list of maps; else a list of names with their items.
    pub rows: bool,
    /// NaN is nil.
    pub nan_is_nil: bool,
    /// The bits of the option `:decode`.
    pub settings: u16,
}

impl Form {
    fn style(self) -> Style {
        // As `lib/python/decode.ex` has them.
        let span = match self.settings >> 4 & 7 {
            2 => 1_000,
            3 => 1,
            _ => 1_000_000,
        };
        Style {
            nan_is_nil: self.nan_is_nil,
            span: Unit(span),
        }
    }
}

/// The cells of a frame, as it is asked for.
pub fn from<'py, 'a>(
    decoder: &mut Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
    form: Form,
    wanted: &dyn Fn() -> bool,
) -> Result<Term<'a>> {
    let py = object.py();
    let known = &current::get().classes.frames;
    let described = match known.get() {
        Some(described) => described,
        None => {
            let described = py.import("erlang._frames")?.getattr("described")?;
            known.get_or_init(|| described.unbind())
        }
    };
    let described = answered(described.bind(py).call1((object,))?)?;
    let env = decoder.env();
    let mut cells = Cells::new(env, form.style(), wanted);
    let Ok(list) = described.cast_exact::<PyList>() else {
        let mut table = Table::new(form.rows);
        read(&described, &mut cells, &mut table)?;
        return table.term(&cells);
    };
    let mut table = Table::new(form.rows);
    let mut all = Vec::with_capacity(list.len());
    let mut names = Vec::with_capacity(list.len());
    for column in list {
        let column = column.cast_into::<PyTuple>().map_err(PyErr::from)?;
        let name: String = column.get_item(0)?.extract()?;
        let terms = self::column(decoder, &mut cells, &column)
            .map_err(|failure| failure.inside(|| Step::text(&name)))?;
        all.push(Column::Terms(terms));
        names.push(name);
    }
    table.name(&names, &mut cells)?;
    table.add(all, &cells)?;
    table.term(&cells)
}

/// The terms of one column: `(name, kind, items, unit)`.
fn column<'py>(
    decoder: &mut Decoder<'py, '_, '_>,
    cells: &mut Cells<'_, '_>,
    column: &Bound<'py, PyTuple>,
) -> Result<Vec<ErlNifTerm>> {
    let kind: String = column.get_item(1)?.extract()?;
    let items = column.get_item(2)?;
    let unit: Option<String> = column.get_item(3)?.extract()?;
    match &*kind {
        "numbers" => numbers(cells, &items),
        "moments" | "utc" | "spans" => {
            let unit = unit.as_deref().and_then(Unit::of);
            let unit =
                unit.ok_or_else(|| Unconvertible::new("the unit of this column is not known"))?;
            let (_, _, bytes) = array_items(&items)?;
            let (values, _) = bytes.as_chunks::<8>();
            cells.count(values.len())?;
            let mut terms = Vec::with_capacity(values.len());
            for value in values {
                terms.push(match i64::from_ne_bytes(*value) {
                    // NaT
                    i64::MIN => cells.nil(),
                    value if kind == "spans" => cells.span(value, unit)?,
                    value => cells.moment(value, unit, kind == "utc")?,
                });
            }
            Ok(terms)
        }
        "arrow" => {
            let mut table = Table::new(false);
            read(&items, cells, &mut table)?;
            Ok(table
                .columns
                .pop()
                .map_or_else(Vec::new, |column| column.terms(cells)))
        }
        _ => {
            let items = items.cast_into::<PyList>().map_err(PyErr::from)?;
            cells.count(items.len())?;
            let mut terms = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                let term = decoder
                    .value(&item)
                    .map_err(|failure| failure.inside(|| Step::Index(at)))?;
                terms.push(term.as_c_arg());
            }
            Ok(terms)
        }
    }
}

/// The terms of numpy's numbers.
fn numbers(cells: &mut Cells<'_, '_>, items: &Bound<'_, PyAny>) -> Result<Vec<ErlNifTerm>> {
    let (letter, size, bytes) = array_items(items)?;
    cells.count(bytes.len() / size)?;
    macro_rules! each {
        ($type:ty, $term:expr) => {
            bytes
                .as_chunks::<{ size_of::<$type>() }>()
                .0
                .iter()
                .map(|item| $term(<$type>::from_ne_bytes(*item)))
                .collect()
        };
    }
    Ok(match (letter, size) {
        ('b', _) => bytes.iter().map(|item| cells.boolean(*item != 0)).collect(),
        ('i', 1) => each!(i8, |value: i8| cells.integer(value.into())),
        ('i', 2) => each!(i16, |value: i16| cells.integer(value.into())),
        ('i', 4) => each!(i32, |value: i32| cells.integer(value.into())),
        ('i', _) => each!(i64, |value| cells.integer(value)),
        ('u', 1) => each!(u8, |value: u8| cells.integer(value.into())),
        ('u', 2) => each!(u16, |value: u16| cells.integer(value.into())),
        ('u', 4) => each!(u32, |value: u32| cells.integer(value.into())),
        ('u', _) => each!(u64, |value| cells.unsigned(value)),
        ('f', 2) => each!(u16, |value| cells.float(half(value))),
        ('f', 4) => each!(f32, |value: f32| cells.float(value.into())),
        ('f', _) => each!(f64, |value| cells.float(value)),
        ('B', _) => each!(u16, |value| cells.float(brain(value))),
        _ => {
            return Err(Unconvertible::new(
                "numbers of this kind have no counterpart in Elixir; convert the column in Python",
            )
            .into());
        }
    })
}

/// Adds all batches of a stream in a capsule to a table. Without the GIL: the stream may compute for long.
fn read(capsule: &Bound<'_, PyAny>, cells: &mut Cells<'_, '_>, table: &mut Table) -> Result<()> {
    const NAME: &std::ffi::CStr = c"arrow_array_stream";
    // SAFETY: the GIL is held; Python checks that it is a capsule of this name.
    let stream = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), NAME.as_ptr()) };
    if stream.is_null() {
        return Err(PyErr::fetch(capsule.py()).into());
    }
    let reading = Reading {
        stream: stream.cast(),
        cells,
        table,
    };
    capsule.py().detach(move || reading.run())
}

struct Reading<'t, 'a, 'w> {
    stream: *mut Stream,
    cells: &'t mut Cells<'a, 'w>,
    table: &'t mut Table,
}

// SAFETY: it is run by the thread that has made it, which has the environment and the stream to itself. The capsule is
// held meanwhile.
unsafe impl Send for Reading<'_, '_, '_> {}

impl Reading<'_, '_, '_> {
    fn run(mut self) -> Result<()> {
        let failed = |text: String| Unconvertible::new(format!("the table cannot be read: {text}"));
        // SAFETY: the stream of a capsule that is held, and that nobody else reads.
        unsafe {
            let stream = &mut *self.stream;
            let schema = Type::of(&*stream.schema().map_err(failed)?)?;
            if schema.kind != Kind::Struct {
                return Err(Unconvertible::new(
                    "expected a table, got: a single column; make a table of it in Python first",
                )
                .into());
            }
            let names: Vec<String> = schema
                .children
                .iter()
                .map(|child| child.name.clone())
                .collect();
            self.table.name(&names, self.cells)?;
            while let Some(batch) = stream.next().map_err(failed)? {
                let rows = batch.offset.max(0) as usize;
                let rows = rows..rows + batch.length.max(0) as usize;
                let mut columns = Vec::with_capacity(names.len());
                for (at, of) in schema.children.iter().enumerate() {
                    let array = batch
                        .child(at)
                        .ok_or_else(|| failed("a column is missing".into()))?;
                    let column = self
                        .column(of, array, rows.clone())
                        .map_err(|failure| failure.inside(|| Step::text(&of.name)))?;
                    columns.push(column);
                }
                self.table.add(columns, self.cells)?;
            }
        }
        Ok(())
    }

    /// # Safety
    ///
    /// The array is of this type, and has these items.
    unsafe fn column(&mut self, of: &Type, array: &Array, rows: Range<usize>) -> Result<Column> {
        // SAFETY: as this function demands.
        unsafe {
            if !self.table.by_rows
                && let Some(list) = self.cells.whole_list(of, array, rows.clone())?
            {
                return Ok(Column::List(list));
            }
            Ok(Column::Terms(self.cells.column(of, array, rows)?))
        }
    }
}

/// The terms of a column.
enum Column {
    Terms(Vec<ErlNifTerm>),
    List(ErlNifTerm),
}

impl Column {
    fn terms(self, cells: &Cells<'_, '_>) -> Vec<ErlNifTerm> {
        match self {
            Column::Terms(terms) => terms,
            Column::List(list) => cells.items(list),
        }
    }

    fn list(&self, cells: &Cells<'_, '_>) -> ErlNifTerm {
        match self {
            Column::Terms(terms) => cells.list(terms),
            Column::List(list) => *list,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Column::Terms(terms) if terms.is_empty())
    }
}

/// What was converted so far.
struct Table {
    by_rows: bool,
    names: Vec<ErlNifTerm>,
    columns: Vec<Column>,
    rows: Vec<ErlNifTerm>,
}

impl Table {
    fn new(by_rows: bool) -> Self {
        Table {
            by_rows,
            names: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn name(&mut self, names: &[String], cells: &mut Cells<'_, '_>) -> Result<()> {
        let mut known = HashSet::new();
        if self.by_rows
            && let Some(twice) = names.iter().find(|name| !known.insert(*name))
        {
            return Err(Unconvertible::new(format!(
                "two columns have the name {twice:?}, and one would be lost in rows; rename one, or use Python.Table.columns/2"
            ))
            .into());
        }
        for name in names {
            self.names.push(cells.text(name)?);
        }
        self.columns
            .resize_with(names.len(), || Column::Terms(Vec::new()));
        Ok(())
    }

    fn add(&mut self, columns: Vec<Column>, cells: &Cells<'_, '_>) -> Result<()> {
        if !self.by_rows {
            for (column, more) in self.columns.iter_mut().zip(columns) {
                if column.is_empty() {
                    *column = more;
                } else if !more.is_empty() {
                    let before = std::mem::replace(column, Column::Terms(Vec::new()));
                    let mut terms = before.terms(cells);
                    terms.extend(more.terms(cells));
                    *column = Column::Terms(terms);
                }
            }
            return Ok(());
        }
        let columns: Vec<_> = columns
            .into_iter()
            .map(|column| column.terms(cells))
            .collect();
        let count = columns.first().map_or(0, Vec::len);
        self.rows.reserve(count);
        let mut values = vec![cells.nil(); columns.len()];
        for at in 0..count {
            for (value, column) in values.iter_mut().zip(&columns) {
                *value = *column.get(at).ok_or_else(|| {
                    Unconvertible::new("the columns of this table are not of one length")
                })?;
            }
            let row = cells
                .map(&self.names, &values)
                .ok_or_else(|| Unconvertible::new("two columns have the same name"))?;
            self.rows.push(row);
        }
        Ok(())
    }

    fn term<'a>(self, cells: &Cells<'a, '_>) -> Result<Term<'a>> {
        let env: Env<'a> = cells.env();
        // SAFETY: terms of this environment.
        let list = |items: &[ErlNifTerm]| unsafe { Term::new(env, cells.list(items)) };
        if self.by_rows {
            return Ok(list(&self.rows));
        }
        let columns: Vec<Term> = self
            .names
            .iter()
            .zip(&self.columns)
            // SAFETY: as above.
            .map(|(name, column)| unsafe {
                (Term::new(env, *name), Term::new(env, column.list(cells))).encode(env)
            })
            .collect();
        Ok(columns.encode(env))
    }
}
