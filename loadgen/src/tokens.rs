//! The tokens file: who can be charged.

use std::collections::HashMap;

/// Most lines accepted: it bounds memory (about 400 bytes a line).
pub const MAX_LINES: usize = 1_000_000;

/// One line: a customer and the access token to act as that customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// As written: 10 digits or E.164.
    pub phone: &'a str,
    /// The JWT.
    pub token: &'a str,
}

/// Parses lines of `phone token`; empty lines are skipped. An error names the line.
pub fn parse(text: &str) -> Result<Vec<Line<'_>>, String> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(phone) = words.next() else { continue };
        let number = at.saturating_add(1);
        let digits = phone.strip_prefix('+').unwrap_or(phone);
        if !(8..=15).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(format!("tokens file, line {number}: the first word is not a phone number"));
        }
        let (Some(token), None) = (words.next(), words.next()) else {
            return Err(format!("tokens file, line {number}: expected `phone token`"));
        };
        if lines.len() == MAX_LINES {
            return Err(format!("tokens file: more than {MAX_LINES} lines; give fewer"));
        }
        lines.push(Line { phone, token });
    }
    if lines.is_empty() { Err("tokens file: no lines".to_owned()) } else { Ok(lines) }
}

/// Tokens by phone number, as written in the file.
pub fn by_phone<'a>(lines: &[Line<'a>]) -> HashMap<&'a str, &'a str> {
    lines.iter().map(|line| (line.phone, line.token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_bad_ones_named() {
        let text = "9000000001 a.b.c\n\n+919000000002\td.e.f\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], Line { phone: "+919000000002", token: "d.e.f" });
        assert_eq!(by_phone(&lines)["9000000001"], "a.b.c");
        assert!(parse("9000000001 a\n9000000002\n").unwrap_err().contains("line 2"));
        assert!(parse("nobody a\n").unwrap_err().contains("line 1"));
        assert!(parse("\n").is_err());
    }
}
