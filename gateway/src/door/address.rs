//! Which addresses a door has: those asked for, or the only ones that are possible.

use nix::net::if_::InterfaceFlags;
use skep_projections::{View, node::PortAddresses};
use skep_proto::Id;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use thiserror::Error;
use tokio::net::TcpListener;

/// The port that managers listen on where nobody says another.
pub const DOOR_PORT: u16 = 2377;

/// Where a door listens, and where others find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoorAddress {
    /// The system is asked to listen there.
    pub listen: SocketAddr,
    /// Others are told to connect there.
    pub advertise: SocketAddr,
}

/// Why there is no such address.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// Not an address.
    #[error("{text:?} is not an address: HOST or HOST:PORT, where HOST is an IP address")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// Several, and nobody said which.
    #[error(
        "this machine has several addresses ({}): say which one others reach it by, with \
         --advertise-addr",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Several(Vec<IpAddr>),
    /// None but the loopback's.
    #[error(
        "this machine has no IPv4 address but the loopback's: say which one others reach it by, \
         with --advertise-addr"
    )]
    None,
    /// Nobody can connect to it.
    #[error("nobody can connect to {0}: --advertise-addr takes the address of one machine")]
    Unspecified(IpAddr),
}

impl DoorAddress {
    /// The addresses asked for. Empty text means what is recorded, or leaves the choice where
    /// nothing is. `HOST` alone has port 2377, or the port that is listened on. Where others find
    /// the port moves with it if it is on this machine, and stays if somebody forwards it.
    pub fn choose(
        recorded: Option<DoorAddress>,
        listen: &str,
        advertise: &str,
    ) -> Result<DoorAddress, AddressError> {
        DoorAddress::choose_from(recorded, listen, advertise, &OwnAddresses::read())
    }

    /// The same for a machine that others reach at this address, unless somebody says another.
    pub fn choose_reached_at(
        own: IpAddr,
        listen: &str,
        advertise: &str,
    ) -> Result<DoorAddress, AddressError> {
        let own = OwnAddresses { reached: vec![own], all: vec![own] };
        DoorAddress::choose_from(None, listen, advertise, &own)
    }

    fn choose_from(
        recorded: Option<DoorAddress>,
        listen: &str,
        advertise: &str,
        own: &OwnAddresses,
    ) -> Result<DoorAddress, AddressError> {
        if let Some(recorded) = recorded.filter(|_| listen.is_empty() && advertise.is_empty()) {
            return Ok(recorded);
        }
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DOOR_PORT));
        let listen = match listen {
            "" => recorded.map_or(everywhere, |recorded| recorded.listen),
            text => read(text, DOOR_PORT)?,
        };
        let host = match (advertise, recorded, listen.ip().is_unspecified()) {
            ("", Some(recorded), _) => recorded.advertise_after(listen, own),
            ("", None, false) => SocketAddr::new(listen.ip(), listen.port()),
            ("", None, true) => match &own.reached[..] {
                [] => return Err(AddressError::None),
                [only] => SocketAddr::new(*only, listen.port()),
                several => return Err(AddressError::Several(several.to_vec())),
            },
            (text, ..) => read(text, listen.port())?,
        };
        if host.ip().is_unspecified() {
            return Err(AddressError::Unspecified(host.ip()));
        }
        Ok(DoorAddress { listen, advertise: host })
    }

    /// Where others find the port once it listens elsewhere.
    fn advertise_after(self, listen: SocketAddr, own: &OwnAddresses) -> SocketAddr {
        let is_left = own.has(self.advertise.ip()) && !listen.ip().is_unspecified();
        let ip = if is_left { listen.ip() } else { self.advertise.ip() };
        let is_same_port = self.advertise.port() == self.listen.port();
        let port = if is_same_port { listen.port() } else { self.advertise.port() };
        SocketAddr::new(ip, port)
    }

    /// What somebody who asks for this should know although it may be right.
    pub fn warning(self) -> Option<String> {
        let ip = self.advertise.ip();
        (!OwnAddresses::read().has(ip)).then(|| {
            format!(
                "no interface of this machine has the address {ip}: other machines reach this one \
                 there only if something forwards that address to it, as NAT does"
            )
        })
    }

    /// The same, where the system was left to choose the port: with the one that it chose.
    pub(super) fn with_port_of(self, listener: &TcpListener) -> DoorAddress {
        self.with_port(listener.local_addr().map_or(self.listen.port(), |chosen| chosen.port()))
    }

    /// The same, where that is known.
    #[must_use]
    pub fn with_port(self, port: u16) -> DoorAddress {
        let given = |address: SocketAddr| match address.port() {
            0 => SocketAddr::new(address.ip(), port),
            _ => address,
        };
        DoorAddress { listen: given(self.listen), advertise: given(self.advertise) }
    }

    /// As the log has it.
    pub fn recorded(self) -> PortAddresses {
        let (listen, advertise) = (self.listen.to_string(), self.advertise.to_string());
        PortAddresses { listen, advertise }
    }

    /// What the log says of this manager's port.
    pub fn of(manager: Id, view: &View) -> Option<DoorAddress> {
        let (_, row) = view.nodes().by_id(manager).filter(|(_, row)| !row.removed)?;
        row.port.as_deref().and_then(DoorAddress::parse)
    }

    /// What the log has; none where that is no address.
    pub fn parse(recorded: &PortAddresses) -> Option<DoorAddress> {
        let PortAddresses { listen, advertise } = recorded;
        Some(DoorAddress { listen: listen.parse().ok()?, advertise: advertise.parse().ok()? })
    }
}

impl fmt::Display for DoorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.listen == self.advertise {
            return write!(f, "{}", self.listen);
        }
        write!(f, "{} (others reach it at {})", self.listen, self.advertise)
    }
}

fn read(text: &str, port: u16) -> Result<SocketAddr, AddressError> {
    let host = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    let address = text.parse().ok().or_else(|| host(text));
    address.ok_or_else(|| AddressError::Malformed { text: text.chars().take(80).collect() })
}

/// The addresses of this machine's interfaces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct OwnAddresses {
    /// The IPv4 addresses by which others may reach this machine: no loopback's, none that holds on
    /// one link alone, and none of the bridges that container engines make.
    reached: Vec<IpAddr>,
    /// All of them.
    pub(super) all: Vec<IpAddr>,
}

impl OwnAddresses {
    pub(super) fn read() -> OwnAddresses {
        let mut own = OwnAddresses::default();
        for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
            let Some(address) = interface.address.filter(|_| is_up) else { continue };
            let inner = ["docker", "br-", "veth", "virbr", "cni", "flannel"];
            let name = interface.interface_name;
            let is_inner = inner.iter().any(|prefix| name.starts_with(prefix));
            if let Some(ip) = address.as_sockaddr_in().map(|v4| v4.ip()) {
                own.all.push(ip.into());
                if !is_inner && !ip.is_loopback() && !ip.is_link_local() {
                    own.reached.push(ip.into());
                }
            }
            own.all.extend(address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())));
        }
        for addresses in [&mut own.reached, &mut own.all] {
            addresses.sort_unstable();
            addresses.dedup();
        }
        own
    }

    /// Whether this is an address of this machine. All of 127.0.0.0/8 is.
    fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.all.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owning(own: &[[u8; 4]]) -> OwnAddresses {
        let own: Vec<IpAddr> = own.iter().map(|ip| IpAddr::from(*ip)).collect();
        OwnAddresses { reached: own.clone(), all: own }
    }

    fn chosen(listen: &str, advertise: &str, own: &[[u8; 4]]) -> Result<String, AddressError> {
        let address = DoorAddress::choose_from(None, listen, advertise, &owning(own))?;
        Ok(format!("{} {}", address.listen, address.advertise))
    }

    #[test]
    fn what_is_not_said_is_chosen_where_there_is_no_choice() {
        let one = [[10, 0, 0, 1]];
        let cases = [
            ("", "", "0.0.0.0:2377 10.0.0.1:2377"),
            ("0.0.0.0:4000", "", "0.0.0.0:4000 10.0.0.1:4000"),
            ("127.0.0.1:4000", "", "127.0.0.1:4000 127.0.0.1:4000"),
            ("127.0.0.1", "10.0.0.9", "127.0.0.1:2377 10.0.0.9:2377"),
            ("0.0.0.0:4000", "10.0.0.9", "0.0.0.0:4000 10.0.0.9:4000"),
            ("[::1]:4000", "", "[::1]:4000 [::1]:4000"),
            ("", "10.0.0.9:5000", "0.0.0.0:2377 10.0.0.9:5000"),
        ];
        for (listen, advertise, expected) in cases {
            assert_eq!(chosen(listen, advertise, &one).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_or_open_is_refused_with_the_flag_to_use() {
        let two = [[10, 0, 0, 1], [10, 0, 1, 1]];
        let several = chosen("", "", &two).unwrap_err().to_string();
        assert!(several.contains("10.0.0.1, 10.0.1.1"), "{several}");
        assert!(several.contains("--advertise-addr"), "{several}");
        assert_eq!(chosen("", "", &[]), Err(AddressError::None));
        for text in ["nowhere", "10.0.0.1:", "10.0.0.1:70000", "http://10.0.0.1"] {
            assert!(
                matches!(chosen(text, "", &two), Err(AddressError::Malformed { .. })),
                "{text}"
            );
        }
        let unspecified = chosen("", "0.0.0.0", &two).unwrap_err();
        assert_eq!(unspecified, AddressError::Unspecified(Ipv4Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn where_others_find_a_port_moves_with_it_unless_somebody_forwards_it() {
        let own = owning(&[[10, 0, 0, 1], [10, 0, 1, 1]]);
        let cases = [
            ("0.0.0.0:2377", "10.0.0.1:2377", "10.0.1.1", "10.0.1.1:2377"),
            ("0.0.0.0:2377", "10.0.0.1:2377", "10.0.1.1:4000", "10.0.1.1:4000"),
            ("0.0.0.0:2377", "10.0.0.1:2377", "0.0.0.0:4000", "10.0.0.1:4000"),
            ("10.0.0.1:2377", "10.0.0.1:2377", "0.0.0.0", "10.0.0.1:2377"),
            ("127.0.0.1:2377", "127.0.0.1:2377", "127.0.0.2:4000", "127.0.0.2:4000"),
            ("0.0.0.0:2377", "203.0.113.5:2377", "10.0.1.1", "203.0.113.5:2377"),
            ("0.0.0.0:2377", "203.0.113.5:2377", "10.0.1.1:4000", "203.0.113.5:4000"),
            ("0.0.0.0:2377", "203.0.113.5:9000", "10.0.1.1:4000", "203.0.113.5:9000"),
        ];
        for (listen, advertise, asked, expected) in cases {
            let read = |text: &str| text.parse().unwrap();
            let before = DoorAddress { listen: read(listen), advertise: read(advertise) };
            let after = DoorAddress::choose_from(Some(before), asked, "", &own).unwrap();
            assert_eq!(after.advertise.to_string(), expected, "{before} moved to {asked}");
        }
    }

    #[test]
    fn an_address_that_no_interface_has_is_warned_of() {
        let warned = |advertise: &str| {
            let address = DoorAddress::choose(None, "127.0.0.1", advertise).unwrap();
            address.warning().unwrap_or_default()
        };
        assert!(warned("192.0.2.7").contains("no interface of this machine has the address"));
        assert_eq!((warned(""), warned("127.0.0.2")), (String::new(), String::new()));
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let address =
            DoorAddress::choose_from(None, "0.0.0.0:4000", "10.0.0.1", &owning(&[])).unwrap();
        assert_eq!(DoorAddress::parse(&address.recorded()), Some(address));
        let (listen, advertise) = ("0.0.0.0:4000".into(), "nowhere".into());
        assert_eq!(DoorAddress::parse(&PortAddresses { listen, advertise }), None);
    }
}
