//! Idempotency keys: who may repeat what, and how a request is recognised.

use sha2::{Digest, Sha256};

use serde::{Deserialize, Serialize};

/// A client's `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// A key of the system's own, made of numbers. At most 12 of them fit the bound.
    #[must_use]
    pub fn of_numbers(numbers: &[i64]) -> Self {
        Self(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join("/"))
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=255).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

/// Within what a key must be unique.
#[derive(Clone, Copy, Debug)]
pub enum KeyScope<'a> {
    /// A signed-in customer.
    User(i64),
    /// A signed-in administrator.
    Admin(i64),
    /// A partner's message source.
    Partner(i64, &'a str),
    /// The system itself (schedulers): the name of the job.
    System(&'a str),
}

/// The first 128 bits of a SHA-256: what is stored of keys and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest128(pub u128);

impl Digest128 {
    /// Of a key within its scope.
    #[must_use]
    pub fn of_key(scope: KeyScope<'_>, key: &IdempotencyKey) -> Self {
        match scope {
            KeyScope::User(id) => Self::of(&[b"user", &id.to_be_bytes(), key.0.as_bytes()]),
            KeyScope::Admin(id) => Self::of(&[b"admin", &id.to_be_bytes(), key.0.as_bytes()]),
            KeyScope::Partner(id, source) => {
                Self::of(&[b"partner", &id.to_be_bytes(), source.as_bytes(), key.0.as_bytes()])
            }
            KeyScope::System(job) => Self::of(&[b"system", job.as_bytes(), key.0.as_bytes()]),
        }
    }

    /// Of a request: method, route and body.
    #[must_use]
    pub fn of_request(method: &str, route: &str, body: &[u8]) -> Self {
        Self::of(&[method.as_bytes(), route.as_bytes(), body])
    }

    /// Parts are length-prefixed, so that no two lists of parts read the same.
    fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        let full: [u8; 32] = hasher.finalize().into();
        let (head, _) = full.split_at(16);
        Self(head.iter().fold(0, |value, byte| (value << 8) | u128::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_do_not_meet() {
        let key = IdempotencyKey::try_from("k-1").unwrap();
        let user = Digest128::of_key(KeyScope::User(7), &key);
        assert_ne!(user, Digest128::of_key(KeyScope::User(8), &key));
        assert_ne!(user, Digest128::of_key(KeyScope::Admin(7), &key));
        assert_eq!(user, Digest128::of_key(KeyScope::User(7), &key));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Digest128::of_request("POST", "/a", b"bc"), Digest128::of_request("POST", "/ab", b"c"));
    }

    #[test]
    fn keys_are_visible_ascii() {
        let long = "x".repeat(256);
        for bad in ["", " ", "a b", "ключ", "a\n", long.as_str()] {
            assert!(IdempotencyKey::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
