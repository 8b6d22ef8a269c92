//! Streams between agents and the manager: in order, delayed, and broken in every way that a
//! connection can break.
//!
//! A stream has two directions. Each carries messages in order until it goes mute: from then on
//! what is sent that way is lost, although both ends still believe in the stream. A stream that is
//! cut carries nothing either way; each end notices in its own time, which is what "half-open"
//! means.

use skep_gateway::sessions::{Conn, NodeOfPeer};
use skep_proto::{Timestamp, v1::ToAgent};
use std::collections::BTreeMap;

/// Messages to an agent that are remembered, so that one may arrive once more, late.
const REMEMBERED_MAX: usize = 4;

/// Messages that wait for an agent which reads nothing; at it the queue is full.
const UNREAD_MAX: usize = 3;

/// One way of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the agent.
    ToManager,
    /// From the manager.
    ToAgent,
}

/// One stream.
#[derive(Clone, Debug)]
pub struct SimulatedStream {
    /// Whose agent.
    pub agent: usize,
    /// The agent's number for it.
    pub line: u64,
    /// The certificate that the agent has shown.
    pub certificate: Option<NodeOfPeer>,
    /// Whether messages to the manager are lost.
    mute_to_manager: bool,
    /// Whether messages to the agent are lost.
    mute_to_agent: bool,
    /// When the newest message to the manager arrives: later ones come later.
    to_manager: Timestamp,
    /// The same the other way.
    to_agent: Timestamp,
    /// Messages to the agent since they began to be lost.
    unread: usize,
    remembered: Vec<ToAgent>,
}

/// All streams that carry something.
#[derive(Default)]
pub struct Net {
    streams: BTreeMap<Conn, SimulatedStream>,
    newest: u64,
}

impl Net {
    /// A new stream from an agent.
    pub fn open(&mut self, agent: usize, line: u64, certificate: Option<NodeOfPeer>) -> Conn {
        self.newest += 1;
        let conn = Conn(self.newest);
        let stream = SimulatedStream {
            agent,
            line,
            certificate,
            mute_to_manager: false,
            mute_to_agent: false,
            to_manager: Timestamp::NEVER,
            to_agent: Timestamp::NEVER,
            unread: 0,
            remembered: Vec::new(),
        };
        self.streams.insert(conn, stream);
        conn
    }

    /// The stream, while it stands.
    pub fn get(&self, conn: Conn) -> Option<&SimulatedStream> {
        self.streams.get(&conn)
    }

    /// Cuts it: what is under way is lost.
    pub fn cut(&mut self, conn: Conn) -> Option<SimulatedStream> {
        self.streams.remove(&conn)
    }

    /// What is sent this way from now on is lost.
    pub fn mute(&mut self, conn: Conn, way: Direction) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            match way {
                Direction::ToManager => stream.mute_to_manager = true,
                Direction::ToAgent => stream.mute_to_agent = true,
            }
        }
    }

    /// Whether what is sent this way is lost.
    pub fn is_mute(&self, conn: Conn, way: Direction) -> bool {
        self.streams.get(&conn).is_some_and(|stream| match way {
            Direction::ToManager => stream.mute_to_manager,
            Direction::ToAgent => stream.mute_to_agent,
        })
    }

    /// Whether the manager's queue for this stream has room for another message. Those that are
    /// lost on the way to the agent stay there.
    pub fn takes(&mut self, conn: Conn) -> bool {
        let Some(stream) = self.streams.get_mut(&conn) else { return true };
        stream.unread += usize::from(stream.mute_to_agent);
        stream.unread <= UNREAD_MAX
    }

    /// All that stand.
    pub fn all(&self) -> Vec<Conn> {
        self.streams.keys().copied().collect()
    }

    /// When a message that is sent now arrives, after those before it; never, if it is lost.
    pub fn arrival(&mut self, conn: Conn, way: Direction, at: Timestamp) -> Option<Timestamp> {
        let stream = self.streams.get_mut(&conn)?;
        let (newest, mute) = match way {
            Direction::ToManager => (&mut stream.to_manager, stream.mute_to_manager),
            Direction::ToAgent => (&mut stream.to_agent, stream.mute_to_agent),
        };
        if mute {
            return None;
        }
        *newest = at.max(*newest + 1);
        Some(*newest)
    }

    /// Keeps a message that was sent to the agent.
    pub fn remember(&mut self, conn: Conn, message: ToAgent) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            if stream.remembered.len() == REMEMBERED_MAX {
                stream.remembered.remove(0);
            }
            stream.remembered.push(message);
        }
    }

    /// The oldest of the messages that are remembered.
    pub fn recall(&self, conn: Conn) -> Option<ToAgent> {
        self.streams.get(&conn)?.remembered.first().cloned()
    }
}
