//! The report of the interpreter probe: one JSON object.

use serde_json::Value;

/// The key of an object that stands for a text which is not UTF-8, such as a path.
const BYTES_KEY: &str = "hex";

/// A value of the report. Texts are bytes: a path on Unix need not be UTF-8.
#[derive(Debug, PartialEq)]
pub enum Item {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Vec<u8>),
    List(Vec<Item>),
    Map(Vec<(String, Item)>),
}

/// Reads one JSON object; otherwise says what is wrong with the text.
pub fn read(json: &[u8]) -> Result<Item, String> {
    match serde_json::from_slice(json) {
        Ok(value @ Value::Object(_)) => item(value),
        Ok(_) => Err("expected a JSON object".to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Recursive: serde_json lets nothing nested deeper than 128 through.
fn item(value: Value) -> Result<Item, String> {
    Ok(match value {
        Value::Null => Item::Null,
        Value::Bool(boolean) => Item::Boolean(boolean),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Item::Integer(integer),
            None => return Err(format!("expected an integer, got {number}")),
        },
        Value::String(text) => Item::Text(text.into_bytes()),
        Value::Array(values) => Item::List(values.into_iter().map(item).collect::<Result<_, _>>()?),
        Value::Object(object) => match object.get(BYTES_KEY) {
            Some(Value::String(digits)) if object.len() == 1 => Item::Text(bytes(digits)?),
            _ => Item::Map(
                object
                    .into_iter()
                    .map(|(key, value)| Ok((key, item(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
        },
    })
}

fn bytes(digits: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|value| value as u8);

    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("expected pairs of hexadecimal digits, got {digits:?}"))
}

#[cfg(test)]
mod tests {
    use super::{Item, read};

    fn text(text: &str) -> Item {
        Item::Text(text.as_bytes().to_vec())
    }

    fn map(entries: Vec<(&str, Item)>) -> Item {
        Item::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_string(), value))
                .collect(),
        )
    }

    #[test]
    fn an_object_with_values_of_every_kind() {
        let json = br#"{"a": null, "b": true, "c": [3, 11, -7], "d": "\u00e9\ud83d\udc0d", "e": {"f": "g"}}"#;
        let expected = map(vec![
            ("a", Item::Null),
            ("b", Item::Boolean(true)),
            (
                "c",
                Item::List(vec![Item::Integer(3), Item::Integer(11), Item::Integer(-7)]),
            ),
            ("d", text("é🐍")),
            ("e", map(vec![("f", text("g"))])),
        ]);
        assert_eq!(read(json), Ok(expected));
    }

    #[test]
    fn bytes_that_are_not_utf_8_come_as_hexadecimal_digits() {
        let expected = map(vec![("path", Item::Text(vec![b'/', 0xff, b'a']))]);
        assert_eq!(read(br#"{"path": {"hex": "2fff61"}}"#), Ok(expected));
    }

    #[test]
    fn hexadecimal_digits_are_checked() {
        for json in [
            r#"{"p": {"hex": "2"}}"#,
            r#"{"p": {"hex": "zz"}}"#,
            r#"{"p": {"hex": "é"}}"#,
        ] {
            assert!(
                read(json.as_bytes()).unwrap_err().contains("hexadecimal"),
                "{json}"
            );
        }
    }

    #[test]
    fn an_object_that_only_has_such_a_key_among_others_stays_one() {
        let inner = map(vec![("a", Item::Integer(1)), ("hex", text("ff"))]);
        assert_eq!(
            read(br#"{"p": {"hex": "ff", "a": 1}}"#),
            Ok(map(vec![("p", inner)]))
        );
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        for json in [
            "",
            "[]",
            "1",
            "{",
            "{} {}",
            "pyenv: python: command not found",
            "{\"a\": 1.5}",
        ] {
            assert!(read(json.as_bytes()).is_err(), "{json}");
        }
        assert!(read(b"{\"a\": \"\xff\"}").is_err());
        assert!(read(br#"{"a": "\ud800"}"#).is_err());
        assert!(read(br#"{"a": 9223372036854775808}"#).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
        let json = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(json.as_bytes()).unwrap_err().contains("recursion"));
    }
}
