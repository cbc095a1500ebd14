//! Address pools of our own: which address or subnet is handed out next. Pure; the rows are in `task` and
//! `environment`. Docker's default pools end near 31 networks, so we never use them.
//! Tests at the end of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of IPv4 addresses such as `10.88.0.0/16`, from /8 to /29, its base on its own boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    base: u32,
    prefix: u8,
}

/// Text that is not an address pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address pool: a base address and a length from 8 to 29, such as 10.88.0.0/16")]
pub struct PoolError {
    text: String,
}

impl FromStr for AddressPool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let wrong = || PoolError { text: text.chars().take(48).flat_map(char::escape_default).collect() };
        let (base, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let base = u32::from(base.parse::<Ipv4Addr>().map_err(|_| wrong())?);
        let prefix = prefix.parse::<u8>().map_err(|_| wrong())?;
        let pool = Self { base, prefix };
        if !(8..=29).contains(&prefix) || base & (pool.size() - 1) != 0 || pool.to_string() != text {
            return Err(wrong());
        }
        Ok(pool)
    }
}

impl fmt::Display for AddressPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl AddressPool {
    /// Number of addresses, the unusable ones included.
    const fn size(self) -> u32 {
        1 << (32 - self.prefix)
    }

    /// The first usable address, which belongs to the bridge itself.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// Length of the network part in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the pool.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & !(self.size() - 1) == self.base
    }

    /// Whether the pools share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(Ipv4Addr::from(other.base)) || other.contains(Ipv4Addr::from(self.base))
    }

    /// The next free address after `last`, going round. Never the network's own, the gateway's or the broadcast
    /// address. Cyclic, so that an address rests as long as possible before another task gets it: a late packet or a
    /// stale connection must not reach the wrong task.
    pub(crate) fn next_address(self, last: Option<Ipv4Addr>, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let first = self.base + 2;
        let count = self.size() - 3;
        let start = match last {
            Some(last) if self.contains(last) => {
                (u32::from(last) - self.base + 1).saturating_sub(2).min(count)
            }
            _ => 0,
        };
        (0..count)
            .map(|step| Ipv4Addr::from(first + (start + step) % count))
            .find(|address| !taken.contains(address))
    }

    /// The lowest free /24.
    pub(crate) fn next_subnet(self, taken: &BTreeSet<String>) -> Option<String> {
        (0..self.size() / 256)
            .map(|index| format!("{}/24", Ipv4Addr::from(self.base + index * 256)))
            .find(|subnet| !taken.contains(subnet))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(text: &str) -> AddressPool {
        text.parse().expect("is a pool")
    }

    #[test]
    fn grammar() {
        assert_eq!(pool("10.88.0.0/16").to_string(), "10.88.0.0/16");
        assert_eq!(pool("10.88.0.0/16").gateway(), Ipv4Addr::new(10, 88, 0, 1));
        for wrong in
            ["", "10.88.0.0", "10.88.0.1/16", "10.0.0.0/7", "10.0.0.0/30", "10.0.0.0/016", "::/16", "a/16"]
        {
            assert!(wrong.parse::<AddressPool>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn goes_round_and_ends() {
        let pool = pool("10.0.0.0/29");
        let mut taken = BTreeSet::new();
        let mut last = None;
        let mut order = Vec::new();
        while let Some(address) = pool.next_address(last, &taken) {
            order.push(address.octets()[3]);
            taken.insert(address);
            last = Some(address);
        }
        assert_eq!(order, [2, 3, 4, 5, 6]);

        taken.remove(&Ipv4Addr::new(10, 0, 0, 3));
        taken.remove(&Ipv4Addr::new(10, 0, 0, 5));
        let next = |last: u8| pool.next_address(Some(Ipv4Addr::new(10, 0, 0, last)), &taken);
        assert_eq!(next(3), Some(Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(next(5), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert_eq!(next(6), Some(Ipv4Addr::new(10, 0, 0, 3)));
    }

    #[test]
    fn a_last_address_of_an_earlier_pool_starts_from_the_front() {
        let found = pool("10.0.0.0/24").next_address(Some(Ipv4Addr::new(192, 168, 0, 9)), &BTreeSet::new());
        assert_eq!(found, Some(Ipv4Addr::new(10, 0, 0, 2)));
    }

    #[test]
    fn subnets_are_the_lowest_free_ones() {
        let pool = pool("10.0.4.0/23");
        let mut taken = BTreeSet::new();
        assert_eq!(pool.next_subnet(&taken).as_deref(), Some("10.0.4.0/24"));
        taken.insert("10.0.4.0/24".to_owned());
        assert_eq!(pool.next_subnet(&taken).as_deref(), Some("10.0.5.0/24"));
        taken.insert("10.0.5.0/24".to_owned());
        assert_eq!(pool.next_subnet(&taken), None);
    }

    #[test]
    fn overlap() {
        assert!(pool("10.0.0.0/8").overlaps(pool("10.9.0.0/16")));
        assert!(pool("10.9.0.0/16").overlaps(pool("10.0.0.0/8")));
        assert!(!pool("10.8.0.0/16").overlaps(pool("10.9.0.0/16")));
    }

    proptest! {
        /// What is handed out is usable, free, and the nearest free one going round from the last.
        #[test]
        fn next_address_is_the_nearest_free_one(
            prefix in 22_u8..=29,
            taken in proptest::collection::btree_set(0_u32..1024, 0..64),
            last in proptest::option::of(0_u32..1024),
        ) {
            let pool = AddressPool { base: u32::from(Ipv4Addr::new(10, 20, 0, 0)), prefix };
            let size = pool.size();
            let at = |offset: u32| Ipv4Addr::from(pool.base + offset);
            let taken: BTreeSet<_> = taken.into_iter().filter(|o| *o < size).map(at).collect();
            let last = last.filter(|o| *o < size);
            let usable = |offset: &u32| (2..size - 1).contains(offset) && !taken.contains(&at(*offset));
            // The model: look behind the last one first, then from the front.
            let from = last.map_or(0, |last| last + 1);
            let expected = (from..size).find(usable).or_else(|| (0..size).find(usable)).map(at);
            prop_assert_eq!(pool.next_address(last.map(at), &taken), expected);
        }

        /// Handing out until the end gives every usable address exactly once.
        #[test]
        fn every_address_once(prefix in 24_u8..=29) {
            let pool = AddressPool { base: u32::from(Ipv4Addr::new(10, 20, 0, 0)), prefix };
            let mut taken = BTreeSet::new();
            let mut last = None;
            while let Some(address) = pool.next_address(last, &taken) {
                prop_assert!(taken.insert(address));
                last = Some(address);
            }
            prop_assert_eq!(taken.len(), usize::try_from(pool.size() - 3).unwrap());
        }
    }
}
