//! Which addresses may be requested.
//!
//! Of IPv4, all addresses that are not in IANA's special-purpose registry; of IPv6, the global unicast
//! addresses that are not in it. An IPv6 address that embeds an IPv4 address is checked as that one, because
//! the connection ends there. <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// IPv4 networks that are not public, and what they are.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8, "an address of this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a shared address (CGNAT)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (
        Ipv4Addr::new(192, 0, 0, 0),
        24,
        "an IETF protocol assignment",
    ),
    (
        Ipv4Addr::new(192, 0, 2, 0),
        24,
        "an address for documentation",
    ),
    (
        Ipv4Addr::new(192, 31, 196, 0),
        24,
        "an anycast address of AS112",
    ),
    (
        Ipv4Addr::new(192, 88, 99, 0),
        24,
        "a relay's address (6to4)",
    ),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (
        Ipv4Addr::new(198, 18, 0, 0),
        15,
        "an address for benchmarks",
    ),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        "an address for documentation",
    ),
    (
        Ipv4Addr::new(203, 0, 113, 0),
        24,
        "an address for documentation",
    ),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// Networks within the global unicast addresses of IPv6 that are not public.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 4] = [
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "an IETF protocol assignment",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "an address for documentation",
    ),
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        "an anycast address of AS112",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "an address for documentation",
    ),
];

/// The well-known prefix of NAT64: 96 bits.
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// The addresses that may be requested.
#[derive(Debug)]
pub(super) struct Networks {
    allowed: Vec<IpNet>,
}

impl Networks {
    /// Allows public addresses and those of these networks.
    pub(super) fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Why an address is refused; `None` if it is allowed.
    pub(super) fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let address = address.to_canonical();
        let is_allowed = |network: &IpNet| network.contains(&address);
        if self.allowed.iter().any(is_allowed) {
            return None;
        }
        match address {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                // A disguise, or the answer of a name server for hosts without IPv4: the address
                // where the connection ends decides.
                Some(inner) => self.refusal(inner.into()),
                None => special_v6(address),
            },
        }
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4
        .iter()
        .find(|(network, prefix, _)| {
            let bits = 32 - prefix;
            address.to_bits() >> bits == network.to_bits() >> bits
        })
        .map(|(_, _, what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |network: Ipv6Addr, prefix: u32| {
        let bits = 128 - prefix;
        address.to_bits() >> bits == network.to_bits() >> bits
    };
    if !within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) {
        return Some(if address.is_loopback() {
            "a loopback address"
        } else if address.is_unicast_link_local() {
            "a link-local address"
        } else if address.is_unique_local() {
            "a private address (ULA)"
        } else if address.is_multicast() {
            "a multicast address"
        } else {
            "a reserved address"
        });
    }
    SPECIAL_V6
        .iter()
        .find(|(network, prefix, _)| within(*network, *prefix))
        .map(|(_, _, what)| *what)
}

/// The IPv4 address inside an address with NAT64's well-known prefix or of 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |from: usize| {
        Ipv4Addr::new(
            octets[from],
            octets[from + 1],
            octets[from + 2],
            octets[from + 3],
        )
    };
    if octets[..12] == NAT64.octets()[..12] {
        return Some(at(12));
    }
    (octets[..2] == [0x20, 0x02]).then(|| at(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(allowed: &[&str], address: &str) -> Option<&'static str> {
        let allowed = allowed.iter().map(|network| network.parse().unwrap());
        Networks::new(allowed.collect()).refusal(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2600:1f18::1",
            "2a00:1450:4001::200e",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:0101:0101::1",
        ] {
            assert_eq!(refusal(&[], address), None, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_refused_in_every_notation() {
        for (address, what) in [
            ("0.0.0.0", "this network"),
            ("0.1.2.3", "this network"),
            ("10.0.0.1", "private"),
            ("100.64.0.1", "CGNAT"),
            ("100.127.255.255", "CGNAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.170", "IETF protocol"),
            ("192.168.1.1", "private"),
            ("198.19.255.255", "benchmarks"),
            ("203.0.113.9", "documentation"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "reserved"),
            ("::1", "loopback"),
            ("::127.0.0.1", "reserved"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::169.254.169.254", "link-local"),
            ("64:ff9b:1::1", "reserved"),
            ("100::1", "reserved"),
            ("2001::1", "IETF protocol"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::1", "loopback"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("3fff::1", "documentation"),
            ("fc00::1", "ULA"),
            ("fd00:ec2::254", "ULA"),
            ("fe80::1", "link-local"),
            ("fec0::1", "reserved"),
            ("ff02::1", "multicast"),
        ] {
            let refused =
                refusal(&[], address).unwrap_or_else(|| panic!("{address} is let through"));
            assert!(refused.contains(what), "{address}: {refused}");
        }
    }

    #[test]
    fn allowed_networks_are_the_only_exceptions() {
        let allowed = ["10.1.0.0/16", "fd12::/16"];
        for address in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "fd12::1",
        ] {
            assert_eq!(refusal(&allowed, address), None, "{address}");
        }
        for address in ["10.2.0.1", "169.254.169.254", "fd13::1", "::1"] {
            assert!(refusal(&allowed, address).is_some(), "{address}");
        }
    }
}
