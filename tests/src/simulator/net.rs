//! Streams between agents and the manager: in order, delayed, sometimes repeated, sometimes cut.
//!
//! A message that is on its way when its stream is cut is lost, as in a connection that breaks.

use skep_gateway::sessions::Conn;
use skep_proto::Timestamp;
use std::collections::BTreeMap;

/// One stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Whose agent.
    pub agent: usize,
    /// The agent's number for it.
    pub line: u64,
    /// When the newest message to the manager arrives: later ones come later.
    pub to_manager: Timestamp,
    /// The same the other way.
    pub to_agent: Timestamp,
}

/// All streams that stand.
#[derive(Default)]
pub struct Net {
    streams: BTreeMap<Conn, Stream>,
    newest: u64,
}

impl Net {
    /// A new stream from an agent.
    pub fn open(&mut self, agent: usize, line: u64) -> Conn {
        self.newest += 1;
        let conn = Conn(self.newest);
        let never = Timestamp::NEVER;
        self.streams.insert(conn, Stream { agent, line, to_manager: never, to_agent: never });
        conn
    }

    /// The stream, while it stands.
    pub fn get(&self, conn: Conn) -> Option<Stream> {
        self.streams.get(&conn).copied()
    }

    /// The agent's stream, while it stands.
    pub fn of_agent(&self, agent: usize) -> Option<Conn> {
        self.streams.iter().rev().find(|(_, stream)| stream.agent == agent).map(|(conn, _)| *conn)
    }

    /// Cuts it.
    pub fn cut(&mut self, conn: Conn) -> Option<Stream> {
        self.streams.remove(&conn)
    }

    /// All that stand.
    pub fn all(&self) -> Vec<Conn> {
        self.streams.keys().copied().collect()
    }

    /// When a message sent now arrives, after those before it.
    pub fn arrival(&mut self, conn: Conn, to_manager: bool, at: Timestamp) -> Timestamp {
        let Some(stream) = self.streams.get_mut(&conn) else { return at };
        let newest = if to_manager { &mut stream.to_manager } else { &mut stream.to_agent };
        *newest = at.max(*newest + 1);
        *newest
    }
}
