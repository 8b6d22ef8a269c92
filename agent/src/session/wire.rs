//! One stream to a manager: how it is dialed, and what goes in and out of it.
//!
//! A connection counts as standing when it can take messages: a manager may well wait for the
//! greeting before it answers the call.

use super::{config::ManagerEndpoint, status};
use crate::core::Input;
use hyper_util::rt::TokioIo;
use skep_proto::v1::{FromAgent, ToAgent, dispatcher_client::DispatcherClient, to_agent};
use std::{path::PathBuf, sync};
use thiserror::Error;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

/// Messages of the core that the manager has not taken: at this many the stream is broken off. The
/// core sends beats and one report at a time, so this is a manager that reads nothing.
const CONTROL_MESSAGES_MAX: usize = 64;
/// Largest message of a manager; a larger one breaks the stream. What is larger than 1 MiB comes in
/// parts, and no spec is larger than a command.
const MANAGER_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Why there is no stream.
#[derive(Debug, Error)]
enum WireError {
    #[error("{}: {message}", target.display())]
    Connect { target: PathBuf, message: String },
    #[error("{}", refusal(.0))]
    Refused(#[from] tonic::Status),
    #[error("the manager ended the stream")]
    Ended,
}

/// The stream, or the absence of one.
pub(super) struct Wire {
    target: ManagerEndpoint,
    inbox: mpsc::Sender<Input>,
    status: watch::Sender<status::AgentStatus>,
    outgoing: Outgoing,
    line: u64,
    running: Option<AbortOnDropHandle<()>>,
}

/// The way out, for those beside the core. Leads nowhere while there is no stream.
#[derive(Clone, Default)]
pub(super) struct Outgoing(sync::Arc<sync::Mutex<Option<StreamSenders>>>);

#[derive(Clone)]
struct StreamSenders {
    control: mpsc::Sender<FromAgent>,
    /// For streams beside this one; there is none before the connection stands.
    channel: Option<Channel>,
}

impl Outgoing {
    fn set(&self, senders: Option<StreamSenders>) {
        *self.0.lock().unwrap_or_else(sync::PoisonError::into_inner) = senders;
    }

    fn senders(&self) -> Option<StreamSenders> {
        self.0.lock().unwrap_or_else(sync::PoisonError::into_inner).clone()
    }

    /// Sends it if that costs nothing, else lets it fall.
    pub(super) fn offer(&self, message: FromAgent) {
        if let Some(senders) = self.senders() {
            // Fuller than this, and there is something more important to say than how far a pull
            // is.
            if senders.control.capacity() > CONTROL_MESSAGES_MAX / 2 {
                let _ = senders.control.try_send(message);
            }
        }
    }

    /// The connection, for a stream beside the core's own.
    pub(super) fn client(&self) -> Option<DispatcherClient<Channel>> {
        self.senders().and_then(|senders| senders.channel).map(DispatcherClient::new)
    }

    /// The connection of the stream that writes to `control` stands, unless another stream has
    /// taken its place.
    fn stands(&self, control: &mpsc::WeakSender<FromAgent>, channel: &Channel) {
        let mut senders = self.0.lock().unwrap_or_else(sync::PoisonError::into_inner);
        let control = control.upgrade();
        if let Some(senders) = senders
            .as_mut()
            .filter(|senders| control.is_some_and(|c| c.same_channel(&senders.control)))
        {
            senders.channel = Some(channel.clone());
        }
    }
}

impl Wire {
    pub(super) fn new(
        target: ManagerEndpoint,
        inbox: mpsc::Sender<Input>,
        status: watch::Sender<status::AgentStatus>,
    ) -> Wire {
        Wire { target, inbox, status, outgoing: Outgoing::default(), line: 0, running: None }
    }

    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// Opens a new stream in the place of any other.
    pub(super) fn dial(&mut self, line: u64) {
        self.hang_up();
        self.line = line;
        let (control, messages) = mpsc::channel(CONTROL_MESSAGES_MAX);
        let call = ManagerCall {
            target: self.target.clone(),
            line,
            inbox: self.inbox.clone(),
            status: self.status.clone(),
            outgoing: self.outgoing.clone(),
            control: control.downgrade(),
        };
        self.outgoing.set(Some(StreamSenders { control, channel: None }));
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = call.carry(messages).await {
                status::say_manager(&call.status, &error.to_string());
            }
            // An error means that the agent has ended.
            let _ = call.inbox.send(Input::Broken { line }).await;
        })));
    }

    /// Sends a message of the core, in order. A stream that does not take it is broken off.
    pub(super) fn send(&mut self, message: FromAgent) {
        let sent = self
            .outgoing
            .senders()
            .is_some_and(|senders| senders.control.try_send(message).is_ok());
        if !sent {
            self.break_off();
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.outgoing.set(None);
        self.running = None;
    }

    fn break_off(&mut self) {
        self.hang_up();
        let (inbox, line) = (self.inbox.clone(), self.line);
        tokio::spawn(async move {
            let _ = inbox.send(Input::Broken { line }).await;
        });
    }
}

/// One stream from its dialing to its end.
struct ManagerCall {
    target: ManagerEndpoint,
    line: u64,
    inbox: mpsc::Sender<Input>,
    status: watch::Sender<status::AgentStatus>,
    outgoing: Outgoing,
    control: mpsc::WeakSender<FromAgent>,
}

impl ManagerCall {
    async fn carry(&self, messages: mpsc::Receiver<FromAgent>) -> Result<(), WireError> {
        let line = self.line;
        let channel = connect(&self.target).await?;
        self.outgoing.stands(&self.control, &channel);
        if self.inbox.send(Input::Connected { line }).await.is_err() {
            return Ok(());
        }
        let mut client =
            DispatcherClient::new(channel).max_decoding_message_size(MANAGER_MESSAGE_BYTES_MAX);
        let mut incoming = client.attach(ReceiverStream::new(messages)).await?.into_inner();
        let mut is_turned = false;
        while let Some(message) = incoming.message().await? {
            let message: Box<ToAgent> = Box::new(message);
            is_turned |= matches!(message.message, Some(to_agent::Message::Turned(_)));
            if self.inbox.send(Input::Received { line, message }).await.is_err() {
                return Ok(());
            }
        }
        // A manager that ends the session has said why.
        if is_turned { Ok(()) } else { Err(WireError::Ended) }
    }
}

async fn connect(target: &ManagerEndpoint) -> Result<Channel, WireError> {
    match target {
        ManagerEndpoint::Unix(path) => {
            let socket = path.clone();
            let connector = tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            });
            // The address is not looked at: the connector knows where to go.
            let connected =
                Endpoint::from_static("http://manager").connect_with_connector(connector).await;
            connected.map_err(|error| WireError::Connect {
                target: path.clone(),
                message: root_of(&error),
            })
        }
    }
}

/// What the manager said, or what the kernel said about the connection that broke.
fn refusal(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => format!("the connection to the manager broke: {}", root_of(cause)),
        None => status.message().to_owned(),
    }
}

/// The innermost reason: what the kernel said, without the layers around it.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    system_message(&root.to_string())
}

/// A system's message without the number that the standard library adds, and a plain one for a
/// stream that the other end broke off.
fn system_message(text: &str) -> String {
    if text.contains("stream error") || text.contains("connection error") {
        "the other end closed it".to_owned()
    } else {
        skep_proto::os_error::plain(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_told_by_what_the_kernel_said_and_a_refusal_by_its_own_message() {
        let reset = std::io::Error::from_raw_os_error(nix::libc::ECONNRESET);
        let mut broken = tonic::Status::unknown("transport error");
        broken.set_source(sync::Arc::new(reset));
        assert_eq!(
            WireError::from(broken).to_string(),
            "the connection to the manager broke: connection reset by peer"
        );
        let reset = "stream error received: unexpected internal error encountered";
        assert_eq!(system_message(reset), "the other end closed it");
        let refused = tonic::Status::unavailable("the manager is stopping");
        assert_eq!(WireError::from(refused).to_string(), "the manager is stopping");
    }

    /// A stream to a manager that takes the connection and reads nothing.
    async fn deaf() -> (Wire, mpsc::Receiver<Input>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("skep.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let taken = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
            drop(taken);
        });
        let (inbox, mut inputs) = mpsc::channel(8);
        let mut wire = Wire::new(ManagerEndpoint::Unix(socket), inbox, watch::Sender::default());
        wire.dial(3);
        assert!(matches!(inputs.recv().await, Some(Input::Connected { line: 3 })));
        (wire, inputs, folder)
    }

    #[tokio::test]
    async fn a_manager_that_reads_nothing_is_left_when_too_many_messages_wait() {
        let (mut wire, mut inputs, _folder) = deaf().await;
        let taken = |wire: &Wire| wire.outgoing.senders().map(|senders| senders.control.capacity());
        // Nothing takes a message between these.
        for sent in 0..CONTROL_MESSAGES_MAX {
            assert_eq!(taken(&wire), Some(CONTROL_MESSAGES_MAX - sent));
            wire.send(FromAgent::default());
        }
        assert!(inputs.try_recv().is_err(), "so many may wait");
        wire.send(FromAgent::default());
        assert!(taken(&wire).is_none(), "there is no way out any more");
        assert!(wire.outgoing().client().is_none());
        assert!(matches!(inputs.recv().await, Some(Input::Broken { line: 3 })));
        wire.send(FromAgent::default());
        assert!(
            matches!(inputs.recv().await, Some(Input::Broken { line: 3 })),
            "still there is none"
        );
    }

    #[tokio::test]
    async fn news_of_pulls_leaves_half_of_the_way_to_what_matters() {
        let (mut wire, mut inputs, _folder) = deaf().await;
        let outgoing = wire.outgoing();
        for _ in 0..2 * CONTROL_MESSAGES_MAX {
            outgoing.offer(FromAgent::default());
        }
        for _ in 0..CONTROL_MESSAGES_MAX / 2 {
            wire.send(FromAgent::default());
        }
        assert!(inputs.try_recv().is_err(), "there was room for all of them");
        wire.send(FromAgent::default());
        assert!(matches!(inputs.recv().await, Some(Input::Broken { line: 3 })));
    }
}
