//! Members of many classic groups by one connection: joined once with a session as long as brokers allow, so that nothing has to be
//! sent afterwards. Requests are those of Kafka's protocol before flexible versions.

use std::io::{Read, Write};
use std::net::TcpStream;

const JOIN_GROUP: i16 = 11;
const SYNC_GROUP: i16 = 14;
const CLIENT: &str = "worker";
/// Broker's default for the longest session there may be, in milliseconds.
const SESSION: i32 = 1_800_000;

/// A connection to the broker that coordinates every group.
pub(crate) struct Members {
    broker: TcpStream,
}

impl Members {
    pub(crate) fn connect(port: u16) -> Self {
        let broker = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        broker.set_nodelay(true).expect("a socket");
        Self { broker }
    }

    /// One member that holds these partitions of a topic, in a group that has committed before.
    pub(crate) fn join(&mut self, group: &str, topic: &str, partitions: std::ops::Range<i32>) {
        // Version 2: group, session, rebalance, member, protocol type, protocols.
        let mut asked = Asked::new(JOIN_GROUP, 2);
        asked.text(group).number(SESSION).number(SESSION).text("").text("consumer").number(1).text("range");
        asked.bytes(&Asked::default().short(0).number(1).text(topic).number(-1).0);
        let answer = self.ask(asked);
        // Throttle time, error, generation, protocol, leader, member.
        let mut answer = Answer(&answer);
        answer.number();
        assert_eq!(answer.short(), 0, "{group} takes a member");
        let generation = answer.number();
        let (_protocol, _leader, member) = (answer.text(), answer.text(), answer.text());
        let mut held = Asked::default();
        held.short(0).number(1).text(topic).number(partitions.end - partitions.start);
        for partition in partitions {
            held.number(partition);
        }
        held.number(-1);
        // Version 1: group, generation, member, assignments.
        let mut asked = Asked::new(SYNC_GROUP, 1);
        asked.text(group).number(generation).text(&member).number(1).text(&member).bytes(&held.0);
        let answer = self.ask(asked);
        let mut answer = Answer(&answer);
        answer.number();
        assert_eq!(answer.short(), 0, "{group} assigns its partitions");
    }

    fn ask(&mut self, asked: Asked) -> Vec<u8> {
        self.broker.write_all(&(asked.0.len() as u32).to_be_bytes()).expect("sent");
        self.broker.write_all(&asked.0).expect("sent");
        let mut length = [0_u8; 4];
        self.broker.read_exact(&mut length).expect("answered");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.broker.read_exact(&mut answer).expect("answered");
        // After the correlation id.
        answer.split_off(4)
    }
}

#[derive(Default)]
struct Asked(Vec<u8>);

impl Asked {
    fn new(key: i16, version: i16) -> Self {
        let mut asked = Self::default();
        asked.short(key).short(version).number(1).text(CLIENT);
        asked
    }

    fn short(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn number(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.short(text.len() as i16);
        self.0.extend(text.as_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as i32);
        self.0.extend(bytes);
        self
    }
}

struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().expect("a whole answer");
        self.0 = rest;
        *head
    }

    fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn number(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.short()).expect("no null");
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).expect("a text")
    }
}
