//! Messages that are encoded once and then only get another number: the generator shares the
//! machine with the servers, so what it spends on a message is taken from them.

use anyhow::{Context, Result};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use skep_proto::codec::OnePieceDecoder;
use std::marker::PhantomData;
use tonic::{
    Status,
    codec::{Codec, EncodeBuf, Encoder},
};

/// The turn whose digits are looked for in the encoded message.
const MARK: u64 = 9_876_543_210_123_456;
/// Digits of a turn in a value.
const TURN_DIGITS: usize = 16;

/// An encoded message and where its turn stands in it.
pub struct EncodedTemplate {
    bytes: Vec<u8>,
    turns_at: Vec<usize>,
}

impl EncodedTemplate {
    /// Encodes what is made for a turn.
    pub fn new<M: Message>(message: impl FnOnce(u64) -> M) -> Result<EncodedTemplate> {
        let bytes = message(MARK).encode_to_vec();
        let mark = MARK.to_string();
        let windows = bytes.windows(TURN_DIGITS).enumerate();
        let turns_at: Vec<usize> =
            windows.filter(|(_, found)| *found == mark.as_bytes()).map(|(at, _)| at).collect();
        turns_at.first().context("the message does not hold its turn")?;
        Ok(EncodedTemplate { bytes, turns_at })
    }

    /// Adds the message of a turn.
    pub fn write(&self, turn: u64, to: &mut Vec<u8>) {
        let begin = to.len();
        to.extend_from_slice(&self.bytes);
        let mut digits = [b'0'; TURN_DIGITS];
        let mut rest = turn;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        for at in &self.turns_at {
            to[begin + at..begin + at + TURN_DIGITS].copy_from_slice(&digits);
        }
    }
}

/// Sends bytes as they are, and reads answers of one type.
pub struct EncodedCodec<R>(PhantomData<R>);

impl<R> Default for EncodedCodec<R> {
    fn default() -> EncodedCodec<R> {
        EncodedCodec(PhantomData)
    }
}

impl<R: Message + Default + Send + 'static> Codec for EncodedCodec<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = BytesEncoder;
    type Decoder = OnePieceDecoder<R>;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> OnePieceDecoder<R> {
        OnePieceDecoder::default()
    }
}

/// Adds a message that is encoded already.
pub struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.remaining());
        to.put(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::{Command, Commands};

    #[test]
    fn a_template_is_the_message_of_each_turn() {
        let message = |turn: u64| {
            let reason = format!("{:08}{turn:016}", 7);
            let command = Command { reason, ..Command::default() };
            Commands { commands: vec![command.clone(), command] }
        };
        let template = EncodedTemplate::new(message).unwrap();
        for turn in [0, 9, 10, 1_234_567_890] {
            let mut bytes = Vec::new();
            template.write(turn, &mut bytes);
            assert_eq!(bytes, message(turn).encode_to_vec());
        }
        assert!(EncodedTemplate::new(|_| Command::default()).is_err());
    }
}
