//! The port for other machines: where this manager listens, and what others are told to connect to.
//!
//! The log says where that is: it stays closed until somebody opens it, each later start opens it
//! again, and it moves when the log says another address. One task, the keeper, looks what the log
//! says and opens and closes; nobody else does.

mod address;
mod watch;

use address::OwnAddresses;
pub use address::{AddressError, DOOR_PORT, DoorAddress};
pub use watch::{AuthorityTrouble, DoorReport, DoorState, DoorWatch, TurnedAway};

use crate::admit::Refusal;
use skep_proto::v1::RefusalCode;
use std::{io, net, net::SocketAddr, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Between two looks at what the log says, and between two tries while something is in the way.
const PORT_LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Between the first tries: a port that moves to another address of the same number must be closed
/// first.
const PORT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Tries after such short pauses.
const QUICK_TRIES_MAX: u32 = 20;
/// Somebody who has had the port opened waits so long for it.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// Why the port is not open.
#[derive(Debug, Error)]
pub enum DoorError {
    /// What was asked for.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system does not let it listen there.
    #[error("can't listen on {address}: {}", skep_proto::os_error::plain(&source.to_string()))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It is recorded, and something came in between.
    #[error("the port is recorded and not open yet: {0}")]
    NotYet(String),
}

impl DoorError {
    fn is_in_use(&self) -> bool {
        match self {
            DoorError::Listen { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            DoorError::Address(_) | DoorError::NotYet(_) => false,
        }
    }

    /// As whoever asked for the port hears it.
    pub fn refusal(&self) -> Refusal {
        let (code, hint) = match self {
            DoorError::Address(_) => (RefusalCode::Invalid, ""),
            DoorError::Listen { .. } => (
                RefusalCode::Precondition,
                "free that address, or choose another one with --listen-addr",
            ),
            DoorError::NotYet(_) => (
                RefusalCode::Precondition,
                "free that address, or choose another one with --listen-addr; it is tried again \
                 every few seconds",
            ),
        };
        Refusal { code, message: self.to_string(), hint: hint.into() }
    }
}

/// An open port for who serves it.
pub struct OpenPort {
    /// The system's socket.
    pub listener: TcpListener,
    /// The port has moved: no more connections are taken here.
    pub moved: CancellationToken,
}

/// The port of one manager, for those who ask about it; its clones are the same one.
#[derive(Clone)]
pub struct Door {
    watch: DoorWatch,
    look: Arc<Notify>,
}

/// The one who opens and closes the port.
pub struct DoorOpener {
    door: Door,
    ports: mpsc::Sender<OpenPort>,
    /// What is open, and how to close it.
    open: Option<(DoorAddress, CancellationToken)>,
    tries: u32,
}

impl Door {
    /// Closed. What is opened goes to the receiver, who serves it.
    pub fn new(watch: DoorWatch) -> (Door, DoorOpener, mpsc::Receiver<OpenPort>) {
        let (ports, receiver) = mpsc::channel(1);
        let door = Door { watch, look: Arc::default() };
        (door.clone(), DoorOpener { door, ports, open: None, tries: 0 }, receiver)
    }

    /// How it is.
    pub fn state(&self) -> DoorState {
        self.watch.look().port
    }

    /// Where others find it, while it is open.
    pub fn address(&self) -> Option<DoorAddress> {
        match self.state() {
            DoorState::Open(address) => Some(address),
            DoorState::Closed | DoorState::Blocked { .. } => None,
        }
    }

    /// The addresses that somebody means who says these. What is empty stays as it is recorded, and
    /// is chosen where nothing is. Refuses what nobody can listen on, as far as that shows now.
    pub async fn choose(
        &self,
        recorded: Option<DoorAddress>,
        listen: &str,
        advertise: &str,
    ) -> Result<DoorAddress, DoorError> {
        let asked = DoorAddress::choose(recorded, listen, advertise)?;
        let open = self.address().map(|open| open.listen);
        if open == Some(asked.listen) {
            return Ok(asked);
        }
        match listen_on(asked.listen).await {
            Ok(listener) => Ok(asked.with_port_of(&listener)),
            // Where this manager itself listens, it would be in its own way.
            Err(error)
                if open.is_some_and(|open| overlap(open, asked.listen) && error.is_in_use()) =>
            {
                others_in_the_way(open, asked.listen, &OwnAddresses::read().all).await?;
                Ok(asked)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the log looked at, and waits until the port is open where it says.
    pub async fn await_open(&self, address: DoorAddress) -> Result<(), DoorError> {
        let opened = async {
            while self.address() != Some(address) {
                self.look.notify_one();
                sleep(PORT_RETRY_DELAY).await;
            }
        };
        timeout(OPEN_LIMIT, opened).await.map_err(|_| {
            DoorError::NotYet(match self.state() {
                DoorState::Blocked { message, .. } => message,
                DoorState::Open(_) | DoorState::Closed => "somebody else has moved it".into(),
            })
        })
    }
}

impl DoorOpener {
    /// Opens, moves and closes the port until dropped; `recorded` is what the log says.
    pub async fn keep(mut self, recorded: impl Fn() -> Option<DoorAddress>) {
        loop {
            self.follow(recorded()).await;
            let pause = match self.door.state() {
                DoorState::Blocked { .. } if self.tries < QUICK_TRIES_MAX => PORT_RETRY_DELAY,
                DoorState::Blocked { .. } | DoorState::Open(_) | DoorState::Closed => {
                    PORT_LOOK_PERIOD
                }
            };
            // Either way it is looked at again.
            timeout(pause, self.door.look.notified()).await.ok();
        }
    }

    async fn follow(&mut self, recorded: Option<DoorAddress>) {
        let is_open_there = |address: &DoorAddress| {
            self.open.as_ref().is_some_and(|(open, _)| open.listen == address.listen)
        };
        if !recorded.as_ref().is_some_and(is_open_there)
            && let Some((_, moved)) = self.open.take()
        {
            moved.cancel();
        }
        let Some(address) = recorded else { return self.door.watch.port(DoorState::Closed) };
        if self.open.is_none() {
            match listen_on(address.listen).await {
                Ok(listener) => self.serve(address, listener).await,
                Err(error) => return self.blocked(address, &error.to_string()),
            }
        }
        if self.door.state() != DoorState::Open(address) {
            tracing::info!(listen = %address.listen, advertise = %address.advertise, "the port for other machines is open");
        }
        self.tries = 0;
        self.door.watch.port(DoorState::Open(address));
    }

    async fn serve(&mut self, address: DoorAddress, listener: TcpListener) {
        let moved = CancellationToken::new();
        // An error means that the manager ends.
        self.ports.send(OpenPort { listener, moved: moved.clone() }).await.ok();
        self.open = Some((address, moved));
    }

    /// What is in the way is logged once.
    fn blocked(&mut self, address: DoorAddress, message: &str) {
        self.tries = self.tries.saturating_add(1);
        if self.tries == QUICK_TRIES_MAX {
            tracing::error!(error = %message, "the port for other machines stays closed; trying again");
        }
        self.door.watch.port(DoorState::Blocked { address, message: message.to_owned() });
    }
}

async fn listen_on(address: SocketAddr) -> Result<TcpListener, DoorError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| DoorError::Listen { address, source })
}

/// Whether who listens on one of them keeps the other from being listened on.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Refuses to listen on every address of the machine where somebody else has the port of one.
async fn others_in_the_way(
    open: Option<SocketAddr>,
    asked: SocketAddr,
    own: &[net::IpAddr],
) -> Result<(), DoorError> {
    if !asked.ip().is_unspecified() || open.is_none_or(|open| open.ip().is_unspecified()) {
        return Ok(());
    }
    for ip in own.iter().filter(|ip| ip.is_ipv4() == asked.is_ipv4()) {
        let address = SocketAddr::new(*ip, asked.port());
        match listen_on(address).await {
            Err(error) if error.is_in_use() && open != Some(address) => return Err(error),
            // An address that can't be listened on for another reason keeps nobody from the rest.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
