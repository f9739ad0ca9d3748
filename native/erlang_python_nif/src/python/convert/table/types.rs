//! The types of columns, as Arrow writes them.

use super::arrow::Schema;
use crate::python::convert::Unconvertible;

/// How many types may be in each other.
const DEEPEST: usize = 64;

pub struct Type {
    pub kind: Kind,
    pub name: String,
    pub children: Vec<Type>,
    /// Of what the items are the numbers.
    pub dictionary: Option<Box<Type>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Signed(usize),
    Unsigned(usize),
    Float(usize),
    /// Text or bytes, with places of 4 or 8 bytes.
    Data(usize),
    DataView,
    Fixed(usize),
    Decimal {
        bytes: usize,
        scale: i32,
    },
    /// Days in 4 bytes, or ms in 8.
    Date {
        days: bool,
    },
    Time {
        bytes: usize,
        unit: Unit,
    },
    Moment {
        unit: Unit,
        utc: bool,
    },
    Span(Unit),
    /// Months and days in 4 bytes each, and ns in 8.
    Interval,
    /// With places of 4 or 8 bytes.
    List(usize),
    ListView(usize),
    FixedList(usize),
    Struct,
    Map,
}

/// How many of it a second has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit(pub i64);

impl Unit {
    pub fn of(letter: &str) -> Option<Self> {
        Some(Unit(match letter {
            "s" => 1,
            "m" | "ms" => 1_000,
            "u" | "us" => 1_000_000,
            "n" | "ns" => 1_000_000_000,
            _ => return None,
        }))
    }
}

impl Type {
    pub fn of(schema: &Schema) -> Result<Self, Unconvertible> {
        Self::at(schema, 0)
    }

    fn at(schema: &Schema, depth: usize) -> Result<Self, Unconvertible> {
        if depth > DEEPEST {
            return Err(Unconvertible::new(format!(
                "a column whose types are nested deeper than {DEEPEST} levels cannot be converted"
            )));
        }
        let kind = kind(schema.format()).ok_or_else(|| {
            Unconvertible::new(format!(
                "the column {:?} has a type without a counterpart in Elixir, {:?} in Arrow's notation; cast it in \
                 Python to another type, or leave the column out",
                schema.name(),
                schema.format()
            ))
        })?;
        let children = schema.children().map(|child| Self::at(child, depth + 1));
        let dictionary = schema
            .dictionary()
            .map(|dictionary| Self::at(dictionary, depth + 1));
        Ok(Type {
            kind,
            name: schema.name().into(),
            children: children.collect::<Result<_, _>>()?,
            dictionary: dictionary.transpose()?.map(Box::new),
        })
    }
}

/// None for what has no counterpart: intervals of months, unions, runs.
fn kind(format: &str) -> Option<Kind> {
    let (head, tail) = format.split_once(':').unwrap_or((format, ""));
    Some(match head {
        "n" => Kind::Null,
        "b" => Kind::Bool,
        "c" => Kind::Signed(1),
        "s" => Kind::Signed(2),
        "i" => Kind::Signed(4),
        "l" => Kind::Signed(8),
        "C" => Kind::Unsigned(1),
        "S" => Kind::Unsigned(2),
        "I" => Kind::Unsigned(4),
        "L" => Kind::Unsigned(8),
        "e" => Kind::Float(2),
        "f" => Kind::Float(4),
        "g" => Kind::Float(8),
        "z" | "u" => Kind::Data(4),
        "Z" | "U" => Kind::Data(8),
        "vz" | "vu" => Kind::DataView,
        "w" => Kind::Fixed(tail.parse().ok()?),
        "d" => decimal(tail)?,
        "tdD" => Kind::Date { days: true },
        "tdm" => Kind::Date { days: false },
        "tts" | "ttm" => Kind::Time {
            bytes: 4,
            unit: Unit::of(&head[2..])?,
        },
        "ttu" | "ttn" => Kind::Time {
            bytes: 8,
            unit: Unit::of(&head[2..])?,
        },
        "tss" | "tsm" | "tsu" | "tsn" => Kind::Moment {
            unit: Unit::of(&head[2..])?,
            utc: !tail.is_empty(),
        },
        "tDs" | "tDm" | "tDu" | "tDn" => Kind::Span(Unit::of(&head[2..])?),
        "tin" => Kind::Interval,
        "+l" => Kind::List(4),
        "+L" => Kind::List(8),
        "+vl" => Kind::ListView(4),
        "+vL" => Kind::ListView(8),
        "+w" => Kind::FixedList(tail.parse().ok()?),
        "+s" => Kind::Struct,
        "+m" => Kind::Map,
        _ => return None,
    })
}

/// `precision,scale` or `precision,scale,bits`
fn decimal(text: &str) -> Option<Kind> {
    let mut parts = text.split(',').skip(1);
    let scale = parts.next()?.parse().ok()?;
    let bytes = parts.next().map_or(Some(128), |bits| bits.parse().ok())? / 8;
    matches!(bytes, 4 | 8 | 16 | 32).then_some(Kind::Decimal { bytes, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read() {
        for (format, expected) in [
            ("l", Kind::Signed(8)),
            ("w:16", Kind::Fixed(16)),
            (
                "d:12,3",
                Kind::Decimal {
                    bytes: 16,
                    scale: 3,
                },
            ),
            (
                "d:40,-2,256",
                Kind::Decimal {
                    bytes: 32,
                    scale: -2,
                },
            ),
            (
                "tsu:Europe/Berlin",
                Kind::Moment {
                    unit: Unit(1_000_000),
                    utc: true,
                },
            ),
            (
                "tsn:",
                Kind::Moment {
                    unit: Unit(1_000_000_000),
                    utc: false,
                },
            ),
            (
                "ttm",
                Kind::Time {
                    bytes: 4,
                    unit: Unit(1_000),
                },
            ),
            ("tDs", Kind::Span(Unit(1))),
            ("+w:3", Kind::FixedList(3)),
        ] {
            assert_eq!(kind(format), Some(expected), "{format}");
        }
        for format in [
            "", "x", "tiM", "tiD", "+ud:1", "+r", "w:", "d:", "d:3,1,7", "tsx:", "+w:x",
        ] {
            assert_eq!(kind(format), None, "{format}");
        }
    }
}
