//! One stream to a manager: how it is dialed, and what goes in and out of it.
//!
//! A connection counts as standing when it can take messages: a manager may well wait for the
//! greeting before it answers the call.

use super::{config::ManagerEndpoint, credentials::NodeCredentials, dial, status};
use crate::core::Input;
use futures::{StreamExt as _, stream};
use skep_proto::v1::{
    FromAgent, ToAgent, dispatcher_client::DispatcherClient, from_agent, to_agent,
};
use std::sync;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

/// Messages of the core that the manager has not taken: at this many the stream is broken off. The
/// core sends beats and one report at a time, so this is a manager that reads nothing.
const CONTROL_MESSAGES_MAX: usize = 64;
/// Largest message of a manager; a larger one breaks the stream. What is larger than 1 MiB comes in
/// parts, and no spec is larger than a command.
const MANAGER_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Why there is no stream.
#[derive(Debug, Error)]
enum WireError {
    #[error(transparent)]
    Dial(#[from] dial::DialError),
    #[error("{}", refusal(.0))]
    Refused(#[from] tonic::Status),
    #[error("the manager ended the stream")]
    Ended,
}

/// The stream, or the absence of one.
pub(super) struct Wire {
    /// Where the newest stream leads.
    target: ManagerEndpoint,
    credentials: NodeCredentials,
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
        credentials: NodeCredentials,
        inbox: mpsc::Sender<Input>,
        status: watch::Sender<status::AgentStatus>,
    ) -> Wire {
        let outgoing = Outgoing::default();
        Wire { target, credentials, inbox, status, outgoing, line: 0, running: None }
    }

    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// Where the newest stream leads, or led.
    pub(super) fn target(&self) -> &ManagerEndpoint {
        &self.target
    }

    /// Opens a new stream to this manager in the place of any other.
    pub(super) fn dial(&mut self, line: u64, target: ManagerEndpoint) {
        self.hang_up();
        (self.line, self.target) = (line, target);
        let (control, messages) = mpsc::channel(CONTROL_MESSAGES_MAX);
        let call = ManagerCall {
            target: self.target.clone(),
            credentials: self.credentials.clone(),
            line,
            inbox: self.inbox.clone(),
            status: self.status.clone(),
            outgoing: self.outgoing.clone(),
            control: control.downgrade(),
        };
        self.outgoing.set(Some(StreamSenders { control, channel: None }));
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let end = match call.carry(messages).await {
                Ok(()) => Input::Broken { line },
                Err(error) => {
                    let message = error.to_string();
                    status::say_manager(&call.status, &call.target, &message);
                    match error {
                        WireError::Dial(dial::DialError::Untrusted { .. }) => {
                            Input::Untrusted { line, message }
                        }
                        WireError::Dial(dial::DialError::Connect { .. })
                        | WireError::Refused(_)
                        | WireError::Ended => Input::Broken { line },
                    }
                }
            };
            // An error means that the agent has ended.
            let _ = call.inbox.send(end).await;
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
    credentials: NodeCredentials,
    line: u64,
    inbox: mpsc::Sender<Input>,
    status: watch::Sender<status::AgentStatus>,
    outgoing: Outgoing,
    control: mpsc::WeakSender<FromAgent>,
}

impl ManagerCall {
    async fn carry(&self, mut messages: mpsc::Receiver<FromAgent>) -> Result<(), WireError> {
        let line = self.line;
        let channel = dial::connect(&self.target, &self.credentials).await?;
        self.outgoing.stands(&self.control, &channel);
        if self.inbox.send(Input::Connected { line }).await.is_err() {
            return Ok(());
        }
        let mut client =
            DispatcherClient::new(channel).max_decoding_message_size(MANAGER_MESSAGE_BYTES_MAX);
        let Some(first) = messages.recv().await else { return Ok(()) };
        // Before there is a certificate there is no stream, but one question and one answer.
        if let Some(from_agent::Message::Join(join)) = first.message {
            let message = Box::new(client.join(join).await?.into_inner());
            // An error means that the agent has ended.
            let _ = self.inbox.send(Input::Received { line, message }).await;
            return Ok(());
        }
        let messages = stream::iter([first]).chain(ReceiverStream::new(messages));
        let mut incoming = client.attach(messages).await?.into_inner();
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

/// What the manager said, or what the kernel said about the connection that broke.
fn refusal(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => format!("the connection to the manager broke: {}", dial::root_of(cause)),
        None => status.message().to_owned(),
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
        assert_eq!(dial::system_message(reset), "the other end closed it");
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
        let credentials =
            NodeCredentials::open(folder.path(), skep_trust::KeyLock::default(), None).unwrap();
        let target = ManagerEndpoint::Unix(socket);
        let mut wire = Wire::new(target.clone(), credentials, inbox, watch::Sender::default());
        wire.dial(3, target);
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
