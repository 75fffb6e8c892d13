//! What notices say, in each language: the texts of `templates/`, read once.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::sync::LazyLock;

/// A language that notices are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Hindi.
    Hindi,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::English, Self::Hindi];

    /// The code (ISO 639-1), as stored and in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Hindi => "hi",
        }
    }

    /// The language of that code.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|language| language.as_str() == code)
    }

    fn book(self) -> &'static Book {
        static ENGLISH: LazyLock<Book> = LazyLock::new(|| Book::read(include_str!("templates/en.txt")));
        static HINDI: LazyLock<Book> = LazyLock::new(|| Book::read(include_str!("templates/hi.txt")));
        match self {
            Self::English => &ENGLISH,
            Self::Hindi => &HINDI,
        }
    }

    /// The text of `key`, with its slots filled. A test renders every key that the code uses, so that none is missing.
    #[must_use]
    pub fn say(self, key: &str, fill: &[(&str, &dyn Display)]) -> String {
        let Some(pieces) = self.book().0.get(key) else { return key.to_owned() };
        let mut text = String::with_capacity(160);
        for piece in pieces {
            match piece {
                Piece::Text(words) => text.push_str(words),
                Piece::Slot(name) => {
                    if let Some((_, value)) = fill.iter().find(|(slot, _)| slot == name) {
                        // Writing into a string cannot fail.
                        let _ = write!(text, "{value}");
                    }
                }
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

enum Piece {
    Text(&'static str),
    Slot(&'static str),
}

struct Book(HashMap<&'static str, Vec<Piece>>);

impl Book {
    fn read(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| line.split_once(" = ")).map(|(key, text)| (key, pieces(text))).collect())
    }
}

fn pieces(mut text: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some((words, (slot, rest))) =
        text.split_once('{').and_then(|(words, rest)| Some((words, rest.split_once('}')?)))
    {
        pieces.extend([Piece::Text(words), Piece::Slot(slot)]);
        text = rest;
    }
    pieces.push(Piece::Text(text));
    pieces
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Everything in the code that names a key.
    const USED_IN: &[&str] = &[
        include_str!("rules.rs"),
        include_str!("autopay.rs"),
        include_str!("payments.rs"),
        include_str!("channel/message.rs"),
    ];

    fn slots(book: &Book, key: &str) -> BTreeSet<&'static str> {
        let slot = |piece: &Piece| match piece {
            Piece::Slot(slot) => Some(*slot),
            Piece::Text(_) => None,
        };
        book.0[key].iter().filter_map(slot).collect()
    }

    #[test]
    fn every_language_has_every_key_with_the_same_slots() {
        let english = Language::English.book();
        let keys = |book: &Book| book.0.keys().copied().collect::<BTreeSet<_>>();
        for language in Language::ALL {
            let book = language.book();
            assert_eq!(keys(book), keys(english), "{language:?}");
            for key in keys(book) {
                assert_eq!(slots(book, key), slots(english, key), "{key} in {language:?}");
            }
        }
    }

    #[test]
    fn every_text_renders_with_all_of_its_slots() {
        for language in Language::ALL {
            for key in language.book().0.keys() {
                let names: Vec<_> = slots(language.book(), key).into_iter().collect();
                let mut fill: Vec<(&str, &dyn Display)> = Vec::new();
                names.iter().for_each(|name| fill.push((name, name)));
                let text = language.say(key, &fill);
                assert!(!text.is_empty() && !text.contains(['{', '}']), "{key}: {text}");
                assert!(names.iter().all(|name| text.contains(name)), "{key}: {text}");
            }
        }
    }

    #[test]
    fn the_code_uses_every_key_and_no_other() {
        let book = Language::English.book();
        let quoted: BTreeSet<&str> =
            USED_IN.iter().flat_map(|code| code.split('"').skip(1).step_by(2)).collect();
        for key in book.0.keys() {
            assert!(quoted.contains(key), "nothing uses {key}");
        }
        let looks_like_a_key = |text: &&&str| {
            let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            text.contains('.') && text.split('.').all(part)
        };
        for key in quoted.iter().filter(looks_like_a_key) {
            assert!(book.0.contains_key(key), "no text for {key}");
        }
    }

    #[test]
    fn languages_are_known_by_their_codes() {
        for language in Language::ALL {
            assert_eq!(Language::of(language.as_str()), Some(*language));
        }
        assert_eq!(Language::of("fr"), None);
    }
}
