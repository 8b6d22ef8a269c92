//! The port of a manager: opened, moved, closed, and opened again by a later start.

use super::*;
use std::sync::{Mutex, MutexGuard};

const NOWHERE: &str = "127.0.0.1:0";

/// A port with its keeper, and what the log says.
struct KeptPort {
    door: Door,
    opened: mpsc::Receiver<OpenPort>,
    recorded: Arc<Mutex<Option<DoorAddress>>>,
}

impl KeptPort {
    /// A manager starts with this in its log.
    fn start(recorded: Option<DoorAddress>) -> KeptPort {
        let (door, opener, opened) = Door::new(DoorWatch::default());
        let recorded = Arc::new(Mutex::new(recorded));
        let says = recorded.clone();
        tokio::spawn(opener.keep(move || *says.lock().unwrap()));
        KeptPort { door, opened, recorded }
    }

    fn log(&self) -> MutexGuard<'_, Option<DoorAddress>> {
        self.recorded.lock().unwrap()
    }

    /// What a person's command does, from the addresses asked for to the open port.
    async fn open(&self, listen: &str, advertise: &str) -> Result<DoorAddress, DoorError> {
        let recorded = *self.log();
        let address = self.door.choose(recorded, listen, advertise).await?;
        *self.log() = Some(address);
        self.door.await_open(address).await?;
        Ok(address)
    }
}

#[tokio::test]
async fn it_is_closed_until_somebody_opens_it() {
    let mut port = KeptPort::start(None);
    assert_eq!(port.door.state(), DoorState::Closed);
    let address = port.open(NOWHERE, "").await.unwrap();
    assert_ne!(address.listen.port(), 0, "the system chose one, and it is kept");
    assert_eq!(address.listen, address.advertise);
    assert!(!port.opened.try_recv().unwrap().moved.is_cancelled());
    assert_eq!(port.open("", "").await.unwrap(), address, "it is open");
    assert!(port.opened.try_recv().is_err());
}

#[tokio::test]
async fn what_is_not_said_stays_as_it_is_recorded() {
    let mut port = KeptPort::start(None);
    let first = port.open(NOWHERE, "").await.unwrap();
    let served = port.opened.try_recv().unwrap();
    let moved = port.open("", "10.0.0.9").await.unwrap();
    assert_eq!(moved.listen, first.listen);
    assert_eq!(moved.advertise, SocketAddr::from(([10, 0, 0, 9], first.listen.port())));
    assert_eq!(port.open("", "").await.unwrap(), moved);
    assert!(port.opened.try_recv().is_err() && !served.moved.is_cancelled());
}

#[tokio::test]
async fn a_port_that_moves_takes_no_more_connections_where_it_was() {
    let mut port = KeptPort::start(None);
    let first = port.open(NOWHERE, "").await.unwrap();
    let before = port.opened.try_recv().unwrap();
    let second = port.open(NOWHERE, "").await.unwrap();
    assert_ne!(first, second);
    assert!(before.moved.is_cancelled());
    let served = port.opened.try_recv().unwrap();
    assert!(!served.moved.is_cancelled());
    drop(before);

    // To another address with the same number, which is free when the old one is closed.
    let number = second.listen.port();
    let serving = tokio::spawn(async move {
        served.moved.cancelled().await;
        drop(served.listener);
    });
    let third = port.open(&format!("0.0.0.0:{number}"), "127.0.0.1").await.unwrap();
    assert_eq!(third.listen, SocketAddr::from(([0, 0, 0, 0], number)));
    serving.await.unwrap();
    assert!(!port.opened.try_recv().unwrap().moved.is_cancelled());
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_refused_before_it_is_recorded() {
    let taken = std::net::TcpListener::bind(NOWHERE).unwrap();
    let port = KeptPort::start(None);
    let address = taken.local_addr().unwrap();
    let error = port.open(&address.to_string(), "").await.unwrap_err().to_string();
    assert_eq!(error, format!("can't listen on {address}: address already in use"));
    assert_eq!(*port.log(), None);
}

#[tokio::test]
async fn an_open_port_stays_where_it_is_when_it_can_not_move() {
    let mut port = KeptPort::start(None);
    let address = port.open(NOWHERE, "203.0.113.5").await.unwrap();
    let served = port.opened.try_recv().unwrap();
    let number = address.listen.port();
    let taken = std::net::TcpListener::bind(format!("127.0.0.2:{number}")).unwrap();
    for (listen, why) in [
        (format!("127.0.0.2:{number}"), "address already in use"),
        (format!("192.0.2.7:{number}"), "cannot assign requested address"),
    ] {
        let error = port.open(&listen, "").await.unwrap_err().to_string();
        assert_eq!(error, format!("can't listen on {listen}: {why}"));
    }
    let everywhere = SocketAddr::from(([0, 0, 0, 0], number));
    let own = [[127, 0, 0, 1], [127, 0, 0, 2]].map(net::IpAddr::from);
    let error = others_in_the_way(Some(address.listen), everywhere, &own).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.2"), "{error}");
    assert_eq!(port.door.state(), DoorState::Open(address));
    assert!(!served.moved.is_cancelled(), "who is connected stays connected");
    drop(taken);
    others_in_the_way(Some(address.listen), everywhere, &own).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_at_a_start_is_opened_when_it_is_free() {
    let taken = std::net::TcpListener::bind(NOWHERE).unwrap();
    let listen = taken.local_addr().unwrap();
    let address = DoorAddress { listen, advertise: listen };
    let mut port = KeptPort::start(Some(address));
    while port.door.state() == DoorState::Closed {
        sleep(PORT_RETRY_DELAY).await;
    }
    let message = format!("can't listen on {listen}: address already in use");
    assert_eq!(port.door.state(), DoorState::Blocked { address, message });
    drop(taken);
    port.door.await_open(address).await.unwrap();
    port.opened.try_recv().unwrap();
    assert_eq!(port.open("", "").await.unwrap(), address, "it keeps its addresses");
}

#[tokio::test]
async fn a_port_that_the_log_does_not_know_any_more_is_closed() {
    let mut port = KeptPort::start(None);
    let address = port.open(NOWHERE, "").await.unwrap();
    let served = port.opened.try_recv().unwrap();
    *port.log() = None;
    let waiting = port
        .door
        .await_open(DoorAddress { listen: address.listen, advertise: ([1, 1, 1, 1], 1).into() });
    let error = waiting.await.unwrap_err().to_string();
    assert_eq!(error, "the port is recorded and not open yet: somebody else has moved it");
    assert_eq!(port.door.state(), DoorState::Closed);
    assert!(served.moved.is_cancelled());
}
