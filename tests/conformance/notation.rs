//! Types as the tables write them: read, held against JSON, and turned into values for parameters.

use std::collections::BTreeMap;

use serde_json::Value;

/// The names that are no words of a vocabulary.
const PLAIN: &[&str] = &[
    "any", "count", "date", "day", "decimal", "digits", "email", "flag", "hex24", "id", "int", "num",
    "object", "phone", "position", "text", "time", "uuid",
];

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// One of [`PLAIN`].
    Plain(String),
    /// One of these words.
    Words(Vec<String>),
    /// Of `shapes.txt`.
    Shape(String),
    /// A list.
    List(Box<Type>),
    /// An object with these fields, and perhaps more.
    Fields(Vec<(String, Type)>),
    /// Or null.
    Maybe(Box<Type>),
}

/// The shapes by name.
pub type Shapes = BTreeMap<String, Type>;

/// Reads `shapes.txt`: `Name = field: type, ...`, continued on indented lines.
pub fn shapes(text: &str) -> Shapes {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let whole = lines.fold(String::new(), |text, line| match line.strip_prefix("  ") {
        Some(more) => format!("{text} {more}"),
        None => format!("{text}\n{line}"),
    });
    let read = |line: &str| {
        let (name, fields) = line.split_once(" = ").unwrap_or_else(|| panic!("no shape: {line}"));
        (name.to_owned(), Type::Fields(self::fields(fields)))
    };
    whole.lines().filter(|line| !line.is_empty()).map(read).collect()
}

/// Reads `name: type, name: type`.
pub fn fields(text: &str) -> Vec<(String, Type)> {
    let read = |part: &str| {
        let (name, kind) = part.split_once(": ").unwrap_or_else(|| panic!("no field: {part}"));
        (name.to_owned(), Type::read(kind))
    };
    split(text).into_iter().map(read).collect()
}

/// The parts between commas that stand in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

impl Type {
    /// Reads a type.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        let inside = |open, close| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(kind) = text.strip_suffix('?') {
            Self::Maybe(Box::new(Self::read(kind)))
        } else if let Some(kind) = inside('[', ']') {
            Self::List(Box::new(Self::read(kind)))
        } else if let Some(inner) = inside('{', '}') {
            Self::Fields(fields(inner))
        } else if PLAIN.contains(&text) {
            Self::Plain(text.to_owned())
        } else if text.starts_with(char::is_uppercase) && !text.contains('|') {
            Self::Shape(text.to_owned())
        } else {
            Self::Words(text.split('|').map(str::to_owned).collect())
        }
    }

    /// What is wrong with `value`, each with its place.
    pub fn faults(&self, shapes: &Shapes, place: &str, value: &Value) -> Vec<String> {
        let wrong =
            |is: bool| if is { Vec::new() } else { vec![format!("{place} is {value}, not {self:?}")] };
        match self {
            Self::Maybe(_) if value.is_null() => Vec::new(),
            Self::Maybe(kind) => kind.faults(shapes, place, value),
            Self::Shape(name) => {
                let shape = shapes.get(name).unwrap_or_else(|| panic!("{name} is not in shapes.txt"));
                shape.faults(shapes, place, value)
            }
            Self::List(kind) => match value.as_array() {
                Some(values) => values
                    .iter()
                    .enumerate()
                    .flat_map(|(index, value)| kind.faults(shapes, &format!("{place}[{index}]"), value))
                    .collect(),
                None => wrong(false),
            },
            Self::Fields(fields) if value.is_object() => fields
                .iter()
                .flat_map(|(name, kind)| match value.get(name) {
                    Some(value) => kind.faults(shapes, &format!("{place}.{name}"), value),
                    None => vec![format!("{place}.{name} is missing")],
                })
                .collect(),
            Self::Fields(_) => wrong(false),
            Self::Words(words) => {
                wrong(value.as_str().is_some_and(|text| words.iter().any(|word| word == text)))
            }
            Self::Plain(name) => wrong(holds(name, value)),
        }
    }

    /// Values to send for a parameter of this type. Several in one list are sent together.
    pub fn samples(&self) -> Vec<Vec<String>> {
        let one = |texts: &[&str]| texts.iter().map(|text| vec![(*text).to_owned()]).collect();
        match self {
            Self::Words(words) => words.iter().map(|word| vec![word.clone()]).collect(),
            Self::List(kind) => {
                let each = kind.samples();
                let all = each.concat();
                each.into_iter().chain([all]).collect()
            }
            Self::Plain(name) => one(match name.as_str() {
                "text" => &["a", "1"],
                "email" => &["ravi@example.com"],
                "id" => &["1"],
                "count" => &["0", "1"],
                "position" => &["1", "2"],
                "num" => &["0", "1", "10.5"],
                "flag" => &["true", "false", "True", "False", "1", "0"],
                "day" => &["2026-01-31"],
                "digits" => &["98"],
                "phone" => &["9800000001", "+919800000001"],
                "uuid" => &["3fa85f64-5717-4562-b3fc-2c963f66afa6"],
                "time" => &[
                    "2026-01-31T10:00:00Z",
                    "2026-01-31T10:00:00+05:30",
                    "2026-01-31T10:00:00",
                    "2026-01-31 10:00:00",
                    "2026-01-31T10:00:00.123456",
                    "2026-01-31",
                ],
                _ => panic!("{name} is no type of a parameter"),
            }),
            Self::Shape(_) | Self::Fields(_) | Self::Maybe(_) => panic!("{self:?} is no type of a parameter"),
        }
    }

    /// A value that no parameter of this type can have; none for text.
    pub fn wrong_sample(&self) -> Option<&'static str> {
        match self {
            Self::List(kind) => kind.wrong_sample(),
            Self::Plain(name) if name == "text" => None,
            _ => Some("zzz"),
        }
    }

    /// A value of a parameter as it stands in a JSON body.
    pub fn json_of(&self, texts: &[String]) -> Value {
        let one = |kind: &Self, text: &String| match kind {
            Self::Plain(name) if ["id", "count", "position", "num"].contains(&name.as_str()) => {
                serde_json::from_str(text).unwrap()
            }
            Self::Plain(name) if name == "flag" => {
                Value::Bool(["true", "True", "1"].contains(&text.as_str()))
            }
            _ => Value::String(text.clone()),
        };
        match self {
            Self::List(kind) => texts.iter().map(|text| one(kind, text)).collect(),
            kind => one(kind, &texts[0]),
        }
    }
}

fn holds(name: &str, value: &Value) -> bool {
    let text = value.as_str();
    match name {
        "any" => true,
        "int" => value.is_i64(),
        "num" => value.is_number(),
        "flag" => value.is_boolean(),
        "object" => value.is_object(),
        "text" => text.is_some(),
        "time" => text.is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        "date" => text.is_some_and(|text| text.parse::<chrono::NaiveDate>().is_ok()),
        "hex24" => {
            text.is_some_and(|text| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        }
        "decimal" => text.is_some_and(|text| {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            text.split_once('.').is_some_and(|(whole, part)| digits(whole) && digits(part) && part.len() == 2)
        }),
        _ => panic!("{name} is no type of an answer"),
    }
}

#[test]
fn types_are_read_and_held_against_values() {
    let shapes = shapes(
        "# about\nThing = id: int, kind: a|b?,\n  inner: {name: text, list: [Other]}\nOther = at: time\n",
    );
    let good = serde_json::json!({ "id": 1, "kind": null, "inner": { "name": "", "list": [{ "at": "2026-01-31T10:00:00Z" }] }, "more": 1 });
    let thing = Type::read("[Thing]");
    assert_eq!(thing.faults(&shapes, "it", &serde_json::json!([good])), Vec::<String>::new());
    let bad = serde_json::json!([{ "id": "1", "kind": "c", "inner": { "list": [{ "at": "x" }, 1] } }]);
    let faults = thing.faults(&shapes, "it", &bad).join("\n");
    for place in
        ["it[0].id", "it[0].kind", "it[0].inner.name", "it[0].inner.list[0].at", "it[0].inner.list[1]"]
    {
        assert!(faults.contains(&format!("{place} is ")), "{place}: {faults}");
    }
    assert_eq!(Type::read("[id]").samples(), [["1"], ["1"]]);
}
