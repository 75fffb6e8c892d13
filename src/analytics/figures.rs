//! Figures as JSON, made without a float.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// A piece of JSON as it will be sent.
pub type Json = Box<RawValue>;

/// Any value. What cannot be JSON is null.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Json {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// `{"<name>": <value>, ...}` in this order.
pub fn object(fields: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    joined('{', '}', fields.into_iter().map(|(name, value)| format!("{}:{}", json(name).get(), value.get())))
}

/// `[<value>, ...]`
pub fn list(items: impl IntoIterator<Item = Json>) -> Json {
    joined('[', ']', items.into_iter().map(|item| item.get().to_owned()))
}

fn joined(open: char, close: char, parts: impl Iterator<Item = String>) -> Json {
    let mut text = String::from(open);
    for (index, part) in parts.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&part);
    }
    text.push(close);
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Paise as rupees with two decimals.
pub fn rupees(paise: i64) -> Json {
    hundredths(paise.into())
}

/// A number of hundredths, with two decimals.
pub fn hundredths(value: i128) -> Json {
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let text = format!("{sign}{}.{:02}", size / 100, size % 100);
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// `part * scale / whole` rounded to two decimals, halves away from zero; 0 when the whole is.
pub fn ratio(part: i128, scale: i128, whole: i128) -> Json {
    let scaled = part.saturating_mul(scale).saturating_mul(100);
    let half = whole.abs() / 2;
    let size = scaled.abs().saturating_add(half).checked_div(whole.abs()).unwrap_or(0);
    hundredths(if (scaled < 0) == (whole < 0) { size } else { size.saturating_neg() })
}

/// `[{key, count, percent}]`, the most frequent first; percent of all of them.
pub fn distribution(counts: impl IntoIterator<Item = (Json, i64)>) -> Json {
    let mut counts: Vec<(Json, i64)> = counts.into_iter().collect();
    counts.sort_by(|(left, fewer), (right, more)| more.cmp(fewer).then_with(|| left.get().cmp(right.get())));
    let total: i128 = counts.iter().map(|(_, count)| i128::from(*count)).sum();
    list(counts.into_iter().map(|(key, count)| {
        object([("key", key), ("count", json(&count)), ("percent", ratio(count.into(), 100, total))])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_rounded_half_away_from_zero() {
        let all = [
            (1, 3, "33.33"),
            (2, 3, "66.67"),
            (-1, 8, "-12.50"),
            (1, 800, "0.13"),
            (-1, 800, "-0.13"),
            (5, 0, "0.00"),
        ];
        for (part, whole, text) in all {
            assert_eq!(ratio(part, 100, whole).get(), text);
        }
        let shares = distribution([(json("a"), 1), (json(&None::<()>), 2)]);
        let expected = r#"[{"key":null,"count":2,"percent":66.67},{"key":"a","count":1,"percent":33.33}]"#;
        assert_eq!(shares.get(), expected);
    }
}
