//! The door to the network: where this manager listens, and what others are told to connect to.
//!
//! It stays closed until somebody opens it. Then the addresses are written down, and each later
//! start opens it again.

mod address;

pub use address::{AddressError, DOOR_PORT, DoorAddress};

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::sleep,
};

/// Pause between tries to open the door again after a start, while something is in the way.
const REOPEN_DELAY: Duration = Duration::from_secs(5);

/// Why the door is not opened.
#[derive(Debug, Error)]
pub enum DoorError {
    /// What was asked for.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is open already, at other addresses.
    #[error("this manager's port is open already, at {0}")]
    Open(DoorAddress),
    /// The system does not let it listen there.
    #[error("can't listen on {address}: {}", skep_proto::os_error::plain(&source.to_string()))]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written down.
    #[error("{}: {}", path.display(), skep_proto::os_error::plain(&source.to_string()))]
    File {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The manager ends.
    #[error("the manager is stopping")]
    Stopping,
}

/// The door of one manager; its clones are the same door.
#[derive(Clone)]
pub struct Door {
    path: PathBuf,
    listeners: mpsc::Sender<TcpListener>,
    open: Arc<Mutex<Option<DoorAddress>>>,
}

impl Door {
    /// Closed. What is opened goes to the receiver, who serves it.
    pub fn new(state_dir: &Path) -> (Door, mpsc::Receiver<TcpListener>) {
        let (listeners, receiver) = mpsc::channel(1);
        (Door { path: state_dir.join("door"), listeners, open: Arc::default() }, receiver)
    }

    /// Where others find it, while it is open.
    pub async fn address(&self) -> Option<DoorAddress> {
        *self.open.lock().await
    }

    /// Opens it, now and at each later start. The same addresses again change nothing.
    pub async fn open(&self, listen: &str, advertise: &str) -> Result<DoorAddress, DoorError> {
        let mut open = self.open.lock().await;
        let address = match *open {
            // Who says nothing means the addresses that it has.
            Some(address) if listen.is_empty() && advertise.is_empty() => return Ok(address),
            Some(_) | None => DoorAddress::choose(listen, advertise)?,
        };
        match *open {
            Some(known) if address.is_met_by(known) => return Ok(known),
            Some(known) => return Err(DoorError::Open(known)),
            None => {}
        }
        let listener = listen_on(address).await?;
        let address = address.with_port_of(&listener);
        self.write(address)?;
        self.listeners.send(listener).await.map_err(|_| DoorError::Stopping)?;
        *open = Some(address);
        tracing::info!(listen = %address.listen, advertise = %address.advertise, "the port for other machines is open");
        Ok(address)
    }

    /// Opens it where an earlier start did. What is in the way is said once, and waited for.
    pub async fn reopen(&self) {
        self.reopen_with(REOPEN_DELAY).await;
    }

    async fn reopen_with(&self, delay: Duration) {
        let address = match self.read() {
            Ok(Some(address)) => address,
            Ok(None) => return,
            Err(error) => {
                return tracing::error!(%error, "the port for other machines stays closed");
            }
        };
        let mut told = false;
        loop {
            let mut open = self.open.lock().await;
            if open.is_some() {
                return;
            }
            match listen_on(address).await {
                Ok(listener) => {
                    *open = Some(address);
                    tracing::info!(listen = %address.listen, "the port for other machines is open");
                    // An error means that the manager ends.
                    self.listeners.send(listener).await.ok();
                    return;
                }
                Err(error) if !told => {
                    tracing::error!(%error, "the port for other machines stays closed; trying again");
                    told = true;
                }
                Err(_) => {}
            }
            drop(open);
            sleep(delay).await;
        }
    }

    fn read(&self) -> Result<Option<DoorAddress>, DoorError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DoorError::File { path: self.path.clone(), source }),
        };
        let damaged = || DoorError::File {
            path: self.path.clone(),
            source: io::Error::other(
                "it does not hold two addresses; remove it, and open the port again",
            ),
        };
        DoorAddress::parse(&text).map(Some).ok_or_else(damaged)
    }

    fn write(&self, address: DoorAddress) -> Result<(), DoorError> {
        let unfinished = self.path.with_extension("new");
        let written = fs::write(&unfinished, address.text())
            .and_then(|()| fs::File::open(&unfinished)?.sync_all())
            .and_then(|()| fs::rename(&unfinished, &self.path));
        written.map_err(|source| DoorError::File { path: self.path.clone(), source })
    }
}

async fn listen_on(address: DoorAddress) -> Result<TcpListener, DoorError> {
    let listener = TcpListener::bind(address.listen).await;
    listener.map_err(|source| DoorError::Listen { address: address.listen, source })
}

#[cfg(test)]
mod tests;
