//! So many requests a minute for one client address, counted in this process.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Locks that share the addresses among them.
const STRIPES: usize = 16;
/// Addresses remembered by one stripe: about 6 MB in all. Beyond it one is forgotten for each new one.
const PER_STRIPE: usize = 8192;
const MINUTE: Duration = Duration::from_secs(60);

/// A bucket for each address that holds a minute's requests and fills evenly (the generic cell rate algorithm, so one
/// time an address is all the memory it takes). IPv6 clients count by their /64 network.
pub(super) struct IpLimit {
    /// One request's share of the minute.
    interval: Duration,
    hasher: RandomState,
    stripes: Vec<Mutex<Stripe>>,
}

#[derive(Default)]
struct Stripe {
    /// When the bucket will be full again.
    full_at: HashMap<IpAddr, Duration>,
    swept_at: Duration,
}

impl IpLimit {
    /// `None` when `per_minute` is 0.
    pub(super) fn new(per_minute: u32) -> Option<Self> {
        let interval = MINUTE.checked_div(per_minute)?;
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Some(Self { interval, hasher: RandomState::new(), stripes })
    }

    /// Counts one request at `now` (time since any fixed moment that never goes back).
    ///
    /// # Errors
    /// The whole seconds to wait, at least 1, when there is nothing left.
    pub(super) fn take(&self, address: IpAddr, now: Duration) -> Result<(), u32> {
        let key = network(address);
        let stripes = u64::try_from(self.stripes.len()).unwrap_or(1);
        let index = usize::try_from(self.hasher.hash_one(key) % stripes).unwrap_or(0);
        let Some(stripe) = self.stripes.get(index) else { return Ok(()) };
        // A panic while it was held cannot have left half an entry.
        let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = stripe.full_at.get(&key).copied().unwrap_or_default().max(now);
        let next = full_at.saturating_add(self.interval);
        let over = next.saturating_sub(now.saturating_add(MINUTE));
        if !over.is_zero() {
            let seconds = over.as_secs().saturating_add(u64::from(over.subsec_nanos() > 0));
            return Err(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        }
        stripe.make_room(key, now);
        stripe.full_at.insert(key, next);
        Ok(())
    }
}

impl Stripe {
    /// Forgets who has not called for long, once a second at most; then anyone.
    fn make_room(&mut self, key: IpAddr, now: Duration) {
        if self.full_at.len() < PER_STRIPE || self.full_at.contains_key(&key) {
            return;
        }
        if now.saturating_sub(self.swept_at) >= Duration::from_secs(1) {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() >= PER_STRIPE
            && let Some(any) = self.full_at.keys().next().copied()
        {
            self.full_at.remove(&any);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_requests_at_once_then_evenly() {
        let limit = IpLimit::new(60).unwrap();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Duration::from_secs(1000);
        for _ in 0..60 {
            assert_eq!(limit.take(here, start), Ok(()));
        }
        assert_eq!(limit.take(here, start), Err(1));
        assert_eq!(limit.take(there, start), Ok(()));
        let later = start + Duration::from_secs(2);
        assert_eq!((limit.take(here, later), limit.take(here, later)), (Ok(()), Ok(())));
        assert_eq!(limit.take(here, later), Err(1));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let limit = IpLimit::new(1).unwrap();
        let now = Duration::from_secs(1);
        assert_eq!(limit.take("2001:db8::1".parse().unwrap(), now), Ok(()));
        assert_eq!(limit.take("2001:db8::2".parse().unwrap(), now), Err(60));
        assert_eq!(limit.take("2001:db8:0:1::1".parse().unwrap(), now), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let limit = IpLimit::new(10).unwrap();
        for number in 0..300_000_u32 {
            limit.take(IpAddr::V4(number.into()), Duration::from_secs(1)).unwrap();
        }
        let held: usize = limit.stripes.iter().map(|stripe| stripe.lock().unwrap().full_at.len()).sum();
        assert!(held <= STRIPES * PER_STRIPE, "{held}");
    }

    #[test]
    fn zero_is_off() {
        assert!(IpLimit::new(0).is_none());
    }
}
