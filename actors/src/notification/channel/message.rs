//! A message as a channel takes it.

use std::fmt;

use chrono::{DateTime, Utc};

use super::super::Language;
use crate::kernel::PhoneNumber;

/// The longest subject, in characters.
const SUBJECT: usize = 78;

/// A message to one person. What it says and to whom is shown in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The same at every try, so that a provider that knows ids delivers it once.
    pub id: String,
    /// When what it tells happened.
    pub at: DateTime<Utc>,
    /// A number in E.164 with its plus, or an e-mail address.
    pub to: String,
    /// For e-mail.
    pub subject: String,
    /// What it says.
    pub text: String,
}

impl Message {
    /// A copy of a notice as a text message.
    #[must_use]
    pub fn sms(notice: &str, phone: PhoneNumber, text: &str, at: DateTime<Utc>) -> Self {
        let to = format!("+{}", phone.e164());
        Self { id: format!("{notice}.sms"), at, to, subject: String::new(), text: text.to_owned() }
    }

    /// A copy of a notice as an e-mail; its first sentence is the subject.
    #[must_use]
    pub fn email(notice: &str, to: &str, text: &str, at: DateTime<Utc>, language: Language) -> Self {
        // A point inside of an amount ends no sentence.
        let sentence = [". ", "। "].iter().filter_map(|end| text.split_once(end)).map(|(first, _)| first);
        let sentence = sentence.min_by_key(|first| first.len()).unwrap_or(text);
        let subject = sentence.trim_end_matches(['.', '।']).chars().take(SUBJECT).collect();
        let text = format!("{text}\n\n{}\n", language.say("email.closing", &[]));
        Self { id: format!("{notice}.email"), at, to: to.to_owned(), subject, text }
    }

    /// A one-time code.
    #[must_use]
    pub fn code(
        id: String,
        phone: PhoneNumber,
        (code, minutes): (&str, i64),
        at: DateTime<Utc>,
        language: Language,
    ) -> Self {
        let text = language.say("code.sms", &[("code", &code), ("minutes", &minutes)]);
        Self { id, at, to: format!("+{}", phone.e164()), subject: String::new(), text }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).finish_non_exhaustive()
    }
}
