//! Names and e-mail addresses that have been checked.

/// A person's name: 2 to 50 characters, no control characters, no space at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

/// The text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 2 to 50 characters")]
pub struct InvalidName;

impl PersonName {
    /// Checks a name; spaces around it are dropped.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        let fits = (2..=50).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address, as far as it can be checked without sending anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress(String);

/// The text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address such as asha@example.com")]
pub struct InvalidEmail;

impl EmailAddress {
    /// Checks an address; its letters are kept as given, but no two addresses may differ in case only.
    ///
    /// # Errors
    /// [`InvalidEmail`].
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let local_fits = (1..=64).contains(&local.len())
            && local
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte));
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let domain_fits = domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label);
        if local_fits && domain_fits { Ok(Self(text.to_owned())) } else { Err(InvalidEmail) }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["asha@example.com", "a.b+c@sub.example.co.in", " asha@example.com "] {
            assert!(EmailAddress::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "asha",
            "@example.com",
            "asha@",
            "asha@example",
            "a b@example.com",
            "asha@-x.com",
            "asha@x..com",
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad}");
        }
        assert!(EmailAddress::parse(&format!("{}@example.com", "a".repeat(65))).is_err());
    }

    #[test]
    fn names() {
        assert_eq!(PersonName::parse(" Asha ").map(|name| name.as_str().to_owned()), Ok("Asha".to_owned()));
        for bad in ["", "A", " A ", "A\u{7}sha"] {
            assert!(PersonName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(PersonName::parse(&"ä".repeat(50)).is_ok() && PersonName::parse(&"ä".repeat(51)).is_err());
    }
}
