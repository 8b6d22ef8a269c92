//! Stories about a node that says anything at all: bytes that are no HTTP/2, and messages that no
//! agent sends. Each costs its own connection or stream and nothing else.

use super::{super::testing::nodes, *};
use prost::Message as _;
use skep_proto::v1::{FromAgent, Hello, from_agent::Message, to_agent};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Connections of the story about bytes.
const CONNECTIONS: u64 = 200;
/// Streams of the story about messages.
const STREAMS: u64 = 120;
/// Of one node; what it says in them is within what a node may say.
const STREAMS_OF_A_NODE: u64 = 5;

/// A series of numbers that the seed decides (splitmix64).
struct HostileDice(u64);

impl HostileDice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.roll() as u8).collect()
    }

    /// A frame of HTTP/2 whose head is well formed, mostly.
    fn frame(&mut self) -> Vec<u8> {
        let payload = self.bytes(64);
        let length = match self.below(8) {
            0 => self.below(1 << 24) as u32,
            _ => payload.len() as u32,
        };
        let stream = (self.below(9) as u32).to_be_bytes();
        let head = [self.below(11) as u8, self.roll() as u8];
        [&length.to_be_bytes()[1..], &head[..], &stream[..], &payload[..]].concat()
    }

    /// The message with some of its bytes changed, if it is still one.
    fn altered(&mut self, message: &FromAgent) -> FromAgent {
        let mut bytes = message.encode_to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() as u64 + 1) as usize;
            match self.below(3) {
                0 if at < bytes.len() => bytes[at] = self.roll() as u8,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, self.roll() as u8),
            }
        }
        FromAgent::decode(&bytes[..]).unwrap_or_default()
    }
}

/// Counts the panics of this process from here on.
fn panics() -> Arc<AtomicUsize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let (count, told) = (counted.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        count.fetch_add(1, Relaxed);
        told(panic);
    }));
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http2_cost_their_connection_alone() {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let (key, certified) = running.join().await;
    let (door, panics) = (running.open_door().await, panics());
    let tls = tokio_rustls::TlsConnector::from(nodes::tls(&key, &certified));
    for seed in 0..CONNECTIONS {
        let mut dice = HostileDice(seed);
        let tcp = tokio::net::TcpStream::connect(door).await.unwrap();
        let name = "swarm-manager".try_into().unwrap();
        let mut stream = tls.connect(name, tcp).await.unwrap();
        let begun = if dice.below(4) == 0 { &b""[..] } else { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" };
        let mut said = begun.to_vec();
        // The client's settings, without which nothing else is looked at.
        if dice.below(4) > 0 {
            said.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        }
        (0..dice.below(30)).for_each(|_| said.extend(dice.frame()));
        // It may be closed already.
        stream.write_all(&said).await.ok();
        stream.shutdown().await.ok();
        let mut heard = Vec::new();
        timeout(SOON, stream.read_to_end(&mut heard)).await.expect("it is closed").ok();
    }
    assert_eq!(panics.load(Relaxed), 0);
    nodes::enter(door, nodes::tls(&key, &certified)).await.expect("the next one is served");
}

/// A machine that has joined.
async fn member(running: &LiveCluster, door: SocketAddr) -> (skep_trust::NodeKey, v1::Certified) {
    let token = running.token(v1::NodeRole::Worker).to_string();
    let (key, answer) = running.knock(door, &token).await;
    let to_agent::Message::Certified(certified) = answer else { panic!("{answer:?}") };
    (key, certified)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_no_agent_sends_cost_their_stream_alone() {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    running.join().await;
    let (door, panics) = (running.open_door().await, panics());
    let (mut key, mut certified) = member(&running, door).await;
    let description = Some(skep_projections::fixture::node_description("n2"));
    let hello = v1::Hello { description, ..v1::Hello::default() };
    let task = v1::TaskObserved {
        task_id: certified.node_id.clone(),
        state: v1::TaskState::Running as i32,
        message: "so".into(),
        ..v1::TaskObserved::default()
    };
    let report = Message::Report(v1::Report { number: 1, tasks: vec![task] });
    let chunk = v1::LogChunk { request: 1, message: "so".into(), ..v1::LogChunk::default() };
    let sent = [
        Message::Hello(hello.clone()),
        Message::Heartbeat(v1::Heartbeat { beat: 1 }),
        report,
        Message::LogChunk(chunk),
        Message::PartTaken(v1::PartTaken { revision: 3, part: 1 }),
        Message::Conditions(v1::Conditions { conditions: vec![v1::Condition::default()] }),
    ];
    let sent = sent.map(|message| FromAgent { message: Some(message) });
    for seed in 0..STREAMS {
        let mut dice = HostileDice(seed);
        // A node that greets without end is asked to wait.
        if seed % STREAMS_OF_A_NODE == 0 {
            (key, certified) = member(&running, door).await;
        }
        let channel = nodes::enter(door, nodes::tls(&key, &certified)).await.unwrap();
        let greeting = Hello { process: seed + 1, ..hello.clone() };
        let first = FromAgent { message: Some(Message::Hello(greeting)) };
        let first = if dice.below(3) == 0 { dice.altered(&first) } else { first };
        // A stream without a first message is another story: it waits for its time limit.
        let Some(first) = first.message else { continue };
        let (say, attached) = attach(&channel, Some(first)).await;
        let Ok(mut heard) = attached else { continue };
        for _ in 0..dice.below(12) {
            let message = &sent[dice.below(sent.len() as u64) as usize];
            // The stream may have ended already.
            say.send(dice.altered(message)).await.ok();
        }
        drop(say);
        while let Ok(Some(_)) = timeout(SOON, heard.message()).await.expect("it ends") {}
    }
    assert_eq!(panics.load(Relaxed), 0);
    let view = running.drive.newest().view.clone();
    assert_eq!((view.faults(), view.set_aside()), (Vec::new(), 0));
    (key, certified) = member(&running, door).await;
    let channel = nodes::enter(door, nodes::tls(&key, &certified)).await.unwrap();
    let greeting = Hello { process: STREAMS + 1, ..hello };
    let (_say, attached) = attach(&channel, Some(Message::Hello(greeting))).await;
    let first = timeout(SOON, attached.unwrap().message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(first.message, Some(to_agent::Message::Welcome(_))), "{first:?}");
}
