//! Requests as bytes: rendered once, joined per request.

use std::net::{SocketAddr, ToSocketAddrs};

/// Where to send: from `--base`.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`, for the `Host` header.
    pub host: String,
    /// Resolved once.
    pub address: SocketAddr,
}

impl Target {
    /// Parses `http://host:port`; no path, no TLS.
    pub fn parse(base: &str) -> Result<Self, String> {
        let host = base.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let host = host.filter(|host| !host.is_empty() && !host.contains('/'));
        let host = host.ok_or_else(|| format!("--base {base}: give http://host:port"))?.to_owned();
        let resolved =
            if host.contains(':') { host.to_socket_addrs() } else { (host.as_str(), 80).to_socket_addrs() };
        let address = resolved.map_err(|error| format!("--base {base}: {error}"))?.next();
        Ok(Self { address: address.ok_or_else(|| format!("--base {base}: no address"))?, host })
    }
}

/// Idempotency keys: 32 hexadecimal digits, the first 16 new for each run so that no two runs share a key.
#[derive(Debug, Clone)]
pub struct Keys {
    buffer: [u8; 32],
}

impl Keys {
    /// `run`: a number no other run has.
    pub fn new(run: u64) -> Self {
        let mut keys = Self { buffer: [b'0'; 32] };
        if let Some((first, _)) = keys.buffer.split_at_mut_checked(16) {
            write_hex(first, run);
        }
        keys
    }

    /// The key of the run's request number `sequence`.
    pub fn key(&mut self, sequence: u64) -> &[u8] {
        if let Some((_, last)) = self.buffer.split_at_mut_checked(16) {
            write_hex(last, sequence);
        }
        &self.buffer
    }
}

fn write_hex(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        let nibble = u8::try_from(number & 15).unwrap_or(0);
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        number >>= 4;
    }
}

/// Appends a number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, number: usize) {
    let mut digits = [b'0'; 20];
    let (mut left, mut used) = (number, 0_usize);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len().saturating_sub(used)..).unwrap_or_default());
}

/// The beginning of a `POST` up to the value of its bearer token.
pub fn post_head(path: &str, host: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: Bearer "
    )
    .into_bytes()
}

/// Appends a whole `POST` with a key; the body is given in parts.
pub fn write_post(out: &mut Vec<u8>, head: &[u8], token: &str, key: &[u8], body: [&[u8]; 3]) {
    let [first, second, third] = body;
    out.extend_from_slice(head);
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(b"\r\nIdempotency-Key: ");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\nContent-Length: ");
    write_decimal(out, first.len().saturating_add(second.len()).saturating_add(third.len()));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    out.extend_from_slice(third);
}

/// A small seeded generator (SplitMix64): which customer comes next.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Equal seeds, equal sequences.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let scaled = (u128::from(mixed) * u128::from(bound)) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_rendered_whole() {
        let mut out = Vec::new();
        let mut keys = Keys::new(0xabc);
        let head = post_head("/x", "h:1");
        write_post(&mut out, &head, "t", keys.key(0x1f), [b"{\"p\":\"", b"9000000001", b"\"}"]);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /x HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(text.contains("\r\nAuthorization: Bearer t\r\n"));
        assert!(text.contains("\r\nIdempotency-Key: 0000000000000abc000000000000001f\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 18\r\n\r\n{\"p\":\"9000000001\"}"));
    }

    #[test]
    fn decimals_and_bases() {
        let mut out = Vec::new();
        for number in [0, 9, 10, 12345, usize::MAX] {
            out.clear();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        assert_eq!(Target::parse("http://127.0.0.1:8000/").unwrap().host, "127.0.0.1:8000");
        for bad in ["https://a:1", "http://a:1/v1", "http://", "127.0.0.1:8000"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dice_are_seeded_and_reach_every_face() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            (0..1000).map(|_| dice.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
        assert!((0..7).all(|face| rolls(1).contains(&face)));
        assert!(rolls(1).iter().all(|&face| face < 7));
    }
}
